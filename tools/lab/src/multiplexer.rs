// SPDX-License-Identifier: GPL-2.0
//! The C epoll and repoll, by the same calls.

use crate::sys::{check, owned};
use repoll::{Event, Events, Instance};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// An instance of one of them.
pub enum Multiplexer {
    C(OwnedFd),
    Repoll(Instance),
}

/// Both, in this order, by their names.
pub fn both() -> io::Result<[(&'static str, Multiplexer); 2]> {
    Ok([
        ("epoll", Multiplexer::c()?),
        ("repoll", Multiplexer::Repoll(Instance::open()?)),
    ])
}

impl Multiplexer {
    pub fn c() -> io::Result<Self> {
        // SAFETY: no pointers.
        unsafe { owned(libc::epoll_create1(libc::EPOLL_CLOEXEC)) }.map(Self::C)
    }

    /// Another one of the same kind.
    pub fn another(&self) -> io::Result<Self> {
        match self {
            Self::C(_) => Self::c(),
            Self::Repoll(_) => Instance::open().map(Self::Repoll),
        }
    }

    fn ctl(&self, op: i32, fd: RawFd, events: Events) -> io::Result<()> {
        match self {
            Self::C(epoll) => {
                let mut event = libc::epoll_event {
                    events: events.bits(),
                    u64: fd as u64,
                };
                // SAFETY: the event lives through the call.
                check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), op, fd, &mut event) }).map(drop)
            }
            Self::Repoll(instance) => match op {
                libc::EPOLL_CTL_ADD => instance.add(&fd, events, fd as u64),
                _ => instance.modify(&fd, events, fd as u64),
            },
        }
    }

    /// Watches a file; its datum is the descriptor.
    pub fn add(&self, fd: &impl AsRawFd, events: Events) -> io::Result<()> {
        self.ctl(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), events)
    }

    pub fn modify(&self, fd: &impl AsRawFd, events: Events) -> io::Result<()> {
        self.ctl(libc::EPOLL_CTL_MOD, fd.as_raw_fd(), events)
    }

    /// How many events there are, of 64 at the most; waits for the first so many milliseconds.
    pub fn wait(&self, milliseconds: i32) -> io::Result<usize> {
        let mut events = [Event::default(); 64];
        match self {
            Self::C(epoll) => {
                // SAFETY: `Event` is a transparent `epoll_event`; there is room for 64.
                let count = unsafe {
                    libc::epoll_wait(
                        epoll.as_raw_fd(),
                        events.as_mut_ptr().cast(),
                        64,
                        milliseconds,
                    )
                };
                check(count).map(|count| count as usize)
            }
            Self::Repoll(instance) => {
                let timeout = u64::try_from(milliseconds).ok().map(Duration::from_millis);
                instance.wait(&mut events, timeout).map(<[_]>::len)
            }
        }
    }
}
