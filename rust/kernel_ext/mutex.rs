// SPDX-License-Identifier: GPL-2.0

//! Mutexes of one class inside each other, and mutexes that a fatal signal ends the wait for.
//!
//! C header: [`include/linux/mutex.h`](srctree/include/linux/mutex.h)

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
/// To lockdep each depth is a class of its own, as with `mutex_lock_nested()`; it knows eight.
/// Process context, sleeps.
pub(crate) fn lock_nested<T>(mutex: &Mutex<T>, depth: u32) -> Guard<'_, T, MutexBackend> {
    // SAFETY: The mutex is initialised, since it exists; locked here, it is unlocked by the guard.
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
