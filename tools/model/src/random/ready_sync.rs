// SPDX-License-Identifier: GPL-2.0

//! What [`ready_queue`](super::ready_queue) is built on, made of shuttle's types.
//!
//! Same shape as `rust/watch/ready_sync.rs`. shuttle knows one memory order, the sequentially
//! consistent one, so orders are not written down: loom is there for them.

use std::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

pub(crate) use shuttle::sync::Arc;

/// A number that is given out once, and is not 0.
pub(crate) fn unique_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

/// To be called in a loop that waits for another thread.
pub(crate) fn relax() {
    shuttle::thread::yield_now();
}

/// Nothing stops a thread here but the scheduler, anywhere, for a while.
pub(crate) struct Unpreempted(());

impl Unpreempted {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

/// A bit that is only ever exchanged.
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn new(value: bool) -> Self {
        Self(AtomicBool::new(value))
    }

    pub(crate) fn exchange(&self, value: bool) -> bool {
        self.0.swap(value, SeqCst)
    }

    pub(crate) fn get(&self) -> bool {
        self.0.load(SeqCst)
    }
}

/// The one word of a queue: a pointer and a mark.
pub(crate) struct Word(AtomicUsize);

impl Word {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(crate) fn load(&self) -> usize {
        self.0.load(SeqCst)
    }

    pub(crate) fn exchange(&self, value: usize) -> usize {
        self.0.swap(value, SeqCst)
    }

    pub(crate) fn compare_exchange(&self, old: usize, new: usize) -> Result<usize, usize> {
        self.0.compare_exchange(old, new, SeqCst, SeqCst)
    }
}

/// A plain field, whose owner is decided by protocol. (loom looks for races.)
pub(crate) struct Slot<T>(UnsafeCell<T>);

impl<T: Copy> Slot<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// # Safety
    ///
    /// Nobody may write the slot at the same time.
    pub(crate) unsafe fn get(&self) -> T {
        // SAFETY: No concurrent write, by this function's contract.
        unsafe { *self.0.get() }
    }

    /// # Safety
    ///
    /// Nobody may read or write the slot at the same time.
    pub(crate) unsafe fn set(&self, value: T) {
        // SAFETY: No concurrent access, by this function's contract.
        unsafe { *self.0.get() = value };
    }
}
