// SPDX-License-Identifier: GPL-2.0

//! The atomics and reference counts of [`ready_queue`](super::ready_queue).
//!
//! The host's model checker compiles `ready_queue.rs` with another module of this name and
//! interface, made of loom's types (`tools/model`). Keep the two in step.

use crate::kernel_ext::{
    atomic::{
        ordering::{
            Acquire,
            Full,
            Relaxed, //
        }, //
        Atomic,
    },
    bindings as ext, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData, //
};

pub(crate) use kernel::sync::Arc;

/// A number that is returned once, and is not 0.
pub(crate) fn unique_number() -> u64 {
    static LAST: Atomic<u64> = Atomic::new(0);
    LAST.fetch_add(1, Relaxed).wrapping_add(1)
}

/// Pauses in a loop that waits for another CPU.
pub(crate) fn relax() {
    core::hint::spin_loop();
}

/// While it exists this task is not preempted, so that another CPU may wait for it.
///
/// A callback is called under a spinlock, which disables preemption except on a PREEMPT_RT kernel.
pub(crate) struct Unpreempted(PhantomData<*mut ()>);

impl Unpreempted {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        if cfg!(CONFIG_PREEMPT_RT) {
            // SAFETY: Any context. The drop undoes it, in the same task: this is not `Send`.
            unsafe { ext::preempt_disable() };
        }
        Self(PhantomData)
    }
}

impl Drop for Unpreempted {
    #[inline(always)]
    fn drop(&mut self) {
        if cfg!(CONFIG_PREEMPT_RT) {
            // SAFETY: `new` has disabled it, in this task.
            unsafe { ext::preempt_enable() };
        }
    }
}

/// A bit that is only exchanged, fully ordered in both directions.
pub(crate) struct Flag(Atomic<bool>);

impl Flag {
    pub(crate) fn new(value: bool) -> Self {
        Self(Atomic::new(value))
    }

    /// Stores `value` and returns the old value; a full memory barrier in any case.
    #[inline(always)]
    pub(crate) fn exchange(&self, value: bool) -> bool {
        self.0.xchg(value, Full)
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// A queue's word: a pointer and a mark.
pub(crate) struct Word(Atomic<usize>);

impl Word {
    pub(crate) fn new() -> Self {
        Self(Atomic::new(0))
    }

    #[inline(always)]
    pub(crate) fn load(&self) -> usize {
        self.0.load(Acquire)
    }

    /// A full memory barrier.
    #[inline(always)]
    pub(crate) fn exchange(&self, value: usize) -> usize {
        self.0.xchg(value, Full)
    }

    /// A full memory barrier, if it succeeds.
    #[inline(always)]
    pub(crate) fn compare_exchange(&self, old: usize, new: usize) -> Result<usize, usize> {
        self.0.cmpxchg(old, new, Full)
    }
}

/// A plain field. A protocol decides which thread owns it.
pub(crate) struct Slot<T>(UnsafeCell<T>);

impl<T: Copy> Slot<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// # Safety
    ///
    /// Nobody may write the slot at the same time.
    #[inline(always)]
    pub(crate) unsafe fn get(&self) -> T {
        // SAFETY: No concurrent write, by this function's contract; the cell is always initialised.
        unsafe { *self.0.get() }
    }

    /// # Safety
    ///
    /// Nobody may read or write the slot at the same time.
    #[inline(always)]
    pub(crate) unsafe fn set(&self, value: T) {
        // SAFETY: No concurrent access, by this function's contract.
        unsafe { *self.0.get() = value }
    }
}
