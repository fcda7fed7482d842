// SPDX-License-Identifier: GPL-2.0

//! The primitives of [`ready_queue`](super::ready_queue), built on shuttle's types.
//!
//! The interface is that of `rust/watch/ready_sync.rs`. shuttle supports only sequential
//! consistency, so the orders are left out; loom's models check them.

use std::{
    cell::UnsafeCell,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

pub(crate) use shuttle::sync::Arc;

/// Returns a unique number, never 0.
pub(crate) fn unique_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

/// Must be called in a loop that waits for another thread.
pub(crate) fn relax() {
    shuttle::thread::yield_now();
}

/// Stands for disabled preemption. shuttle still preempts any thread at any place, for a while.
pub(crate) struct Unpreempted(());

impl Unpreempted {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

/// A bit that is only exchanged.
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

/// The word of a queue: a pointer and a mark.
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

/// A plain field, whose owner follows from the protocol. (loom's models check for races.)
pub(crate) struct Slot<T>(UnsafeCell<T>);

impl<T: Copy> Slot<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// # Safety
    ///
    /// No other thread may write the slot at the same time.
    pub(crate) unsafe fn get(&self) -> T {
        // SAFETY: No concurrent write, by this function's contract.
        unsafe { *self.0.get() }
    }

    /// # Safety
    ///
    /// No other thread may read or write the slot at the same time.
    pub(crate) unsafe fn set(&self, value: T) {
        // SAFETY: No concurrent access, by this function's contract.
        unsafe { *self.0.get() = value };
    }
}
