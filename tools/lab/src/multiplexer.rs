// SPDX-License-Identifier: GPL-2.0
//! The kernel's multiplexers and repoll's, with the same calls.

use crate::side::Side;
use repoll::{Counts, Event, EventFlags, FdSet, Instance, PollFd, PollFlags, SelectSets};
use repoll_testkit::multiplexer::{Epoll, Multiplexer as Calls, Repoll};
use repoll_testkit::scanner::{Kernel, Poll, Scanner as _, Select};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// The timeout of a wait that does not sleep.
pub const NOW: Option<Duration> = Some(Duration::ZERO);

/// The timeout of a wait without limit.
pub const FOR_EVER: Option<Duration> = None;

/// An instance of the C epoll, or of repoll. The datum of each file is its descriptor.
pub struct Multiplexer(Box<dyn Calls>);

impl Multiplexer {
    pub fn new(side: Side) -> io::Result<Self> {
        Ok(match side {
            Side::Repoll => Self(Box::new(Repoll::new()?)),
            Side::Kernel | Side::TakenOver => Self(Box::new(epoll(side)?)),
        })
    }

    /// An instance with an anonymous file: repoll's CREATE makes one, opening the device does not.
    pub fn anonymous(side: Side) -> io::Result<Self> {
        match side {
            Side::Repoll => Ok(Self(Box::new(Repoll::anonymous()?))),
            Side::Kernel | Side::TakenOver => Self::new(side),
        }
    }

    pub fn add(&self, fd: &impl AsRawFd, events: EventFlags) -> io::Result<()> {
        self.0.add(fd, events, fd.as_raw_fd() as u64)
    }

    pub fn modify(&self, fd: &impl AsRawFd, events: EventFlags) -> io::Result<()> {
        self.0.modify(fd, events, fd.as_raw_fd() as u64)
    }

    pub fn delete(&self, fd: &impl AsRawFd) -> io::Result<()> {
        self.0.delete(fd)
    }

    /// Waits, and returns the events, at most 64.
    pub fn events(&self, timeout: Option<Duration>) -> io::Result<Vec<Event>> {
        self.0.wait(64, timeout)
    }

    /// Waits, and returns the number of events.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<usize> {
        self.events(timeout).map(|events| events.len())
    }

    /// The calls that take memory of any kind.
    pub fn raw(&self) -> &dyn Calls {
        self.0.deref()
    }
}

impl AsRawFd for Multiplexer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Makes an instance by epoll_create1(2), and checks which code has served the call.
pub fn epoll(side: Side) -> io::Result<Epoll> {
    let made = Epoll::of_any_side()?;
    match side.code().has_made(&made) {
        true => Ok(made),
        false => Err(io::Error::other(format!(
            "the new instance is not of {side}"
        ))),
    }
}

/// A call that polls all files each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Select,
    Poll,
}

/// A call of one side.
pub struct Scanner {
    call: Call,
    /// repoll's calls go to an instance, whose own interest list plays no part.
    repoll: Option<Instance>,
}

impl Scanner {
    pub fn new(call: Call, side: Side) -> io::Result<Self> {
        let repoll = match side {
            Side::Kernel | Side::TakenOver => None,
            Side::Repoll => Some(Instance::open()?),
        };
        Ok(Self { call, repoll })
    }

    /// Waits until a file can be read. Returns how many can, and the counts of repoll's call.
    pub fn wait(&self, files: &[RawFd], timeout: Option<Duration>) -> io::Result<(usize, Counts)> {
        let mut counts = Counts::default();
        let ready = match (self.call, &self.repoll) {
            (Call::Select, None) => Select(Kernel).readable(files, timeout)?.len(),
            (Call::Poll, None) => Poll(Kernel).readable(files, timeout)?.len(),
            (Call::Select, Some(instance)) => {
                let mut read = FdSet::from_iter(files.iter().copied());
                let sets = SelectSets {
                    read: Some(&mut read),
                    ..Default::default()
                };
                instance.select_counted(sets, timeout, &mut counts)?
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
