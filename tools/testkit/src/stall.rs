// SPDX-License-Identifier: GPL-2.0
//! Memory that makes the kernel wait: a task that touches it sleeps until it is released.

use crate::files::poll_in;
use crate::memory::{page_size, Mapping, Place};
use crate::raw;
use crate::skip::skip;
use anyhow::{ensure, Result};
use rustix::mm::UserfaultfdFlags;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Memory that is not there, with a userfaultfd(2) that decides when it is.
pub struct Stalling {
    start: usize,
    size: usize,
    faults: OwnedFd,
}

/// Of `<linux/userfaultfd.h>`.
const API: u64 = 0xaa;
const MODE_MISSING: u64 = 1;
const UFFDIO_API: u32 = 0xc018_aa3f;
const UFFDIO_REGISTER: u32 = 0xc020_aa00;
const UFFDIO_ZEROPAGE: u32 = 0xc020_aa04;

/// userfaultfd(2); for accesses in user mode only, if the user may not have more.
fn userfaultfd() -> io::Result<OwnedFd> {
    let flags = UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::NONBLOCK;
    let user_mode = UserfaultfdFlags::from_bits_retain(1);
    // SAFETY: it has power over no memory before a part of a mapping is registered.
    let open = |flags| unsafe { rustix::mm::userfaultfd(flags) };
    Ok(open(flags).or_else(|error| match error {
        rustix::io::Errno::PERM => open(flags | user_mode),
        error => Err(error),
    })?)
}

impl Stalling {
    /// Makes a part of a mapping stall, which nobody has touched yet: whole pages.
    pub fn part(mapping: &Mapping, offset: usize, size: usize) -> io::Result<Self> {
        let this = Self {
            start: mapping.place(offset).address(),
            size,
            faults: userfaultfd()?,
        };
        this.ask(UFFDIO_API, [API, 0, 0, 0])?;
        this.ask(
            UFFDIO_REGISTER,
            [this.start as u64, size as u64, MODE_MISSING, 0],
        )?;
        Ok(this)
    }

    /// With another descriptor, the lowest free one from `least` on.
    pub fn numbered_from(self, least: i32) -> io::Result<Self> {
        let faults = crate::files::dup_from(&self.faults, least)?;
        Ok(Self { faults, ..self })
    }

    /// Waits until a task has touched it.
    pub fn wait_for_touch(&self, limit: Duration) -> Result<()> {
        ensure!(poll_in(&self.faults, limit)?, "nobody touches it");
        Ok(())
    }

    /// Releases the tasks that have touched it: it is there, and zero.
    pub fn let_go(&self) -> io::Result<()> {
        self.ask(UFFDIO_ZEROPAGE, [self.start as u64, self.size as u64, 0, 0])
    }

    fn ask(&self, request: u32, mut argument: [u64; 4]) -> io::Result<()> {
        let address = argument.as_mut_ptr() as usize;
        // SAFETY: the structures have at most four words; what they are about is this memory.
        unsafe { raw::ioctl(&self.faults, request, address) }.map(drop)
    }
}

/// A page that stalls.
pub struct StallingPage {
    page: Mapping,
    stalling: Stalling,
}

impl StallingPage {
    /// A new page; the test is skipped where the kernel has no userfaultfd.
    pub fn new() -> Result<Self> {
        let page = Mapping::new(page_size())?;
        match Stalling::part(&page, 0, page.size()) {
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                skip("the kernel has no userfaultfd")
            }
            stalling => Ok(Self {
                page,
                stalling: stalling?,
            }),
        }
    }

    /// The address.
    pub fn address(&self) -> usize {
        self.page.address()
    }

    /// The place of the page.
    pub fn place(&self) -> Place<'_> {
        self.page.place(0)
    }

    /// Waits until a task has touched it.
    pub fn wait_for_touch(&self, limit: Duration) -> Result<()> {
        self.stalling.wait_for_touch(limit)
    }

    /// Releases the tasks that have touched it: it is there, and zero.
    pub fn let_go(&self) -> Result<()> {
        Ok(self.stalling.let_go()?)
    }
}
