// SPDX-License-Identifier: GPL-2.0
//! Memory for prepared calls.

use repoll::{Counts, Event};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Words that are never freed: calls write to them, and the program reads them.
#[derive(Clone, Copy)]
pub struct Words(&'static [AtomicU64]);

impl Words {
    /// `count` zeros.
    pub fn new(count: usize) -> Self {
        let words = (0..count).map(|_| AtomicU64::new(0));
        Self(Box::leak(words.collect()))
    }

    /// Room for `max` events.
    pub fn for_events(max: usize) -> Self {
        Self::new((max * size_of::<Event>()).div_ceil(size_of::<u64>()))
    }

    /// An array of `struct pollfd`, for input.
    pub fn pollfds(fds: &[RawFd]) -> Self {
        let array = Self::new(fds.len());
        for (index, &fd) in fds.iter().enumerate() {
            let events = u64::from(libc::POLLIN as u16);
            array.set(index, u64::from(fd as u32) | (events << 32));
        }
        array
    }

    /// Room for the counts of a call of repoll's.
    pub fn for_counts() -> Self {
        Self::new(size_of::<Counts>() / size_of::<u64>())
    }

    /// The address of the first one.
    pub fn address(self) -> usize {
        self.0.as_ptr() as usize
    }

    /// Their number.
    pub fn count(self) -> usize {
        self.0.len()
    }

    /// The value of one.
    pub fn get(self, index: usize) -> u64 {
        self.0[index].load(Relaxed)
    }

    /// Changes one.
    pub fn set(self, index: usize, value: u64) {
        self.0[index].store(value, Relaxed);
    }
}
