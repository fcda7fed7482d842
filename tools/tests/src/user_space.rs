// SPDX-License-Identifier: GPL-2.0
//! The address space of programs, for the tests, the storm and the tester of differences.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::without_provenance_mut;

/// The power of two at which the addresses that a program can have end; by what the kernel's own
/// epoll says of an array there. It depends on the machine, its processor and the kernel's
/// configuration.
pub fn end_of_user_space() -> io::Result<usize> {
    // SAFETY: it takes a number.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if epoll < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
    let is_beyond = |address: usize| {
        let events = without_provenance_mut(address);
        // SAFETY: nothing is written, as nothing is watched.
        let result = unsafe { libc::epoll_wait(epoll.as_raw_fd(), events, 1, 0) };
        result < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
    };
    let mut powers = (32..64).map(|bit| 1 << bit);
    let end = powers.find(|&address| is_beyond(address));
    end.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOTSUP))
}
