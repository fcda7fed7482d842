// SPDX-License-Identifier: GPL-2.0

//! Locks that nest: mutexes of one class inside each other, and the lock of the topology.
//!
//! C header: [`include/linux/mutex.h`](srctree/include/linux/mutex.h)
//!
//! Files that poll files of their own kind form a graph. [`Topology`] serializes the walks that
//! look for cycles in it; a [`TopologyCell`] is a value that belongs to these walks.

use super::bindings as ext;
use core::{
    cell::UnsafeCell,
    ptr, //
};
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
    },
    types::NotThreadSafe, //
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

/// Proof that the topology's lock is held: no other task walks the graph, or nests files.
///
/// # Invariants
///
/// The current task holds the mutex, and there is one value of this type at a time.
pub(crate) struct Topology {
    _task: NotThreadSafe,
}

impl Topology {
    /// Takes the lock; EINTR if the current task is killed while it waits. Process context, sleeps.
    ///
    /// The mutex is a static of C, so it is ready before any code of the module runs. It is not
    /// recursive: a second call by a task that has the lock waits until the task is killed.
    pub(crate) fn lock() -> Result<Self> {
        // SAFETY: Process context.
        to_result(unsafe { ext::topology_lock() })?;
        // INVARIANT: Locked just now.
        Ok(Self {
            _task: NotThreadSafe,
        })
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        // SAFETY: The current task holds the lock, by the type's invariants.
        unsafe { ext::topology_unlock() };
    }
}

/// A value that is accessed with the topology's lock held.
pub(crate) struct TopologyCell<T>(UnsafeCell<T>);

// SAFETY: Accesses exclude each other by the lock, so they are as if the value were sent.
unsafe impl<T: Send> Sync for TopologyCell<T> {}

impl<T: Copy> TopologyCell<T> {
    /// A cell with `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The value.
    pub(crate) fn get(&self, _lock: &Topology) -> T {
        // SAFETY: The lock is held, so nobody else accesses the value; no reference to it is ever
        // handed out.
        unsafe { *self.0.get() }
    }

    /// Changes the value.
    pub(crate) fn set(&self, _lock: &mut Topology, value: T) {
        // SAFETY: As above.
        unsafe { *self.0.get() = value };
    }
}
