// SPDX-License-Identifier: GPL-2.0

//! Locks of one class that are taken inside of each other, in an order that lockdep is told.
//!
//! C header: [`include/linux/mutex.h`](srctree/include/linux/mutex.h)

use super::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    bindings as ext, //
};
use core::ptr;
use kernel::{
    bindings,
    prelude::*,
    sync::{
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        Mutex, //
    }, //
};

/// Locks `mutex` as number `depth` (0 is the outermost) of a chain of mutexes of its class.
///
/// To lockdep each depth is a class of its own, as with `mutex_lock_nested()`; it knows eight.
/// Process context, sleeps.
pub(crate) fn lock_nested<T>(mutex: &Mutex<T>, depth: u32) -> Guard<'_, T, MutexBackend> {
    // CAST: `Lock` is `repr(C)`, and the C mutex is its first field.
    let raw = ptr::from_ref(mutex).cast_mut().cast::<bindings::mutex>();
    // SAFETY: The mutex is initialised, since it exists; locked here, it is unlocked by the guard.
    unsafe {
        ext::mutex_lock_nested(raw, depth.min(7));
        Guard::new(mutex, ())
    }
}

kernel::sync::global_lock! {
    // SAFETY: Initialised by `init()`, which the module calls before it registers its device.
    /// Held while instances are being nested: whoever holds it sees a topology that does not grow.
    pub(crate) unsafe(uninit) static TOPOLOGY: Mutex<()> = ();
}

/// Makes [`TOPOLOGY`] ready. For the module's initialisation, before its device can be opened; a second
/// call does nothing.
pub(crate) fn init() {
    static DONE: Atomic<bool> = Atomic::new(false);
    if !DONE.xchg(true, Relaxed) {
        // SAFETY: Called once; nobody has used the lock, since the device is not there.
        unsafe { TOPOLOGY.init() };
    }
}
