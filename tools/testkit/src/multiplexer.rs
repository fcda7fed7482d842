// SPDX-License-Identifier: GPL-2.0
//! The sides that must agree: repoll, and the kernel's own epoll as the oracle.

use crate::files::timespec;
use crate::memory::Place;
use crate::raw;
use crate::side::Side;
use crate::signals::{self, Mask};
use repoll::sys::{self, repoll_ctl as CtlArgument, repoll_wait as WaitArgument};
use repoll::{CreateFlags, Event, EventFlags, Instance, OpenError};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::from_ref;
use std::time::Duration;

/// The time limit of a call that waits; `None` for none.
pub type Timeout = Option<Duration>;

/// An instance of epoll, of any side.
///
/// It can be used as `dyn Multiplexer`, where the side is known at run time only.
pub trait Multiplexer: AsFd + AsRawFd + Send + Sync + 'static {
    /// The name in test names.
    fn name() -> &'static str
    where
        Self: Sized;

    /// The side.
    fn side() -> Side
    where
        Self: Sized;

    /// Makes an instance.
    fn new() -> io::Result<Self>
    where
        Self: Sized;

    /// Takes over a descriptor of an instance.
    fn from_descriptor(fd: OwnedFd) -> Self
    where
        Self: Sized;

    /// Gives up the descriptor.
    fn into_descriptor(self) -> OwnedFd
    where
        Self: Sized;

    /// Changes the interest list, with any operation.
    fn ctl(&self, op: i32, fd: RawFd, events: EventFlags, data: u64) -> io::Result<()>;

    /// Waits for at most `max` events, which go to a place.
    fn pwait_at(&self, to: Place<'_>, max: i32, timeout: Timeout, mask: Mask) -> io::Result<usize>;

    /// Likewise, without a mask.
    fn wait_at(&self, to: Place<'_>, max: i32, timeout: Timeout) -> io::Result<usize> {
        self.pwait_at(to, max, timeout, Mask::default())
    }

    /// Waits for at most `max` events.
    fn pwait(&self, max: usize, timeout: Timeout, mask: Mask) -> io::Result<Vec<Event>> {
        let mut events = vec![Event::default(); max];
        let count = self.pwait_at(Place::of(&mut events), max as i32, timeout, mask)?;
        events.truncate(count);
        Ok(events)
    }

    /// Likewise, without a mask.
    fn wait(&self, max: usize, timeout: Timeout) -> io::Result<Vec<Event>> {
        self.pwait(max, timeout, Mask::default())
    }

    /// Waits for at most one event, with these signals blocked and no others.
    fn wait_masked(&self, timeout: Timeout, blocked: &[i32]) -> io::Result<Vec<Event>> {
        self.pwait(1, timeout, Mask::of(&signals::set_of(blocked)))
    }

    /// The events that are ready now.
    fn ready(&self) -> io::Result<Vec<Event>> {
        self.wait(256, Some(Duration::ZERO))
    }

    /// The data of the events that are ready now.
    fn ready_data(&self) -> io::Result<Vec<u64>> {
        Ok(self.ready()?.iter().map(Event::data).collect())
    }

    /// Begins to watch.
    fn add(&self, fd: &dyn AsRawFd, events: EventFlags, data: u64) -> io::Result<()> {
        self.ctl(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), events, data)
    }

    /// Begins to watch all of these, with the same datum.
    fn add_all<'a, F: AsRawFd + 'a>(
        &self,
        fds: impl IntoIterator<Item = &'a F>,
        events: EventFlags,
        data: u64,
    ) -> io::Result<()>
    where
        Self: Sized,
    {
        fds.into_iter()
            .try_for_each(|fd| self.add(fd, events, data))
    }

    /// Changes what is watched for.
    fn modify(&self, fd: &dyn AsRawFd, events: EventFlags, data: u64) -> io::Result<()> {
        self.ctl(libc::EPOLL_CTL_MOD, fd.as_raw_fd(), events, data)
    }

    /// Ends the watching.
    fn delete(&self, fd: &dyn AsRawFd) -> io::Result<()> {
        self.ctl(libc::EPOLL_CTL_DEL, fd.as_raw_fd(), EventFlags::empty(), 0)
    }

    /// Another descriptor of the same instance.
    fn duplicate(&self) -> io::Result<Self>
    where
        Self: Sized,
    {
        let fd = self.as_fd().try_clone_to_owned()?;
        Ok(Self::from_descriptor(fd))
    }
}

/// The kernel's calls, which are the C epoll's unless another side serves them.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// Ours, by ioctls.
#[derive(Debug)]
pub struct Repoll(Instance);

impl Side {
    /// Makes an instance of epoll.
    pub fn instance(self) -> io::Result<Box<dyn Multiplexer>> {
        Ok(match self {
            Self::Repoll => Box::new(Repoll::new()?),
            Self::Kernel => Box::new(Epoll::new()?),
        })
    }
}

impl Multiplexer for Epoll {
    fn name() -> &'static str {
        "epoll"
    }

    fn side() -> Side {
        Side::of_the_kernels_calls()
    }

    fn new() -> io::Result<Self> {
        let made = Self::of_any_side()?;
        served(&made)?;
        Ok(made)
    }

    fn from_descriptor(fd: OwnedFd) -> Self {
        Self(fd)
    }

    fn into_descriptor(self) -> OwnedFd {
        self.0
    }

    fn ctl(&self, op: i32, fd: RawFd, events: EventFlags, data: u64) -> io::Result<()> {
        epoll_ctl(self, op, fd, events, data)
    }

    fn pwait_at(&self, to: Place<'_>, max: i32, timeout: Timeout, mask: Mask) -> io::Result<usize> {
        epoll_wait(self, to, max, timeout, mask)
    }
}

impl Multiplexer for Repoll {
    fn name() -> &'static str {
        "repoll"
    }

    fn side() -> Side {
        Side::Repoll
    }

    fn new() -> io::Result<Self> {
        // The errno is kept: a test may expect one.
        Ok(Self(Instance::open().map_err(OpenError::into_inner)?))
    }

    fn from_descriptor(fd: OwnedFd) -> Self {
        Self(fd.into())
    }

    fn into_descriptor(self) -> OwnedFd {
        self.0.into()
    }

    fn ctl(&self, op: i32, fd: RawFd, events: EventFlags, data: u64) -> io::Result<()> {
        repoll_ctl(self, op, fd, events, data)
    }

    fn pwait_at(&self, to: Place<'_>, max: i32, timeout: Timeout, mask: Mask) -> io::Result<usize> {
        repoll_wait(self, to, max, timeout, mask)
    }
}

impl Epoll {
    /// Makes an instance, whichever side serves the call.
    pub fn of_any_side() -> io::Result<Self> {
        let flags = [libc::EPOLL_CLOEXEC as usize];
        // SAFETY: the call takes a number, and makes a descriptor.
        unsafe { raw::new_descriptor(libc::SYS_epoll_create1, flags) }.map(Self)
    }
}

impl Repoll {
    /// An instance that CREATE makes, with an anonymous file.
    pub fn anonymous() -> io::Result<Self> {
        Self::new()?.create(CreateFlags::CLOEXEC)
    }

    /// Another instance, that CREATE makes from this one.
    pub fn create(&self, flags: CreateFlags) -> io::Result<Self> {
        self.0.create(flags).map(Self)
    }

    /// The instance, for what only repoll has.
    pub fn instance(&self) -> &Instance {
        &self.0
    }

    /// CTL with any argument.
    pub fn ctl_raw(&self, argument: &CtlArgument) -> io::Result<()> {
        // SAFETY: the request only reads the argument.
        unsafe { raw::ioctl(self, sys::REPOLL_IOCTL_CTL, from_ref(argument) as usize) }.map(drop)
    }

    /// WAIT with any argument.
    ///
    /// # Safety
    ///
    /// The kernel writes to the addresses in the argument, as far as they are mapped.
    pub unsafe fn wait_raw(&self, argument: &WaitArgument) -> io::Result<usize> {
        // SAFETY: by the contract of this function.
        unsafe { sys::ioctl(&self.0, &mut { *argument }) }
    }
}

/// Checks that the right side has served epoll_create(2).
pub(crate) fn served(made: &impl AsRawFd) -> io::Result<()> {
    let side = Side::of_the_kernels_calls();
    if !side.has_made(made) {
        return Err(io::Error::other(format!(
            "the new instance is not of {side}"
        )));
    }
    Ok(())
}

/// epoll_ctl(2) on any descriptor.
pub fn epoll_ctl(
    epoll: &impl AsRawFd,
    op: i32,
    fd: RawFd,
    events: EventFlags,
    data: u64,
) -> io::Result<()> {
    let event = Event::new(events, data);
    let epoll = epoll.as_raw_fd() as usize;
    let arguments = [epoll, op as usize, fd as usize, from_ref(&event) as usize];
    // SAFETY: the event lives through the call, which only reads it.
    unsafe { raw::syscall(libc::SYS_epoll_ctl, arguments) }.map(drop)
}

/// epoll_pwait2(2) on any descriptor; for the arguments see [`Multiplexer::pwait_at`].
pub fn epoll_wait(
    epoll: &impl AsRawFd,
    to: Place<'_>,
    max: i32,
    timeout: Timeout,
    mask: Mask,
) -> io::Result<usize> {
    let at = to.with_room_for(max.max(0) as usize, size_of::<Event>());
    let timeout = timeout.map(timespec);
    let limit = timeout.as_ref().map_or(0, |time| from_ref(time) as usize);
    let epoll = epoll.as_raw_fd() as usize;
    let arguments = [epoll, at, max as usize, limit, mask.address, mask.size];
    // SAFETY: the place has room for the events; timeout and mask are only read.
    unsafe { raw::syscall(libc::SYS_epoll_pwait2, arguments) }
}

/// CTL on any descriptor.
pub fn repoll_ctl(
    instance: &impl AsRawFd,
    op: i32,
    fd: RawFd,
    events: EventFlags,
    data: u64,
) -> io::Result<()> {
    let argument = CtlArgument {
        op,
        fd,
        events: events.bits(),
        flags: 0,
        data,
    };
    // SAFETY: the request only reads the argument.
    unsafe {
        raw::ioctl(
            instance,
            sys::REPOLL_IOCTL_CTL,
            from_ref(&argument) as usize,
        )
    }
    .map(drop)
}

/// WAIT on any descriptor; for the arguments see [`Multiplexer::pwait_at`].
pub fn repoll_wait(
    instance: &impl AsRawFd,
    to: Place<'_>,
    max: i32,
    timeout: Timeout,
    mask: Mask,
) -> io::Result<usize> {
    let argument = WaitArgument {
        events: to.with_room_for(max.max(0) as usize, size_of::<Event>()) as u64,
        maxevents: max,
        timeout: nanoseconds(timeout),
        sigmask: mask.address as u64,
        sigsetsize: mask.size as u64,
        ..Default::default()
    };
    let address = from_ref(&argument) as usize;
    // SAFETY: the request reads the argument and the mask; the place has room for the events.
    unsafe { raw::ioctl(instance, sys::REPOLL_IOCTL_WAIT, address) }
}

/// A timeout as WAIT has it.
pub fn nanoseconds(timeout: Timeout) -> i64 {
    timeout.map_or(-1, |t| i64::try_from(t.as_nanos()).unwrap_or(i64::MAX))
}

/// Gives a type the number of the descriptor that it contains.
macro_rules! descriptor {
    ($($type:ident),+) => {
        $(
            impl AsRawFd for $type {
                fn as_raw_fd(&self) -> RawFd {
                    self.0.as_raw_fd()
                }
            }

            impl AsFd for $type {
                fn as_fd(&self) -> BorrowedFd<'_> {
                    self.0.as_fd()
                }
            }
        )+
    };
}

pub(crate) use descriptor;

descriptor!(Epoll, Repoll);
