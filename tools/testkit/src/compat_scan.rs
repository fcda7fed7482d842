// SPDX-License-Identifier: GPL-2.0
//! POLL and SELECT as a 32-bit program calls them: all that is pointed to lies below 4 GiB.

use crate::compat::{ioctl, Low};
use crate::multiplexer::nanoseconds;
use crate::scanner::{count_is, is_in, left, pollfds, set_of, Scanner};
use crate::signals::Mask;
use repoll::sys::{repoll_poll, repoll_select, REPOLL_IOCTL_POLL, REPOLL_IOCTL_SELECT};
use repoll::Instance;
use std::io;
use std::mem::offset_of;
use std::os::fd::RawFd;
use std::time::Duration;

/// POLL.
pub struct Poll32(Instance);

/// SELECT.
pub struct Select32(Instance);

impl Scanner for Poll32 {
    fn new() -> io::Result<Self> {
        Ok(Self(Instance::open()?))
    }

    fn readable_masked(
        &self,
        fds: &[RawFd],
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<Vec<RawFd>> {
        let array = Low::copy_of(&pollfds(fds, libc::POLLIN))?;
        let (_mask, sigmask, sigsetsize) = Low::of_mask(mask)?;
        let argument = Low::with(repoll_poll {
            fds: array.address().into(),
            nfds: fds.len() as u32,
            timeout: nanoseconds(*timeout),
            sigmask: sigmask.into(),
            sigsetsize: sigsetsize.into(),
            ..Default::default()
        })?;
        // SAFETY: the request reads and writes a `repoll_poll` and the array, which is ours.
        let ready = unsafe { ioctl(&self.0, REPOLL_IOCTL_POLL, argument.address()) };
        *timeout = left(argument.values::<i64>(offset_of!(repoll_poll, timeout), 1)[0]);
        let ready = ready?;
        let array = array.values::<libc::pollfd>(0, fds.len());
        let found = array.iter().filter(|fd| fd.revents != 0);
        count_is(ready, found.map(|fd| fd.fd).collect())
    }
}

impl Scanner for Select32 {
    fn new() -> io::Result<Self> {
        Ok(Self(Instance::open()?))
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
        let (_mask, sigmask, sigsetsize) = Low::of_mask(mask)?;
        let argument = Low::with(repoll_select {
            readfds: set.address().into(),
            nfds,
            timeout: nanoseconds(*timeout),
            sigmask: sigmask.into(),
            sigsetsize: sigsetsize.into(),
            ..Default::default()
        })?;
        // SAFETY: the request reads and writes a `repoll_select` and the set, which is ours.
        let ready = unsafe { ioctl(&self.0, REPOLL_IOCTL_SELECT, argument.address()) };
        *timeout = left(argument.values::<i64>(offset_of!(repoll_select, timeout), 1)[0]);
        let ready = ready?;
        let set = set.values::<u64>(0, words.len());
        count_is(ready, (0..nfds).filter(|&fd| is_in(fd, &set)).collect())
    }
}
