// SPDX-License-Identifier: GPL-2.0

//! Counts the work of one call, for callers that ask for it.

#![forbid(unsafe_code)]

use crate::kernel_ext::uaccess::write;
use kernel::prelude::*;

pub(crate) use super::args::repoll_counts as Counts;

/// Runs `body`, which counts, and writes the counts to the caller's structure at `address`, of
/// `size` bytes, whatever the result of `body` is. Without a structure (`address` 0) it just runs
/// `body`.
///
/// The structure is cleared first, so a bad one (EINVAL, EFAULT) is refused before anything is
/// done. If it can't be written at the end, the result still stands: it may be events that are
/// reported only once. Process context, sleeps.
pub(crate) fn with_counts<R>(
    address: u64,
    size: u64,
    body: impl FnOnce(&mut Counts) -> Result<R>,
) -> Result<R> {
    const MAX_SIZE: usize = 4096;
    let address = address as usize;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut counts = Counts::default();
    if address != 0 {
        if size > MAX_SIZE {
            return Err(EINVAL);
        }
        write(address, size, &counts)?;
    }
    let result = body(&mut counts);
    if address != 0 {
        let _ = write(address, size, &counts);
    }
    result
}

impl Counts {
    /// Counts a pass over the files that polled `polled` of them and wrote `bytes_out` bytes.
    pub(crate) fn passed(&mut self, polled: usize, bytes_out: usize) {
        let polled = polled as u64;
        if self.passes == 0 {
            self.polled_first = polled;
        }
        self.passes += 1;
        self.polled += polled;
        self.polled_last = polled;
        self.bytes_out += bytes_out as u64;
    }

    /// Counts a sleep, which ended with a wake-up if `woken`, else with a time-out.
    pub(crate) fn slept(&mut self, woken: bool) {
        self.sleeps += 1;
        self.wakeups += u64::from(woken);
    }
}
