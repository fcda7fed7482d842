// SPDX-License-Identifier: GPL-2.0

//! What a call did, in numbers, for callers that ask.

#![forbid(unsafe_code)]

pub(crate) use crate::uapi::args::repoll_counts as Counts;

use crate::uapi::args::write;
use kernel::prelude::*;

/// Calls `body`, which counts; writes what it counted to the caller's structure at `address`, of
/// `size` bytes, whatever its result.
///
/// The structure is cleared first. So what can be wrong with it (EINVAL, EFAULT) is told before
/// anything is done; if it can't be written later the result still stands, since it may be events that
/// are told only once. Process context.
pub(crate) fn reported<R>(
    address: u64,
    size: u64,
    body: impl FnOnce(&mut Counts) -> Result<R>,
) -> Result<R> {
    const LIMIT: usize = 4096;
    let address = address as usize;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut counts = Counts::default();
    if address != 0 {
        if size > LIMIT {
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
    /// The call has gone through its files: so many were polled, so many bytes written.
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

    /// It slept; whether it was woken, rather than out of time.
    pub(crate) fn slept(&mut self, woken: bool) {
        self.sleeps += 1;
        self.wakeups += u64::from(woken);
    }
}
