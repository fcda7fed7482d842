// SPDX-License-Identifier: MIT OR Apache-2.0
//! An instance of the multiplexer, with its interest list.

use crate::descriptor::descriptor;
use crate::open::{open, OpenError};
use crate::sys::{self, call};
use crate::{Counts, Event, EventFlags, Events, SignalSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

/// The device whose opening makes an instance.
pub const DEVICE: &str = "/dev/repoll";

/// The most events that the kernel takes room for.
const MOST_EVENTS: usize = i32::MAX as usize / size_of::<Event>();

bitflags::bitflags! {
    /// The flags of [`Instance::create`], those of `epoll_create1(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct CreateFlags: u32 {
        /// Close the new descriptor on `execve(2)`.
        const CLOEXEC = libc::O_CLOEXEC as u32;
    }
}

/// A multiplexer: an interest list and a ready queue behind a file descriptor. See epoll(7).
///
/// Threads can share it: every method takes `&self`. Processes can share it as they share any file:
/// by `dup(2)`, by `fork(2)`, or over a Unix socket. It does not keep the watched files open: a
/// file leaves the interest list at its last close.
#[derive(Debug)]
pub struct Instance(OwnedFd);

descriptor!(
    Instance,
    "Takes over a descriptor that is an instance, such as one received from another process."
);

impl Instance {
    /// Makes an instance by opening [`DEVICE`], with close-on-exec set.
    ///
    /// # Errors
    ///
    /// `ENOENT` when the module is not loaded, and the other errors of `open(2)`.
    pub fn open() -> Result<Self, OpenError> {
        Self::open_at(DEVICE)
    }

    /// Makes an instance by opening the device node at `path`.
    ///
    /// # Errors
    ///
    /// The errors of `open(2)`.
    pub fn open_at(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        open(path.as_ref(), 0).map(|file| Self(file.into()))
    }

    /// Makes another instance, independent of this one, as `epoll_create1(2)` does.
    ///
    /// It needs no device node, so it also works in a chroot.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown flag; `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn create(&self, flags: CreateFlags) -> io::Result<Self> {
        let argument = sys::repoll_create {
            flags: flags.bits(),
            ..Default::default()
        };
        let (fd, _) = call(self, argument)?;
        // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    /// Makes another descriptor of the same instance, with close-on-exec set.
    ///
    /// # Errors
    ///
    /// `EMFILE`.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Begins to watch the open file that `fd` refers to; `data` comes back with each of its
    /// events.
    ///
    /// # Errors
    ///
    /// Those of `EPOLL_CTL_ADD`: `EBADF`, `EEXIST` (already watched under this number), `EINVAL`,
    /// `ELOOP` (an epoll or another instance), `ENOMEM`, `ENOSPC` (too many watches of this
    /// user), `EPERM` (a regular file or a directory).
    pub fn add(&self, fd: impl AsFd, events: EventFlags, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, raw(&fd), events, data)
    }

    /// Changes the events and the datum of a watched file, and arms it again after
    /// [`EventFlags::ONESHOT`].
    ///
    /// # Errors
    ///
    /// Those of `EPOLL_CTL_MOD`: `EBADF`, `EINVAL`, `ENOENT` (not watched).
    pub fn modify(&self, fd: impl AsFd, events: EventFlags, data: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, raw(&fd), events, data)
    }

    /// Stops watching a file.
    ///
    /// # Errors
    ///
    /// Those of `EPOLL_CTL_DEL`: `EBADF`, `EINVAL`, `ENOENT` (not watched).
    pub fn delete(&self, fd: impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, raw(&fd), EventFlags::empty(), 0)
    }

    /// Changes the interest list by any operation, for any number in place of a descriptor.
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl(2)`.
    #[cfg(feature = "sys")]
    pub fn ctl(&self, op: i32, fd: RawFd, events: EventFlags, data: u64) -> io::Result<()> {
        self.control(op, fd, events, data)
    }

    /// Waits until a file is ready, fills `events`, and returns the number of events.
    ///
    /// Without a timeout it waits without limit; with [`Duration::ZERO`] it does not wait. After a
    /// timeout there are no events. The timeout has a resolution of a nanosecond and is a lower
    /// bound.
    ///
    /// # Errors
    ///
    /// Those of `epoll_wait(2)`: `EINTR` (a signal handler ran; the wait is not restarted),
    /// `EINVAL` (a buffer without capacity). There are then no events in the buffer.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        self.wait_with(events, timeout, None, None)
    }

    /// Waits as [`Instance::wait`] does, with `mask` in place of the thread's signal mask, as
    /// `epoll_pwait2(2)`: the kernel replaces the mask, waits, and restores the mask, as one.
    ///
    /// A program that blocks a signal at all other times therefore misses none: a signal that was
    /// sent before the wait ends the wait. If an event is ready too, the event is reported, and the
    /// signal stays pending. `SIGKILL` and `SIGSTOP` cannot be blocked.
    ///
    /// ```no_run
    /// use repoll::{Events, Instance, SignalSet};
    /// use std::io::ErrorKind;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let instance = Instance::open()?;
    /// let mut events = Events::with_capacity(16);
    /// // The thread blocks SIGTERM at all other times. Here nothing is blocked.
    /// match instance.wait_masked(&mut events, None, &SignalSet::empty()) {
    ///     Err(error) if error.kind() == ErrorKind::Interrupted => println!("a handler ran"),
    ///     count => println!("{} events: {events:?}", count?),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Instance::wait`].
    pub fn wait_masked(
        &self,
        events: &mut Events,
        timeout: Option<Duration>,
        mask: &SignalSet,
    ) -> io::Result<usize> {
        self.wait_with(events, timeout, Some(mask), None)
    }

    /// Waits as [`Instance::wait`] does, and fills in `counts`, also if it fails.
    ///
    /// # Errors
    ///
    /// Those of [`Instance::wait`].
    pub fn wait_counted(
        &self,
        events: &mut Events,
        timeout: Option<Duration>,
        counts: &mut Counts,
    ) -> io::Result<usize> {
        self.wait_with(events, timeout, None, Some(counts))
    }

    fn wait_with(
        &self,
        events: &mut Events,
        timeout: Option<Duration>,
        mask: Option<&SignalSet>,
        counts: Option<&mut Counts>,
    ) -> io::Result<usize> {
        let room = events.room();
        let (counts, counts_size) = Counts::place(counts);
        let mut argument = sys::repoll_wait {
            events: room.as_mut_ptr() as u64,
            maxevents: room.len().min(MOST_EVENTS) as i32,
            timeout: nanoseconds(timeout),
            sigmask: mask.map_or(0, |mask| std::ptr::from_ref(mask) as u64),
            sigsetsize: size_of::<SignalSet>() as u64,
            counts,
            counts_size,
            ..Default::default()
        };
        // SAFETY: the ioctl reads the mask, and writes at most `maxevents` events to the room and
        // numbers to the counts, all of which live through the call; the latter two are exclusively
        // borrowed. Any bytes make an `Event`.
        let count = unsafe { sys::ioctl(self, &mut argument) }?;
        events.set_filled(count);
        Ok(count)
    }

    /// Enters the kernel and does nothing: the entry cost that measurements subtract.
    ///
    /// # Errors
    ///
    /// None is expected.
    pub fn nop(&self) -> io::Result<()> {
        call(self, sys::Nop).map(drop)
    }

    fn control(&self, op: i32, fd: RawFd, events: EventFlags, data: u64) -> io::Result<()> {
        let argument = sys::repoll_ctl {
            op,
            fd,
            events: events.bits(),
            flags: 0,
            data,
        };
        call(self, argument).map(drop)
    }
}

/// The number of a borrowed descriptor.
pub(crate) fn raw(fd: &impl AsFd) -> RawFd {
    fd.as_fd().as_raw_fd()
}

/// A timeout as the kernel takes it. More than 292 years become 292 years.
pub(crate) fn nanoseconds(timeout: Option<Duration>) -> i64 {
    timeout.map_or(-1, |timeout| {
        i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_nanoseconds_and_saturate() {
        assert_eq!(nanoseconds(None), -1);
        assert_eq!(nanoseconds(Some(Duration::ZERO)), 0);
        assert_eq!(nanoseconds(Some(Duration::from_micros(3))), 3_000);
        assert_eq!(nanoseconds(Some(Duration::MAX)), i64::MAX);
    }

    /// Another file in place of an instance. It refuses the ioctls, so no module is needed.
    fn no_instance() -> Instance {
        let file = std::fs::File::open("/dev/null").expect("/dev/null is there");
        Instance::from(OwnedFd::from(file))
    }

    #[test]
    fn another_file_refuses_the_calls() {
        let (instance, mut events) = (no_instance(), Events::with_capacity(1));
        let refused = |result: io::Result<usize>| {
            assert_eq!(
                result.expect_err("not a device of repoll").raw_os_error(),
                Some(libc::ENOTTY)
            );
        };
        let mut counts = Counts::default();
        refused(instance.wait(&mut events, None));
        refused(instance.wait_counted(&mut events, None, &mut counts));
        refused(instance.add(&instance, EventFlags::IN, 0).map(|()| 0));
        refused(
            instance
                .add(instance.as_fd(), EventFlags::IN, 0)
                .map(|()| 0),
        );
        refused(instance.nop().map(|()| 0));
    }

    #[test]
    fn clones_have_a_descriptor_of_their_own() {
        let instance = no_instance();
        let clone = instance.try_clone().expect("a descriptor is free");
        assert_ne!(instance.as_raw_fd(), clone.as_raw_fd());
    }
}
