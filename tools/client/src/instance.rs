// SPDX-License-Identifier: MIT OR Apache-2.0
//! An instance of the multiplexer, and what can be asked of it.

use crate::{sys, Event, Events};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// The device whose opening makes an instance.
pub const DEVICE: &str = "/dev/repoll";

/// The size of the kernel's signal set, in bytes.
const KERNEL_SIGSET: usize = 8;

bitflags::bitflags! {
    /// The flags of [`Instance::create`], those of `epoll_create1(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct CreateFlags: u32 {
        /// Close the new descriptor on `execve(2)`.
        const CLOEXEC = libc::O_CLOEXEC as u32;
    }
}

/// A multiplexer: an interest list and a ready queue behind a file descriptor.
///
/// It can be shared: between threads (`&Instance` suffices for everything), and, as any file,
/// by `dup(2)`, `fork(2)` or over a Unix socket. Watched files are not kept open by it; a
/// file leaves the interest list with the last close of it.
///
/// See epoll(7) for the model.
#[derive(Debug)]
pub struct Instance(OwnedFd);

impl Instance {
    /// Makes an instance by opening [`DEVICE`], with close-on-exec set.
    ///
    /// # Errors
    ///
    /// `ENOENT` when the module is not loaded, and those of `open(2)`.
    pub fn open() -> io::Result<Self> {
        Self::open_at(DEVICE)
    }

    /// Makes an instance by opening the device node at `path`.
    ///
    /// # Errors
    ///
    /// Those of `open(2)`.
    pub fn open_at(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = CString::new(path.as_ref().as_os_str().as_bytes())?;
        // SAFETY: `path` is a string that ends in a zero byte and lives through the call.
        let fd = check(unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) })?;
        // SAFETY: the kernel has just made `fd` for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes another instance, independent of this one, as `epoll_create1(2)` does.
    ///
    /// It needs no device node, so it works in a chroot too.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown flag, `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn create(&self, flags: CreateFlags) -> io::Result<Self> {
        let argument = sys::repoll_create {
            flags: flags.bits(),
            ..Default::default()
        };
        // SAFETY: the request only reads a `repoll_create`.
        let fd = unsafe { self.ioctl(sys::REPOLL_IOCTL_CREATE, &argument) }?;
        // SAFETY: the kernel has just made `fd` for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Begins to watch `fd` for `events`; `data` comes back with each of its events.
    ///
    /// What is watched is the open file that `fd` refers to now. A number is enough (a
    /// [`RawFd`] will do), for nothing is kept alive by it.
    ///
    /// # Errors
    ///
    /// Those of `EPOLL_CTL_ADD`: `EBADF`, `EEXIST` (watched already under this number), `EINVAL`,
    /// `ELOOP` (an epoll or another instance), `ENOMEM`, `ENOSPC` (too many watches of this
    /// user), `EPERM` (a regular file or a directory).
    pub fn add(&self, fd: &impl AsRawFd, events: Events, data: u64) -> io::Result<()> {
        self.ctl(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), events, data)
    }

    /// Changes the events and the datum of a watched `fd`, and arms it again after
    /// [`Events::ONESHOT`].
    ///
    /// # Errors
    ///
    /// Those of `EPOLL_CTL_MOD`: `EBADF`, `EINVAL`, `ENOENT` (not watched).
    pub fn modify(&self, fd: &impl AsRawFd, events: Events, data: u64) -> io::Result<()> {
        self.ctl(libc::EPOLL_CTL_MOD, fd.as_raw_fd(), events, data)
    }

    /// Ends the watching of `fd`.
    ///
    /// # Errors
    ///
    /// Those of `EPOLL_CTL_DEL`: `EBADF`, `EINVAL`, `ENOENT` (not watched).
    pub fn delete(&self, fd: &impl AsRawFd) -> io::Result<()> {
        self.ctl(libc::EPOLL_CTL_DEL, fd.as_raw_fd(), Events::empty(), 0)
    }

    /// Waits until something is ready, and returns the part of `buffer` that was filled in.
    ///
    /// Without a timeout it waits without limit; with [`Duration::ZERO`] not at all. After
    /// a timeout the slice is empty. The timeout counts in nanoseconds and is a lower bound.
    ///
    /// # Errors
    ///
    /// Those of `epoll_wait(2)`: `EINTR` (a signal handler ran: not retried here), `EINVAL` (an empty
    /// buffer).
    pub fn wait<'a>(
        &self,
        buffer: &'a mut [Event],
        timeout: Option<Duration>,
    ) -> io::Result<&'a [Event]> {
        self.wait_with(buffer, timeout, 0)
    }

    /// As [`Instance::wait`], with `mask` for the thread's signal mask while it waits, as
    /// `epoll_pwait2(2)`: the mask is replaced, the wait done, and the mask put back, as one.
    ///
    /// So a program that blocks a signal at all other times misses none: one that came before the
    /// wait ends it too. `SIGKILL` and `SIGSTOP` cannot be blocked. An event that is there comes
    /// first: the signal then stays pending.
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// use repoll::{Event, Instance};
    /// use std::mem::MaybeUninit;
    ///
    /// let instance = Instance::open()?;
    /// // Blocked by the thread at all other times, not here: SIGTERM, and all else.
    /// let mut none = MaybeUninit::uninit();
    /// // SAFETY: sigemptyset initialises what it is given.
    /// let none = unsafe {
    ///     libc::sigemptyset(none.as_mut_ptr());
    ///     none.assume_init()
    /// };
    /// let mut buffer = [Event::default(); 16];
    /// match instance.wait_masked(&mut buffer, None, &none) {
    ///     Err(error) if error.raw_os_error() == Some(libc::EINTR) => { /* a handler ran */ }
    ///     events => println!("{:?}", events?),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Instance::wait`].
    pub fn wait_masked<'a>(
        &self,
        buffer: &'a mut [Event],
        timeout: Option<Duration>,
        mask: &libc::sigset_t,
    ) -> io::Result<&'a [Event]> {
        // The C library's set begins with the kernel's, and is never shorter.
        const { assert!(size_of::<libc::sigset_t>() >= KERNEL_SIGSET) };
        self.wait_with(buffer, timeout, std::ptr::from_ref(mask) as u64)
    }

    fn wait_with<'a>(
        &self,
        buffer: &'a mut [Event],
        timeout: Option<Duration>,
        sigmask: u64,
    ) -> io::Result<&'a [Event]> {
        let argument = sys::repoll_wait {
            events: buffer.as_mut_ptr() as u64,
            maxevents: i32::try_from(buffer.len()).unwrap_or(i32::MAX / size_of::<Event>() as i32),
            timeout: timeout.map_or(-1, nanoseconds),
            sigmask,
            sigsetsize: KERNEL_SIGSET as u64,
            ..Default::default()
        };
        // SAFETY: the request reads a `repoll_wait`, and a signal set if there is one, and writes at
        // most `maxevents` events to the buffer, which is exclusively ours and at least as long. Any
        // bytes make an `Event`.
        let count = unsafe { self.ioctl(sys::REPOLL_IOCTL_WAIT, &argument) }?;
        Ok(&buffer[..count as usize])
    }

    /// Does nothing, by way of a system call: the floor of every measurement.
    ///
    /// # Errors
    ///
    /// None is expected.
    pub fn nop(&self) -> io::Result<()> {
        // SAFETY: the request has no argument.
        unsafe { self.ioctl(sys::REPOLL_IOCTL_NOP, std::ptr::null::<()>()) }.map(drop)
    }

    fn ctl(&self, op: i32, fd: RawFd, events: Events, data: u64) -> io::Result<()> {
        let argument = sys::repoll_ctl {
            op,
            fd,
            events: events.bits(),
            flags: 0,
            data,
        };
        // SAFETY: the request only reads a `repoll_ctl`.
        unsafe { self.ioctl(sys::REPOLL_IOCTL_CTL, &argument) }.map(drop)
    }

    /// # Safety
    ///
    /// `argument` is what `request` wants, and so is any memory that it points to in turn.
    pub(crate) unsafe fn ioctl<T>(&self, request: u32, argument: *const T) -> io::Result<i32> {
        // SAFETY: by the contract of this function.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, argument) })
    }
}

/// The kernel's nanoseconds; 292 years are as good as no limit, and stay a limit.
pub(crate) fn nanoseconds(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX)
}

/// The result of a system call, -1 turned into the error that it stands for.
pub(crate) fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

impl AsFd for Instance {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Instance {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl IntoRawFd for Instance {
    fn into_raw_fd(self) -> RawFd {
        self.0.into_raw_fd()
    }
}

impl From<Instance> for OwnedFd {
    fn from(instance: Instance) -> Self {
        instance.0
    }
}

/// Takes over a descriptor that is an instance, one received from another process, say.
impl From<OwnedFd> for Instance {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_nanoseconds_and_saturate() {
        assert_eq!(nanoseconds(Duration::ZERO), 0);
        assert_eq!(nanoseconds(Duration::from_micros(3)), 3_000);
        assert_eq!(nanoseconds(Duration::MAX), i64::MAX);
    }

    #[test]
    fn a_missing_device_is_an_error_not_a_panic() {
        let error = Instance::open_at("/nonexistent/repoll").expect_err("nothing is there");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
