// SPDX-License-Identifier: GPL-2.0
//! The two that must agree: repoll, and the kernel's own epoll as the oracle.

use crate::sys;
use repoll::sys::{repoll_ctl, repoll_wait, REPOLL_IOCTL_CTL, REPOLL_IOCTL_WAIT};
use repoll::{Event, EventFlags, Events, Instance, OpenError, SignalSet};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// An instance of epoll, of either make.
pub trait Multiplexer:
    AsRawFd + From<OwnedFd> + Into<OwnedFd> + Send + Sync + Sized + 'static
{
    /// The name in test names.
    const NAME: &'static str;

    /// Makes an instance.
    fn new() -> io::Result<Self>;

    /// Changes the interest list, with any operation.
    fn ctl(&self, op: i32, fd: RawFd, events: EventFlags, data: u64) -> io::Result<()>;

    /// Waits for at most `maxevents` events, which go to `address`.
    ///
    /// # Safety
    ///
    /// The kernel writes there, as far as it is mapped: nothing else may be there.
    unsafe fn wait_at(
        &self,
        address: usize,
        maxevents: i32,
        timeout: Option<Duration>,
    ) -> io::Result<usize>;

    /// Waits for at most one event, with a signal mask of `size` bytes at `mask`.
    ///
    /// # Safety
    ///
    /// What the kernel reads at `mask` may be anything, also nothing.
    unsafe fn wait_masked_at(
        &self,
        timeout: Option<Duration>,
        mask: usize,
        size: usize,
    ) -> io::Result<Vec<Event>>;

    /// Waits for at most one event, with these signals blocked and no others.
    fn wait_masked(&self, timeout: Option<Duration>, blocked: &[i32]) -> io::Result<Vec<Event>> {
        let mask: u64 = blocked.iter().map(|signal| 1 << (signal - 1)).sum();
        let address = std::ptr::from_ref(&mask) as usize;
        // SAFETY: the mask lives through the call.
        unsafe { self.wait_masked_at(timeout, address, size_of_val(&mask)) }
    }

    /// Waits for at most `max` events.
    fn wait(&self, max: usize, timeout: Option<Duration>) -> io::Result<Vec<Event>> {
        let mut events = vec![Event::default(); max];
        // SAFETY: the vector is ours, and has room for `max` events.
        let count = unsafe { self.wait_at(events.as_mut_ptr() as usize, max as i32, timeout) }?;
        events.truncate(count);
        Ok(events)
    }

    /// What is ready now.
    fn ready(&self) -> io::Result<Vec<Event>> {
        self.wait(256, Some(Duration::ZERO))
    }

    /// The data of what is ready now.
    fn ready_data(&self) -> io::Result<Vec<u64>> {
        Ok(self.ready()?.iter().map(Event::data).collect())
    }

    /// Begins to watch.
    fn add(&self, fd: &impl AsRawFd, events: EventFlags, data: u64) -> io::Result<()> {
        self.ctl(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), events, data)
    }

    /// Changes what is watched for.
    fn modify(&self, fd: &impl AsRawFd, events: EventFlags, data: u64) -> io::Result<()> {
        self.ctl(libc::EPOLL_CTL_MOD, fd.as_raw_fd(), events, data)
    }

    /// Ends the watching.
    fn delete(&self, fd: &impl AsRawFd) -> io::Result<()> {
        self.ctl(libc::EPOLL_CTL_DEL, fd.as_raw_fd(), EventFlags::empty(), 0)
    }

    /// Another descriptor of the same instance.
    fn duplicate(&self) -> io::Result<Self> {
        // SAFETY: the number is open as long as `self` is.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(self.as_raw_fd()) };
        Ok(fd.try_clone_to_owned()?.into())
    }
}

/// The kernel's own.
pub struct Epoll(OwnedFd);

/// Ours, through the client crate.
#[derive(Debug)]
pub struct Repoll(Instance);

impl Multiplexer for Epoll {
    const NAME: &'static str = "epoll";

    fn new() -> io::Result<Self> {
        // SAFETY: the call takes a number only; the kernel has just made what it returns.
        unsafe {
            let fd = sys::check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?;
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    fn ctl(&self, op: i32, fd: RawFd, events: EventFlags, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: events.bits(),
            u64: data,
        };
        // SAFETY: `event` lives through the call.
        sys::check(unsafe { libc::epoll_ctl(self.as_raw_fd(), op, fd, &mut event) }).map(drop)
    }

    unsafe fn wait_at(
        &self,
        address: usize,
        maxevents: i32,
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        // SAFETY: the address is the caller's business.
        unsafe { self.pwait2(address, maxevents, timeout, 0, 0) }
    }

    unsafe fn wait_masked_at(
        &self,
        timeout: Option<Duration>,
        mask: usize,
        size: usize,
    ) -> io::Result<Vec<Event>> {
        let mut event = Event::default();
        let address = std::ptr::from_mut(&mut event) as usize;
        // SAFETY: there is room for one event; the mask is the caller's business.
        let count = unsafe { self.pwait2(address, 1, timeout, mask, size) }?;
        Ok(vec![event; count])
    }
}

impl Epoll {
    /// epoll_pwait2(2).
    ///
    /// # Safety
    ///
    /// As [`Multiplexer::wait_at`] and [`Multiplexer::wait_masked_at`].
    unsafe fn pwait2(
        &self,
        address: usize,
        maxevents: i32,
        timeout: Option<Duration>,
        mask: usize,
        size: usize,
    ) -> io::Result<usize> {
        let timeout = timeout.map(sys::timespec);
        let timeout = timeout
            .as_ref()
            .map_or(std::ptr::null(), std::ptr::from_ref);
        let epoll = self.as_raw_fd();
        // SAFETY: the timeout lives through the call; the addresses are the caller's business.
        let count = sys::check(unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                epoll,
                address,
                maxevents,
                timeout,
                mask,
                size,
            )
        })?;
        Ok(count as usize)
    }
}

impl Multiplexer for Repoll {
    const NAME: &'static str = "repoll";

    fn new() -> io::Result<Self> {
        Instance::open().map(Self).map_err(OpenError::into_inner)
    }

    fn ctl(&self, op: i32, fd: RawFd, events: EventFlags, data: u64) -> io::Result<()> {
        self.0.ctl(op, fd, events, data)
    }

    unsafe fn wait_at(
        &self,
        address: usize,
        maxevents: i32,
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        // SAFETY: the address is the caller's business.
        unsafe {
            self.wait_raw(&repoll_wait {
                events: address as u64,
                maxevents,
                timeout: nanoseconds(timeout),
                ..Default::default()
            })
        }
    }

    unsafe fn wait_masked_at(
        &self,
        timeout: Option<Duration>,
        mask: usize,
        size: usize,
    ) -> io::Result<Vec<Event>> {
        let mut event = Event::default();
        let argument = repoll_wait {
            events: std::ptr::from_mut(&mut event) as u64,
            maxevents: 1,
            timeout: nanoseconds(timeout),
            sigmask: mask as u64,
            sigsetsize: size as u64,
            ..Default::default()
        };
        // SAFETY: there is room for one event; the mask is the caller's business.
        let count = unsafe { self.wait_raw(&argument) }?;
        Ok(vec![event; count])
    }

    fn wait(&self, max: usize, timeout: Option<Duration>) -> io::Result<Vec<Event>> {
        let mut events = Events::with_capacity(max);
        self.0.wait(&mut events, timeout)?;
        Ok(events.to_vec())
    }

    fn wait_masked(&self, timeout: Option<Duration>, blocked: &[i32]) -> io::Result<Vec<Event>> {
        let mut event = Events::with_capacity(1);
        let mask = SignalSet::from_iter(blocked.iter().copied());
        self.0.wait_masked(&mut event, timeout, &mask)?;
        Ok(event.to_vec())
    }
}

impl Repoll {
    /// The instance, for what only repoll has.
    pub fn instance(&self) -> &Instance {
        &self.0
    }

    /// CTL with any argument.
    pub fn ctl_raw(&self, argument: &repoll_ctl) -> io::Result<()> {
        let address = std::ptr::from_ref(argument) as usize;
        // SAFETY: the request only reads a `repoll_ctl`.
        unsafe { sys::ioctl(self.as_raw_fd(), REPOLL_IOCTL_CTL, address) }.map(drop)
    }

    /// WAIT with any argument.
    ///
    /// # Safety
    ///
    /// As [`Multiplexer::wait_at`].
    pub unsafe fn wait_raw(&self, argument: &repoll_wait) -> io::Result<usize> {
        let address = std::ptr::from_ref(argument) as usize;
        // SAFETY: the request reads a `repoll_wait`; the rest is the caller's business.
        let count = unsafe { sys::ioctl(self.as_raw_fd(), REPOLL_IOCTL_WAIT, address) }?;
        Ok(count as usize)
    }
}

/// A timeout as [`repoll_wait`] has it.
pub(crate) fn nanoseconds(timeout: Option<Duration>) -> i64 {
    timeout.map_or(-1, |t| i64::try_from(t.as_nanos()).unwrap_or(i64::MAX))
}

/// What makes a type with a descriptor in it one.
macro_rules! descriptor {
    ($type:ident) => {
        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                self.0.as_raw_fd()
            }
        }

        impl From<OwnedFd> for $type {
            fn from(fd: OwnedFd) -> Self {
                Self(fd.into())
            }
        }

        impl From<$type> for OwnedFd {
            fn from(instance: $type) -> Self {
                instance.0.into()
            }
        }
    };
}

pub(crate) use descriptor;

descriptor!(Epoll);
descriptor!(Repoll);
