// SPDX-License-Identifier: GPL-2.0
//! Measurements: the least of many short blocks.
//!
//! Under `-icount` the clock counts instructions. Work of others (the timer's interrupt, the
//! kernel's housekeeping) makes a block dearer, never cheaper.

use std::time::Instant;

const BLOCKS: u32 = 120;

/// The clock, and the cost of reading it.
pub struct Clock {
    overhead: u64,
}

impl Clock {
    /// Measures the cost.
    pub fn new() -> Self {
        let raw = Self { overhead: 0 };
        let overhead = (0..1000).map(|_| raw.time(|| ())).min().unwrap_or(0);
        Self { overhead }
    }

    /// The time that `work` takes, in nanoseconds.
    #[inline]
    pub fn time(&self, work: impl FnOnce()) -> u64 {
        let start = Instant::now();
        work();
        (start.elapsed().as_nanos() as u64).saturating_sub(self.overhead)
    }

    /// The least time of `work` in blocks of `count` runs, per run.
    pub fn each(&self, count: u32, mut work: impl FnMut()) -> f64 {
        self.least(count, |clock| {
            clock.time(|| (0..count).for_each(|_| work()))
        })
    }

    /// The least of the times that `block` returns for its `count` calls, per call.
    pub fn least(&self, count: u32, mut block: impl FnMut(&Self) -> u64) -> f64 {
        let least = (0..BLOCKS).map(|_| block(self)).min().unwrap_or(0);
        least as f64 / f64::from(count)
    }
}
