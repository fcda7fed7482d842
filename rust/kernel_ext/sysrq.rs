// SPDX-License-Identifier: GPL-2.0

//! A SysRq key.
//!
//! C header: [`include/linux/sysrq.h`](srctree/include/linux/sysrq.h)

use super::bindings as ext;
use core::marker::PhantomData;
use kernel::{
    error::to_result,
    ffi::c_int,
    prelude::*, //
};

/// A key, and its function.
///
/// # Examples
///
/// ```
/// use crate::kernel_ext::{
///     atomic::{ordering::Relaxed, Atomic},
///     sysrq::{Key, KeyRegistration},
/// };
///
/// static ENABLED: Atomic<bool> = Atomic::new(true);
///
/// struct Disable;
///
/// impl Key for Disable {
///     const KEY: u8 = b'E';
///     const HELP: &'static CStr = c"disable-it(E)";
///     const ACTION: &'static CStr = c"Disable it";
///
///     fn pressed() {
///         ENABLED.store(false, Relaxed);
///     }
/// }
///
/// fn register() -> Result<KeyRegistration<Disable>> {
///     KeyRegistration::new()
/// }
/// ```
pub(crate) trait Key: 'static {
    /// The key: a digit or a letter.
    const KEY: u8;
    /// The entry in the list of keys, with the key in parentheses.
    const HELP: &'static CStr;
    /// The text that is logged when the key is pressed.
    const ACTION: &'static CStr;

    /// The key was pressed, or written to `/proc/sysrq-trigger`. Interrupt context.
    fn pressed();
}

/// While this exists, [`Key::pressed`] is called.
///
/// # Invariants
///
/// The operation of `K` is registered.
pub(crate) struct KeyRegistration<K: Key>(PhantomData<fn() -> K>);

/// # Safety
///
/// Called by the SysRq driver.
unsafe extern "C" fn pressed<K: Key>(_key: u8) {
    K::pressed();
}

impl<K: Key> KeyRegistration<K> {
    const OP: ext::sysrq_key_op = ext::sysrq_key_op {
        handler: Some(pressed::<K>),
        help_msg: K::HELP.to_bytes_with_nul().as_ptr().cast(),
        action_msg: K::ACTION.to_bytes_with_nul().as_ptr().cast(),
        enable_mask: ext::SYSRQ_ENABLE_SIGNAL as c_int,
    };

    /// The operation: one per key, by which the driver identifies it.
    const fn op() -> &'static ext::sysrq_key_op {
        &Self::OP
    }

    /// Registers the key. EBUSY if it has a function already; EOPNOTSUPP without
    /// `CONFIG_MAGIC_SYSRQ`. Sleeps.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: The operation is static.
        to_result(unsafe { ext::register_sysrq_key(K::KEY, Self::op()) })?;
        // INVARIANT: Registered just now.
        Ok(Self(PhantomData))
    }
}

impl<K: Key> Drop for KeyRegistration<K> {
    /// Waits until the function has returned. Sleeps.
    fn drop(&mut self) {
        // SAFETY: It is registered, by the type's invariants.
        unsafe { ext::unregister_sysrq_key(K::KEY, Self::op()) };
    }
}
