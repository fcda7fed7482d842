// SPDX-License-Identifier: GPL-2.0

//! Notice of an oops.
//!
//! C header: [`include/linux/kdebug.h`](srctree/include/linux/kdebug.h)

use super::{
    bindings as ext,
    drift::THIS_MODULE, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    error::to_result,
    ffi::{c_int, c_ulong, c_void},
    prelude::*,
    types::Opaque, //
};

/// The reaction to an oops.
///
/// # Examples
///
/// ```
/// use crate::kernel_ext::{
///     atomic::{ordering::Relaxed, Atomic},
///     die::{OopsHandler, OopsNotifier},
/// };
///
/// static BROKEN: Atomic<bool> = Atomic::new(false);
///
/// struct StopWhenBroken;
///
/// impl OopsHandler for StopWhenBroken {
///     fn oops(in_this_module: bool) {
///         if in_this_module {
///             BROKEN.store(true, Relaxed);
///         }
///     }
/// }
///
/// fn register() -> Result<Pin<KBox<OopsNotifier<StopWhenBroken>>>> {
///     KBox::pin_init(OopsNotifier::new(), GFP_KERNEL)
/// }
/// ```
pub(crate) trait OopsHandler: 'static {
    /// The current task oopses. `in_this_module`: code of this module is on its stack, so the bug
    /// may be ours. Any context, with locks held that are not known.
    fn oops(in_this_module: bool);
}

/// While this exists, [`OopsHandler::oops`] is called.
///
/// # Invariants
///
/// `block` is registered.
#[pin_data(PinnedDrop)]
pub(crate) struct OopsNotifier<H: OopsHandler> {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    _handler: PhantomData<fn() -> H>,
}

// SAFETY: May be unregistered by another thread than it was registered by.
unsafe impl<H: OopsHandler> Send for OopsNotifier<H> {}
// SAFETY: Nothing can be done with a shared reference.
unsafe impl<H: OopsHandler> Sync for OopsNotifier<H> {}

/// # Safety
///
/// Called as a die notifier of this module.
unsafe extern "C" fn notified<H: OopsHandler>(
    _block: *mut bindings::notifier_block,
    event: c_ulong,
    args: *mut c_void,
) -> c_int {
    // SAFETY: No requirements.
    if unsafe { ext::is_oops(event) } {
        // SAFETY: The notifier of a die event gets its `struct die_args`. The module is ours.
        H::oops(unsafe { ext::oops_in_module(THIS_MODULE, args) });
    }
    bindings::NOTIFY_DONE as c_int
}

impl<H: OopsHandler> OopsNotifier<H> {
    /// Registers the handler. Sleeps.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: It is registered if this succeeds.
            block <- Opaque::try_ffi_init(|slot: *mut bindings::notifier_block| {
                let mut block: bindings::notifier_block = pin_init::zeroed();
                block.notifier_call = Some(notified::<H>);
                // SAFETY: `slot` is valid for writes, and pinned until it is unregistered.
                unsafe {
                    slot.write(block);
                    to_result(ext::register_die_notifier(slot))
                }
            }),
            _handler: PhantomData,
        })
    }
}

#[pinned_drop]
impl<H: OopsHandler> PinnedDrop for OopsNotifier<H> {
    /// Waits until the handler has returned. Sleeps.
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: It is registered, by the type's invariants.
        unsafe { ext::unregister_die_notifier(self.block.get()) };
    }
}
