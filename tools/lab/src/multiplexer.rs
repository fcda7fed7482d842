// SPDX-License-Identifier: GPL-2.0
//! The kernel's multiplexers and repoll's, by the same calls.

use crate::claim::Side;
use crate::sys::{self, Set};
use repoll::{
    Counts, CreateFlags, Event, EventFlags, Events, FdSet, Instance, PollFd, PollFlags, SelectSets,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// An instance of epoll, or of repoll's.
pub enum Multiplexer {
    C(OwnedFd),
    Repoll(Instance),
}

/// One that does not end.
pub const FOR_EVER: i32 = -1;

impl Multiplexer {
    pub fn new(side: Side) -> io::Result<Self> {
        match side {
            Side::Kernel => sys::epoll_create().map(Self::C),
            Side::Repoll => Ok(Self::Repoll(Instance::open()?)),
        }
    }

    /// An instance with an anonymous file: for repoll's the one that CREATE makes.
    pub fn anonymous(side: Side) -> io::Result<Self> {
        match side {
            Side::Kernel => sys::epoll_create().map(Self::C),
            Side::Repoll => Instance::open()?
                .create(CreateFlags::CLOEXEC)
                .map(Self::Repoll),
        }
    }

    /// Watches a file; its datum is the descriptor.
    pub fn add(&self, fd: &impl AsRawFd, events: EventFlags) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        match self {
            Self::C(epoll) => sys::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, events.bits()),
            Self::Repoll(instance) => instance.ctl(libc::EPOLL_CTL_ADD, fd, events, fd as u64),
        }
    }

    pub fn modify(&self, fd: &impl AsRawFd, events: EventFlags) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        match self {
            Self::C(epoll) => sys::epoll_ctl(epoll, libc::EPOLL_CTL_MOD, fd, events.bits()),
            Self::Repoll(instance) => instance.ctl(libc::EPOLL_CTL_MOD, fd, events, fd as u64),
        }
    }

    pub fn delete(&self, fd: &impl AsRawFd) -> io::Result<()> {
        match self {
            Self::C(epoll) => sys::epoll_ctl(epoll, libc::EPOLL_CTL_DEL, fd.as_raw_fd(), 0),
            Self::Repoll(instance) => {
                instance.ctl(libc::EPOLL_CTL_DEL, fd.as_raw_fd(), EventFlags::empty(), 0)
            }
        }
    }

    /// The events, of 64 at the most; waits for the first so many milliseconds.
    pub fn events(&self, milliseconds: i32) -> io::Result<Vec<Event>> {
        match self {
            Self::C(epoll) => {
                let mut events = [Event::default(); 64];
                let count = sys::epoll_wait(epoll, &mut events, milliseconds)?;
                Ok(events[..count].to_vec())
            }
            Self::Repoll(instance) => {
                let mut events = Events::with_capacity(64);
                let timeout = u64::try_from(milliseconds).ok().map(Duration::from_millis);
                instance.wait(&mut events, timeout)?;
                Ok(events.to_vec())
            }
        }
    }

    /// How many events there are.
    pub fn wait(&self, milliseconds: i32) -> io::Result<usize> {
        self.events(milliseconds).map(|events| events.len())
    }
}

impl AsRawFd for Multiplexer {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::C(epoll) => epoll.as_raw_fd(),
            Self::Repoll(instance) => instance.as_raw_fd(),
        }
    }
}

/// One of the two calls that look at all files each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Select,
    Poll,
}

/// A way to make such a call.
pub struct Scanner {
    call: Call,
    /// Repoll's calls want one; what it watches plays no part.
    repoll: Option<Instance>,
}

impl Scanner {
    pub fn new(call: Call, side: Side) -> io::Result<Self> {
        let repoll = match side {
            Side::Kernel => None,
            Side::Repoll => Some(Instance::open()?),
        };
        Ok(Self { call, repoll })
    }

    /// Waits until one of the files can be read, and returns how many can; for repoll's with what it did.
    pub fn wait(&self, files: &[RawFd], milliseconds: i32) -> io::Result<(usize, Counts)> {
        let mut counts = Counts::default();
        let timeout = u64::try_from(milliseconds).ok().map(Duration::from_millis);
        let ready = match (self.call, &self.repoll) {
            (Call::Select, None) => {
                let end = files.iter().max().map_or(0, |last| last + 1);
                let mut set = Set::new(end as usize);
                files.iter().for_each(|file| set.insert(*file));
                set.select(end, milliseconds)?
            }
            (Call::Select, Some(instance)) => {
                let mut read = FdSet::from_iter(files.iter().copied());
                let sets = SelectSets {
                    read: Some(&mut read),
                    ..Default::default()
                };
                instance.select_counted(sets, timeout, &mut counts)?
            }
            (Call::Poll, None) => {
                let entry = |file| sys::interest(file, libc::POLLIN);
                sys::poll(
                    &mut files.iter().map(entry).collect::<Vec<_>>(),
                    milliseconds,
                )?
            }
            (Call::Poll, Some(instance)) => {
                let entry = |&file| PollFd::from_raw(file, PollFlags::IN);
                let mut fds: Vec<_> = files.iter().map(entry).collect();
                instance.poll_counted(&mut fds, timeout, &mut counts)?
            }
        };
        Ok((ready, counts))
    }
}
