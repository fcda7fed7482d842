// SPDX-License-Identifier: GPL-2.0
//! Which memory of the caller's a call touches.

use super::{check, select_at};
use repoll::{sys as uapi, Event, Instance};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// A multiple of the size of pages.
const PAGE: usize = 64 * 1024;

/// Memory of which an end can be forbidden, so that the kernel shows by EFAULT what it touches.
pub struct Memory {
    start: *mut u8,
}

impl Memory {
    /// A page, and after it one that cannot be touched.
    pub fn new() -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, at an address that the kernel chooses, of which we forbid the second page.
        unsafe {
            let start = libc::mmap(std::ptr::null_mut(), 2 * PAGE, protection, kind, -1, 0);
            if start == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let memory = Self {
                start: start.cast(),
            };
            check(libc::mprotect(start.byte_add(PAGE), PAGE, libc::PROT_NONE))?;
            Ok(memory)
        }
    }

    /// Forbids to write to the first page, too.
    pub fn read_only(&self) -> io::Result<()> {
        // SAFETY: the page is ours, and nothing of Rust's is in it.
        check(unsafe { libc::mprotect(self.start.cast(), PAGE, libc::PROT_READ) }).map(drop)
    }

    /// Where so many bytes end at the end of the first page.
    fn before_end(&self, bytes: usize) -> *mut u8 {
        self.start.wrapping_add(PAGE - bytes)
    }

    /// select(2) of a set of `nfds` bits, all zero, of which only so many bytes can be touched.
    pub fn select(&self, nfds: RawFd, bytes: usize) -> io::Result<usize> {
        let set = self.before_end(bytes).cast();
        // SAFETY: what the kernel may write to is this memory, which nothing else uses.
        unsafe { select_at(nfds, set, std::ptr::null_mut(), 0) }
    }

    /// The same by repoll.
    pub fn repoll_select(&self, by: &Instance, nfds: RawFd, bytes: usize) -> io::Result<usize> {
        let mut argument = uapi::repoll_select {
            readfds: self.before_end(bytes) as u64,
            nfds,
            ..Default::default()
        };
        // SAFETY: as for `select`; the argument lives through the call.
        check(unsafe {
            libc::ioctl(
                by.as_raw_fd(),
                uapi::REPOLL_IOCTL_SELECT as _,
                &raw mut argument,
            )
        })
        .map(|count| count as usize)
    }

    /// poll(2) of so many descriptors 0 without events, of which only some can be touched.
    pub fn poll(&self, count: usize, there: usize) -> io::Result<usize> {
        let fds = self.before_end(there * size_of::<libc::pollfd>()).cast();
        // SAFETY: as for `select`.
        check(unsafe { libc::poll(fds, count as libc::nfds_t, 0) }).map(|count| count as usize)
    }

    /// The same by repoll.
    pub fn repoll_poll(&self, by: &Instance, count: usize, there: usize) -> io::Result<usize> {
        let mut argument = uapi::repoll_poll {
            fds: self.before_end(there * size_of::<libc::pollfd>()) as u64,
            nfds: count as u32,
            ..Default::default()
        };
        // SAFETY: as for `repoll_select`.
        check(unsafe {
            libc::ioctl(
                by.as_raw_fd(),
                uapi::REPOLL_IOCTL_POLL as _,
                &raw mut argument,
            )
        })
        .map(|count| count as usize)
    }

    /// epoll_wait(2) for `count` events, of which only some have room.
    pub fn epoll_wait(&self, epoll: &OwnedFd, count: i32, there: usize) -> io::Result<usize> {
        let events = self.before_end(there * size_of::<Event>()).cast();
        // SAFETY: as for `select`.
        check(unsafe { libc::epoll_wait(epoll.as_raw_fd(), events, count, 0) })
            .map(|count| count as usize)
    }

    /// The same by repoll.
    pub fn repoll_wait(&self, by: &Instance, count: i32, there: usize) -> io::Result<usize> {
        let argument = uapi::repoll_wait {
            events: self.before_end(there * size_of::<Event>()) as u64,
            maxevents: count,
            ..Default::default()
        };
        // SAFETY: as for `repoll_select`.
        check(unsafe {
            libc::ioctl(
                by.as_raw_fd(),
                uapi::REPOLL_IOCTL_WAIT as _,
                &raw const argument,
            )
        })
        .map(|count| count as usize)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours alone. If it stays, it is memory that nobody uses.
        unsafe { libc::munmap(self.start.cast(), 2 * PAGE) };
    }
}
