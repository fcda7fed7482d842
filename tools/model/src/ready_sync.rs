// SPDX-License-Identifier: GPL-2.0

//! What [`ready_queue`](super::ready_queue) is built on, made of loom's types.
//!
//! Same shape and same ordering as `rust/watch/ready_sync.rs`. Keep the two in step. A test may
//! take an order away ([`check::weakened`](super::check::weakened)).

use super::check::{closely, has, Turns, Weakness};
use loom::{
    cell::UnsafeCell,
    sync::atomic::{
        fence, AtomicBool, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, SeqCst},
    },
};

pub(crate) use loom::sync::Arc;

/// A number that is given out once, and is not 0. Not a part of what is checked.
pub(crate) fn unique_number() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// To be called in a loop that waits for another thread.
pub(crate) fn relax() {
    loom::thread::yield_now();
}

/// The model has no preemption but loom's, which stops any thread anywhere, for a while.
pub(crate) struct Unpreempted(());

impl Unpreempted {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

/// The kernel's xchg() is a full barrier. loom takes `SeqCst` accesses for `AcqRel` ones, but knows
/// fences, so there is one on either side.
macro_rules! fully_ordered {
    ($access:expr) => {{
        fence(SeqCst);
        let result = $access;
        fence(SeqCst);
        result
    }};
}

/// A bit that is only ever exchanged, fully ordered in both directions.
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn new(value: bool) -> Self {
        Self(AtomicBool::new(value))
    }

    pub(crate) fn exchange(&self, value: bool) -> bool {
        if has(Weakness::FlagIsLoaded) && self.0.load(Relaxed) == value {
            return value;
        }
        if has(Weakness::Flag) {
            return self.0.swap(value, Relaxed);
        }
        fully_ordered!(self.0.swap(value, AcqRel))
    }

    pub(crate) fn get(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// The one word of a queue: a pointer and a mark.
pub(crate) struct Word(AtomicUsize, Turns);

impl Word {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0), Turns::new())
    }

    fn turn(&self) {
        if closely() {
            self.1.turn();
        }
    }

    pub(crate) fn load(&self) -> usize {
        self.turn();
        self.0.load(Acquire)
    }

    pub(crate) fn exchange(&self, value: usize) -> usize {
        self.turn();
        if has(Weakness::Word) {
            return self.0.swap(value, Relaxed);
        }
        fully_ordered!(self.0.swap(value, AcqRel))
    }

    pub(crate) fn compare_exchange(&self, old: usize, new: usize) -> Result<usize, usize> {
        self.turn();
        if has(Weakness::CompareExchange) {
            return self.0.compare_exchange(old, new, Relaxed, Relaxed);
        }
        if has(Weakness::CompareExchangeBarrier) {
            return self.0.compare_exchange(old, new, AcqRel, Relaxed);
        }
        // Of one that fails the kernel's orders nothing, here the first fence stays: the caller has
        // nothing to do then but to try again.
        fence(SeqCst);
        let result = self.0.compare_exchange(old, new, AcqRel, Relaxed);
        if result.is_ok() {
            fence(SeqCst);
        }
        result
    }
}

/// A plain field, whose owner is decided by protocol. loom fails a test in which two threads access
/// one with nothing that orders them.
pub(crate) struct Slot<T>(UnsafeCell<T>);

impl<T: Copy> Slot<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// # Safety
    ///
    /// Nobody may write the slot at the same time.
    pub(crate) unsafe fn get(&self) -> T {
        // SAFETY: No concurrent write, by this function's contract, which loom checks.
        self.0.with(|slot| unsafe { *slot })
    }

    /// # Safety
    ///
    /// Nobody may read or write the slot at the same time.
    pub(crate) unsafe fn set(&self, value: T) {
        // SAFETY: No concurrent access, by this function's contract, which loom checks.
        self.0.with_mut(|slot| unsafe { *slot = value });
    }
}
