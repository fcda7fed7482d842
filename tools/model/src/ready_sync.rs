// SPDX-License-Identifier: GPL-2.0

//! The primitives of [`ready_queue`](super::ready_queue), built on loom's types.
//!
//! The interface and the ordering are those of `rust/watch/ready_sync.rs`. Keep the two in step. A
//! test may take an order away ([`check::weakened`](super::check::weakened)).

use super::check::{closely, has, Turns, Weakness};
use loom::{
    cell::UnsafeCell,
    sync::atomic::{
        fence, AtomicBool, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, SeqCst},
    },
};

pub(crate) use loom::sync::Arc;

/// Returns a unique number, never 0. loom does not check this function.
pub(crate) fn unique_number() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// Must be called in a loop that waits for another thread.
pub(crate) fn relax() {
    loom::thread::yield_now();
}

/// Stands for disabled preemption. loom still preempts any thread at any place, for a while.
pub(crate) struct Unpreempted(());

impl Unpreempted {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

/// Runs an exchange between two fences. The kernel's xchg() is a full barrier; loom takes `SeqCst`
/// accesses for `AcqRel`, but supports fences.
macro_rules! fully_ordered {
    ($access:expr) => {{
        fence(SeqCst);
        let result = $access;
        fence(SeqCst);
        result
    }};
}

/// A bit that is only exchanged, always with a full barrier.
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

/// The word of a queue: a pointer and a mark.
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
        // The kernel's orders nothing if it fails. Here, the first fence still takes effect, which
        // makes no difference: the caller only tries again.
        fence(SeqCst);
        let result = self.0.compare_exchange(old, new, AcqRel, Relaxed);
        if result.is_ok() {
            fence(SeqCst);
        }
        result
    }
}

/// A plain field, whose owner follows from the protocol. loom fails a test in which two threads
/// access one without an order between them.
pub(crate) struct Slot<T>(UnsafeCell<T>);

impl<T: Copy> Slot<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// # Safety
    ///
    /// No other thread may write the slot at the same time.
    pub(crate) unsafe fn get(&self) -> T {
        // SAFETY: No concurrent write, by this function's contract, which loom checks.
        self.0.with(|slot| unsafe { *slot })
    }

    /// # Safety
    ///
    /// No other thread may read or write the slot at the same time.
    pub(crate) unsafe fn set(&self, value: T) {
        // SAFETY: No concurrent access, by this function's contract, which loom checks.
        self.0.with_mut(|slot| unsafe { *slot = value });
    }
}
