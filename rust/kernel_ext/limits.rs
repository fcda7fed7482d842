// SPDX-License-Identifier: GPL-2.0

//! A count with a limit, and a limit that is only lowered, without a lock.
//!
//! # Ordering
//!
//! Each is one word, and each change of it is one `cmpxchg()` or one addition. So changes come one
//! after another, and each is based on the latest value. Nothing is published through them, so all
//! accesses are relaxed. A plain load may return an older value; it is only a first guess here.
//!
//! The model checker compiles this file over loom's atomics (`tools/model/src/numbers.rs`).
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::limits::{Count, Limit};
//!
//! fn open(count: &Count, max: u64) -> Result {
//!     if count.add(1, max) {
//!         Ok(())
//!     } else {
//!         Err(ENOSPC)
//!     }
//! }
//!
//! fn close(count: &Count) {
//!     count.sub(1);
//! }
//!
//! fn tighten(limit: &Limit) -> u32 {
//!     limit.lower(8);
//!     limit.get()
//! }
//! ```

use super::atomic::{
    ordering::Relaxed,
    Atomic, //
};

/// A count that does not exceed a limit.
pub(crate) struct Count(Atomic<u64>);

impl Count {
    /// Zero.
    pub(crate) fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Adds `n`, unless the sum exceeds `max`. Returns whether it did. Any context.
    pub(crate) fn add(&self, n: u64, max: u64) -> bool {
        let mut old = self.0.load(Relaxed);
        loop {
            let new = old.saturating_add(n);
            if new > max {
                return false;
            }
            match self.0.cmpxchg(old, new, Relaxed) {
                Ok(_) => return true,
                Err(found) => old = found,
            }
        }
    }

    /// Undoes an [`Count::add`] of `n`. Any context.
    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_add(n.wrapping_neg(), Relaxed);
    }
}

/// A limit that is only lowered.
pub(crate) struct Limit(Atomic<u32>);

impl Limit {
    /// The limit `max`.
    pub(crate) fn new(max: u32) -> Self {
        Self(Atomic::new(max))
    }

    /// The limit. While another CPU lowers it, this may return the old value. Any context.
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Lowers it to `max`, unless it is lower already. Any context.
    pub(crate) fn lower(&self, max: u32) {
        let mut now = self.get();
        while now > max {
            match self.0.cmpxchg(now, max, Relaxed) {
                Ok(_) => return,
                Err(found) => now = found,
            }
        }
    }
}
