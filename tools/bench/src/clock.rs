// SPDX-License-Identifier: GPL-2.0
//! Measuring: the least of many short blocks.
//!
//! Under `-icount` the clock counts instructions. Whatever is not ours (the timer's interrupt, the
//! kernel's housekeeping) makes a block dearer, never cheaper.

use crate::call::now;

const BLOCKS: u32 = 120;

/// The clock, and what it costs to look at it.
pub struct Clock {
    overhead: u64,
}

impl Clock {
    /// Measures itself.
    pub fn new() -> Self {
        let raw = Self { overhead: 0 };
        let overhead = (0..1000).map(|_| raw.time(|| ())).min().unwrap_or(0);
        Self { overhead }
    }

    /// How long `work` takes.
    #[inline]
    pub fn time(&self, work: impl FnOnce()) -> u64 {
        let start = now();
        work();
        (now() - start).saturating_sub(self.overhead)
    }

    /// The least, per call, of blocks of `count` calls of `work`.
    pub fn each(&self, count: u32, mut work: impl FnMut()) -> f64 {
        self.least(count, |clock| {
            clock.time(|| (0..count).for_each(|_| work()))
        })
    }

    /// The least of what `block` says that its `count` calls took, per call.
    pub fn least(&self, count: u32, mut block: impl FnMut(&Self) -> u64) -> f64 {
        let least = (0..BLOCKS).map(|_| block(self)).min().unwrap_or(0);
        least as f64 / f64::from(count)
    }
}
