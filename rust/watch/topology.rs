// SPDX-License-Identifier: GPL-2.0

//! The lock of the graph that instances form by watching each other, and values that it protects.
//!
//! [`Topology`] serializes the walks that look for cycles in the graph. A [`TopologyCell`] is a
//! part of an instance, and is accessed by the task that has the lock.

use crate::kernel_ext::{
    mutex::lock_killable,
    set_once::SetOnce, //
};
use core::cell::UnsafeCell;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Mutex,
        MutexGuard, //
    }, //
};

static LOCK: SetOnce<Mutex<()>> = SetOnce::new();

/// Initialises the lock. EBUSY on a second call.
pub(crate) fn init() -> Result {
    LOCK.init(new_mutex!((), "repoll::Topology"))
}

/// Proof that the topology's lock is held: no other task walks the graph, or nests files.
///
/// # Invariants
///
/// The guard is that of [`LOCK`], so there is one value of this type at a time.
pub(crate) struct Topology {
    _guard: MutexGuard<'static, ()>,
}

impl Topology {
    /// Takes the lock; EINTR if the current task is killed while it waits, ENODEV before [`init`].
    /// Process context, sleeps.
    ///
    /// It is not recursive: a second call by a task that has the lock waits until the task is
    /// killed.
    pub(crate) fn lock() -> Result<Self> {
        // INVARIANT: Locked just now.
        Ok(Self {
            _guard: lock_killable(LOCK.get()?)?,
        })
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
        // SAFETY: The lock is held, and the proof of that is borrowed mutably, so nobody else
        // accesses the value; no reference to it is ever handed out.
        unsafe { *self.0.get() = value };
    }
}
