// SPDX-License-Identifier: GPL-2.0
//! Counts over all processes.

use repoll_testkit::memory::shared_counters;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The counted things.
#[derive(Clone, Copy)]
pub enum Count {
    /// Calls.
    All,
    /// Ioctls of ours that succeeded.
    Ours,
    /// Watches that were added.
    Added,
    /// WAITs that had an event.
    Delivered,
}

/// The counts.
#[derive(Clone, Copy)]
pub struct Counter(&'static [AtomicU64; 4]);

impl Counter {
    /// Makes counts of zero.
    pub fn new() -> io::Result<Self> {
        shared_counters().map(Self)
    }

    fn of(&self, count: Count) -> &AtomicU64 {
        &self.0[count as usize]
    }

    /// The number so far.
    pub fn get(&self, count: Count) -> u64 {
        self.of(count).load(Relaxed)
    }

    /// Adds one.
    pub fn add(&self, count: Count) {
        self.of(count).fetch_add(1, Relaxed);
    }
}
