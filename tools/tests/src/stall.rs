// SPDX-License-Identifier: GPL-2.0
//! Memory that makes the kernel wait: whoever touches it first sleeps until it is let go on.

use crate::registry::skip;
use crate::sys::{self, check, owned};
use anyhow::{ensure, Result};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// A page that is not there, with a userfaultfd(2) that decides when it is.
pub struct StallingPage {
    address: usize,
    size: usize,
    faults: OwnedFd,
}

/// Of `<linux/userfaultfd.h>`.
const API: u64 = 0xaa;
const MODE_MISSING: u64 = 1;
const UFFDIO_API: u32 = 0xc018_aa3f;
const UFFDIO_REGISTER: u32 = 0xc020_aa00;
const UFFDIO_ZEROPAGE: u32 = 0xc020_aa04;

impl StallingPage {
    /// A new page; the test is skipped where the kernel has no userfaultfd.
    pub fn new() -> Result<Self> {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        // SAFETY: the call takes numbers only.
        let faults = match owned(unsafe { libc::syscall(libc::SYS_userfaultfd, flags) }) {
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                return skip("the kernel has no userfaultfd");
            }
            faults => faults?,
        };
        let size = sys::page_size();
        let address = {
            let prot = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: a new mapping.
            let page = unsafe { libc::mmap(std::ptr::null_mut(), size, prot, flags, -1, 0) };
            ensure!(page != libc::MAP_FAILED, "mmap");
            page as usize
        };
        let this = Self {
            address,
            size,
            faults,
        };
        this.ask(UFFDIO_API, &mut [API, 0, 0])?;
        this.ask(
            UFFDIO_REGISTER,
            &mut [address as u64, size as u64, MODE_MISSING, 0],
        )?;
        Ok(this)
    }

    /// Where it is.
    pub fn address(&self) -> usize {
        self.address
    }

    /// Reads at most so much from a file into it.
    pub fn read(&self, fd: RawFd, length: usize) -> io::Result<usize> {
        assert!(length <= self.size);
        // SAFETY: the page is so long, and nobody else uses it.
        check(unsafe { libc::read(fd, self.address as *mut _, length) }).map(|n| n as usize)
    }

    /// Writes so much of it to a file.
    pub fn write(&self, fd: RawFd, length: usize) -> io::Result<usize> {
        assert!(length <= self.size);
        // SAFETY: the page is so long.
        check(unsafe { libc::write(fd, self.address as *const _, length) }).map(|n| n as usize)
    }

    /// Waits until somebody has touched it.
    pub fn wait_for_touch(&self, limit: Duration) -> Result<()> {
        ensure!(
            sys::poll_in(self.faults.as_fd(), limit)?,
            "nobody touches it"
        );
        Ok(())
    }

    /// Lets whoever has touched it go on: it is there, and zero.
    pub fn let_go(&self) -> Result<()> {
        let page = &mut [self.address as u64, self.size as u64, 0, 0];
        self.ask(UFFDIO_ZEROPAGE, page)
    }

    fn ask(&self, request: u32, argument: &mut [u64]) -> Result<()> {
        let address = argument.as_mut_ptr() as usize;
        // SAFETY: the structures are so many words; what they are about is our page.
        unsafe { sys::ioctl(self.faults.as_raw_fd(), request, address) }?;
        Ok(())
    }
}
