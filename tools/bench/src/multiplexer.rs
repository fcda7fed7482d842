// SPDX-License-Identifier: GPL-2.0
//! The two sides: the C epoll, and repoll.

use crate::call::{events, ioctl, machine, with_size, Call};
use anyhow::{Context, Result};
use repoll::sys::{
    repoll_create, repoll_ctl, repoll_wait, REPOLL_IOCTL_CREATE, REPOLL_IOCTL_CTL,
    REPOLL_IOCTL_NOP, REPOLL_IOCTL_WAIT, REPOLL_WAIT_SIZE_VER0,
};
use repoll::Instance;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// A kind of multiplexer.
pub enum Side {
    /// The kernel's own.
    Epoll,
    /// Ours; instances come from this one.
    Repoll(Instance),
}

impl Side {
    /// Opens the device.
    pub fn repoll() -> Result<Self> {
        Instance::open()
            .map(Self::Repoll)
            .context("cannot open /dev/repoll")
    }

    /// What does nothing: an empty system call, or NOP.
    pub fn nothing(&self) -> Call {
        match self {
            Self::Epoll => Call::empty(),
            Self::Repoll(template) => ioctl(template.as_raw_fd(), REPOLL_IOCTL_NOP, ()),
        }
    }

    /// What makes an instance.
    pub fn create(&self) -> Call {
        match self {
            // SAFETY: no pointers.
            Self::Epoll => unsafe { Call::new(libc::SYS_epoll_create1, [0; 4]) },
            Self::Repoll(template) => ioctl(
                template.as_raw_fd(),
                REPOLL_IOCTL_CREATE,
                repoll_create::default(),
            ),
        }
    }

    /// Makes an instance.
    pub fn instance(&self) -> io::Result<Set> {
        Ok(Set {
            fd: self.create().descriptor()?,
            ours: matches!(self, Self::Repoll(_)),
        })
    }
}

/// An instance of either kind.
pub struct Set {
    fd: OwnedFd,
    ours: bool,
}

impl Set {
    /// What changes the interest list.
    pub fn control(&self, op: i32, fd: RawFd, bits: i32) -> Call {
        let own = self.fd.as_raw_fd();
        let (bits, data) = (bits as u32, fd as u64);
        if self.ours {
            let argument = repoll_ctl {
                op,
                fd,
                events: bits,
                flags: 0,
                data,
            };
            return ioctl(own, REPOLL_IOCTL_CTL, argument);
        }
        let [event] = events(1) else { unreachable!() };
        event.events = bits;
        event.u64 = data;
        let event = &raw const *event as usize;
        let arguments = [own as usize, op as usize, fd as usize, event];
        // SAFETY: reads the event, which is there for ever.
        unsafe { Call::new(libc::SYS_epoll_ctl, arguments) }
    }

    /// What begins to watch `fd`.
    pub fn add(&self, fd: RawFd, bits: i32) -> Call {
        self.control(libc::EPOLL_CTL_ADD, fd, bits)
    }

    /// The instance's descriptor.
    pub fn descriptor(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// What waits for up to `max` events, without limit or (`poll`) not at all.
    pub fn wait(&self, max: usize, poll: bool) -> Call {
        let own = self.fd.as_raw_fd();
        let buffer = events(max).as_mut_ptr() as usize;
        let timeout = if poll { 0 } else { -1 };
        if self.ours {
            let argument = repoll_wait {
                events: buffer as u64,
                maxevents: max as i32,
                timeout,
                ..Default::default()
            };
            let request = with_size(REPOLL_IOCTL_WAIT, REPOLL_WAIT_SIZE_VER0);
            return ioctl(own, request, argument);
        }
        let arguments = [own as usize, buffer, max, timeout as usize];
        // SAFETY: writes up to `max` events to memory that is only for this.
        unsafe { Call::new(machine::EPOLL_WAIT, arguments) }
    }
}
