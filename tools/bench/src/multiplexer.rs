// SPDX-License-Identifier: GPL-2.0
//! Prepared calls to the two multiplexers: the C epoll and repoll.

use crate::call::Call;
use crate::words::Words;
use anyhow::Result;
use repoll::{EventFlags, Instance};
use repoll_testkit::side::Side;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Makes instances of a side.
pub enum Maker {
    /// Of the C epoll.
    Epoll,
    /// Of repoll, from this instance.
    Repoll(Instance),
}

impl Maker {
    /// One for each side, the C epoll first.
    pub fn both() -> Result<[Self; 2]> {
        Ok([Self::Epoll, Self::repoll()?])
    }

    /// Opens the device.
    pub fn repoll() -> Result<Self> {
        Ok(Self::Repoll(Instance::open()?))
    }

    /// The side.
    pub fn side(&self) -> Side {
        match self {
            Self::Epoll => Side::Kernel,
            Self::Repoll(_) => Side::Repoll,
        }
    }

    /// The side's entry cost: an empty system call, or NOP.
    pub fn nothing(&self) -> Call {
        match self {
            Self::Epoll => Call::empty(),
            Self::Repoll(device) => Call::repoll_nop(device.as_raw_fd()),
        }
    }

    /// The call that makes an instance.
    pub fn create(&self) -> Call {
        match self {
            Self::Epoll => Call::epoll_create(),
            Self::Repoll(device) => Call::repoll_create(device.as_raw_fd()),
        }
    }

    /// Makes an instance.
    pub fn instance(&self) -> io::Result<Set> {
        Ok(Set {
            fd: self.create().descriptor()?,
            side: self.side(),
        })
    }
}

/// An instance of either side.
pub struct Set {
    fd: OwnedFd,
    side: Side,
}

impl Set {
    /// A change of the interest list.
    pub fn control(&self, op: i32, fd: RawFd, events: EventFlags) -> Call {
        match self.side {
            Side::Kernel => Call::epoll_ctl(self.descriptor(), op, fd, events),
            Side::Repoll => Call::repoll_ctl(self.descriptor(), op, fd, events),
        }
    }

    /// Begins to watch `fd`.
    pub fn add(&self, fd: RawFd, events: EventFlags) -> Call {
        self.control(libc::EPOLL_CTL_ADD, fd, events)
    }

    /// The instance's descriptor.
    pub fn descriptor(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// A wait for at most `max` events, without limit or (`now`) without waiting.
    pub fn wait(&self, max: usize, now: bool) -> Call {
        match self.side {
            Side::Kernel => Call::epoll_wait(self.descriptor(), max, now),
            Side::Repoll => Call::repoll_wait(self.descriptor(), max, now),
        }
    }

    /// A wait of repoll's for at most `max` events, without limit, with counts.
    pub fn wait_counted(&self, max: usize, counts: Words) -> Call {
        assert!(self.side == Side::Repoll, "the C epoll has no counts");
        Call::repoll_wait_counted(self.descriptor(), max, counts)
    }
}
