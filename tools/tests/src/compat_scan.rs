// SPDX-License-Identifier: GPL-2.0
//! POLL and SELECT as a 32-bit program calls them: all that is pointed to lies below 4 GiB.

use crate::compat::{ioctl, Low};
use crate::scanner::{count_is, is_in, left, nanoseconds, pollfds, set_of, Mask, Scanner};
use repoll::sys::{repoll_poll, repoll_select, REPOLL_IOCTL_POLL, REPOLL_IOCTL_SELECT};
use repoll::{Instance, OpenError};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// POLL.
pub struct Poll32(Instance);

/// SELECT.
pub struct Select32(Instance);

/// A mask where a 32-bit program has it: two words, the signals 1 to 32 first. It, its address and
/// its size; what is not a mask is cut off, as it would be for such a program.
fn low(mask: Mask) -> io::Result<(Option<Low>, u64, u64)> {
    let Mask(address, size) = mask;
    let size_there = (size as u32).into();
    match mask.signals() {
        Some(signals) => {
            let low = Low::with([signals as u32, (signals >> 32) as u32])?;
            let address = low.address().into();
            Ok((Some(low), address, size_there))
        }
        None => Ok((None, (address as u32).into(), size_there)),
    }
}

impl Scanner for Poll32 {
    fn new() -> io::Result<Self> {
        Instance::open().map(Self).map_err(OpenError::into_inner)
    }

    fn readable_masked(
        &self,
        fds: &[RawFd],
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<Vec<RawFd>> {
        let array = Low::copy_of(&pollfds(fds, libc::POLLIN))?;
        let (_mask, sigmask, sigsetsize) = low(mask)?;
        let argument = Low::with(repoll_poll {
            fds: array.address().into(),
            nfds: fds.len() as u32,
            timeout: nanoseconds(*timeout),
            sigmask,
            sigsetsize,
            ..Default::default()
        })?;
        // SAFETY: the request reads and writes a `repoll_poll` and the array, which is ours.
        let ready = unsafe { ioctl(self.0.as_raw_fd(), REPOLL_IOCTL_POLL, argument.address()) };
        // SAFETY: that is what is there.
        *timeout = left(unsafe { argument.values::<repoll_poll>(1) }[0].timeout);
        let ready = ready? as usize;
        // SAFETY: those are there.
        let array = unsafe { array.values::<libc::pollfd>(fds.len()) };
        let found = array.iter().filter(|fd| fd.revents != 0);
        count_is(ready, found.map(|fd| fd.fd).collect())
    }
}

impl Scanner for Select32 {
    fn new() -> io::Result<Self> {
        Instance::open().map(Self).map_err(OpenError::into_inner)
    }

    fn readable_masked(
        &self,
        fds: &[RawFd],
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<Vec<RawFd>> {
        let nfds = fds.iter().max().map_or(0, |fd| fd + 1);
        let words = set_of(fds, nfds);
        let set = Low::copy_of(&words)?;
        let (_mask, sigmask, sigsetsize) = low(mask)?;
        let argument = Low::with(repoll_select {
            readfds: set.address().into(),
            nfds,
            timeout: nanoseconds(*timeout),
            sigmask,
            sigsetsize,
            ..Default::default()
        })?;
        // SAFETY: the request reads and writes a `repoll_select` and the set, which is ours.
        let ready = unsafe { ioctl(self.0.as_raw_fd(), REPOLL_IOCTL_SELECT, argument.address()) };
        // SAFETY: that is what is there.
        *timeout = left(unsafe { argument.values::<repoll_select>(1) }[0].timeout);
        let ready = ready? as usize;
        // SAFETY: those are there.
        let set = unsafe { set.values::<u64>(words.len()) };
        count_is(ready, (0..nfds).filter(|&fd| is_in(fd, &set)).collect())
    }
}
