// SPDX-License-Identifier: GPL-2.0
//! The address space of programs.

use crate::memory::Place;
use crate::multiplexer::{Epoll, Multiplexer};
use std::io;
use std::time::Duration;

/// The power of two at which the addresses of programs end. The kernel's own epoll tells it, by
/// the error for an array there: it depends on the machine, its processor and the kernel's
/// configuration.
pub fn end_of_user_space() -> io::Result<usize> {
    let epoll = Epoll::new()?;
    let is_beyond = |address: usize| {
        // SAFETY: nothing is written, as nothing is watched.
        let place = unsafe { Place::at(address) };
        let result = epoll.wait_at(place, 1, Some(Duration::ZERO));
        result.is_err_and(|error| error.raw_os_error() == Some(libc::EFAULT))
    };
    let end = (32..64).map(|bit| 1 << bit).find(|&end| is_beyond(end));
    end.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOTSUP))
}
