// SPDX-License-Identifier: GPL-2.0

//! Locking a mutex inside another one of its class, and a wait for a mutex that a fatal signal
//! ends.
//!
//! C header: [`include/linux/mutex.h`](srctree/include/linux/mutex.h)
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::mutex::{lock_killable, lock_nested};
//! use kernel::sync::Mutex;
//!
//! fn move_all(parent: &Mutex<u32>, child: &Mutex<u32>) -> Result {
//!     let mut parent = lock_killable(parent)?;
//!     let mut child = lock_nested(child, 1);
//!     *parent += core::mem::take(&mut *child);
//!     Ok(())
//! }
//! ```

use super::bindings as ext;
use core::ptr;
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::{
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        Mutex, //
    }, //
};

/// The raw mutex inside `mutex`.
fn raw<T>(mutex: &Mutex<T>) -> *mut bindings::mutex {
    // CAST: `Lock` is `repr(C)`, and the C mutex is its first field.
    ptr::from_ref(mutex).cast_mut().cast::<bindings::mutex>()
}

/// Locks `mutex` as number `depth` (0 is the outermost) of a chain of mutexes of its class.
///
/// Each depth is a lockdep subclass, as with `mutex_lock_nested()`; lockdep has eight. Process
/// context, sleeps.
pub(crate) fn lock_nested<T>(mutex: &Mutex<T>, depth: u32) -> Guard<'_, T, MutexBackend> {
    // SAFETY: The mutex is initialised, since it exists. It is locked here, and unlocked by the
    // guard.
    unsafe {
        ext::mutex_lock_nested(raw(mutex), depth.min(7));
        Guard::new(mutex, ())
    }
}

/// Locks `mutex`, as `mutex_lock_killable()`: EINTR if the current task is killed while it waits.
///
/// Process context, sleeps.
pub(crate) fn lock_killable<T>(mutex: &Mutex<T>) -> Result<Guard<'_, T, MutexBackend>> {
    // SAFETY: The mutex is initialised, since it exists.
    to_result(unsafe { ext::mutex_lock_killable(raw(mutex)) })?;
    // SAFETY: It was locked just now, for the guard to unlock.
    Ok(unsafe { Guard::new(mutex, ()) })
}
