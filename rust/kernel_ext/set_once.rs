// SPDX-License-Identifier: GPL-2.0

//! A static that is initialised in place, once, and never dropped.
//!
//! As `kernel::sync::SetOnce`, whose value is moved into it: a mutex can't be.

use super::atomic::{
    ordering::{Acquire, Relaxed, Release},
    Atomic, //
};
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit, //
};
use kernel::prelude::*;

/// The state of a [`SetOnce`] without a value.
const EMPTY: u32 = 0;
/// Somebody initialises the value.
const BUSY: u32 = 1;
/// The value is initialised, and shared.
const SET: u32 = 2;

/// See the [module](self).
///
/// # Invariants
///
/// `state` goes from [`EMPTY`] to [`BUSY`], and on to [`SET`], where it stays. `value` belongs to
/// the thread that made it `BUSY`; when it is `SET`, the value is initialised, pinned, and shared.
///
/// # Examples
///
/// ```
/// use crate::kernel_ext::set_once::SetOnce;
/// use kernel::{new_mutex, sync::Mutex};
///
/// static LAST_ERROR: SetOnce<Mutex<i32>> = SetOnce::new();
///
/// fn init() -> Result {
///     LAST_ERROR.init(new_mutex!(0))
/// }
///
/// fn last_error() -> Result<i32> {
///     Ok(*LAST_ERROR.get()?.lock())
/// }
/// ```
pub(crate) struct SetOnce<T> {
    state: Atomic<u32>,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: A thread that did not initialise the value gets a shared reference to it; the value is
// not dropped.
unsafe impl<T: Send + Sync> Sync for SetOnce<T> {}

impl<T> SetOnce<T> {
    /// Without a value.
    pub(crate) const fn new() -> Self {
        Self {
            state: Atomic::new(EMPTY),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Initialises the value. EBUSY if there is one, or another call is about to make one.
    pub(crate) fn init(&'static self, init: impl PinInit<T>) -> Result {
        if self.state.cmpxchg(EMPTY, BUSY, Relaxed).is_err() {
            return Err(EBUSY);
        }
        // SAFETY: The value is ours, by the type's invariants. It is in a static, so it is never
        // moved.
        let room: &'static mut MaybeUninit<T> = unsafe { &mut *self.value.get() };
        let Ok(_) = room.write_pin_init(init);
        // INVARIANT: It is initialised.
        self.state.store(SET, Release);
        Ok(())
    }

    /// The value. ENODEV before [`SetOnce::init`] has succeeded. Any context.
    pub(crate) fn get(&self) -> Result<&T> {
        if self.state.load(Acquire) != SET {
            return Err(ENODEV);
        }
        // SAFETY: The value is initialised and shared, by the type's invariants.
        Ok(unsafe { (*self.value.get()).assume_init_ref() })
    }
}
