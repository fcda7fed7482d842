// SPDX-License-Identifier: MIT OR Apache-2.0
//! The event source: a queue of messages that can be read, written and watched.

use crate::instance::check;
use crate::sys;
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// The device whose opening makes a queue.
pub const SOURCE_DEVICE: &str = "/dev/repoll-source";

/// An open event source: a bounded queue of messages, empty at first.
///
/// [`Write::write`] puts one message in, [`Read::read`] takes one out, whole and once: a buffer that is too
/// small is an error (`EMSGSIZE`), and takes nothing. A timer and a network interface can feed it
/// too. It can be shared as any file, and watched by everything that watches files.
#[derive(Debug)]
pub struct Source(OwnedFd);

/// Where a message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `write(2)`.
    Write,
    /// The timer.
    Timer,
    /// The network interface.
    Frame,
}

/// A message that was read with its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// When it entered the queue, on the monotonic clock.
    pub time: Duration,
    /// Where it came from.
    pub kind: Kind,
    /// What it says.
    pub bytes: &'a [u8],
}

/// What a source tells about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// How many messages fit.
    pub messages: u32,
    /// How long one may be, in bytes.
    pub message_size: u32,
    /// How many there are to read.
    pub queued: u32,
    /// It is attached to a network interface.
    pub attached: bool,
    /// The interface that it was attached to is gone.
    pub hung_up: bool,
    /// How many messages have entered the queue since it was opened.
    pub arrived: u64,
    /// How many have been read.
    pub read: u64,
    /// How many a timer or an interface brought when there was no room.
    pub dropped: u64,
    /// How many frames were longer than a message may be.
    pub too_long: u64,
    /// The timer's period; zero without one.
    pub period: Duration,
}

impl Source {
    /// Opens [`SOURCE_DEVICE`], with close-on-exec set.
    ///
    /// # Errors
    ///
    /// `ENOENT` when the module is not loaded, `ENOMEM`, and those of `open(2)`.
    pub fn open() -> io::Result<Self> {
        Self::open_with(SOURCE_DEVICE, 0)
    }

    /// As [`Source::open`], in non-blocking mode.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open_nonblocking() -> io::Result<Self> {
        Self::open_with(SOURCE_DEVICE, libc::O_NONBLOCK)
    }

    fn open_with(path: impl AsRef<Path>, flags: i32) -> io::Result<Self> {
        let path = CString::new(path.as_ref().as_os_str().as_bytes())?;
        let flags = flags | libc::O_RDWR | libc::O_CLOEXEC;
        // SAFETY: `path` is a string that ends in a zero byte and lives through the call.
        let fd = check(unsafe { libc::open(path.as_ptr(), flags) })?;
        // SAFETY: the kernel has just made `fd` for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes room for `messages` messages of at most `message_size` bytes each. With `headers`, a read
    /// gives a header before each message: see [`Source::receive`].
    ///
    /// # Errors
    ///
    /// `EINVAL` for a size of zero or a huge one, `EBUSY` unless the queue is empty, `ENOMEM`.
    pub fn set_up(&self, messages: u32, message_size: u32, headers: bool) -> io::Result<()> {
        let argument = sys::repoll_source_setup {
            messages,
            message_size,
            flags: if headers {
                sys::REPOLL_SOURCE_HEADERS
            } else {
                0
            },
            __pad: 0,
        };
        // SAFETY: the request only reads a `repoll_source_setup`.
        unsafe { self.ioctl(sys::REPOLL_IOCTL_SOURCE_SETUP, &raw const argument) }
    }

    /// How it is.
    ///
    /// # Errors
    ///
    /// None is expected.
    pub fn status(&self) -> io::Result<Status> {
        let mut status = sys::repoll_source_status::default();
        // SAFETY: the request only writes a `repoll_source_status`.
        unsafe { self.ioctl(sys::REPOLL_IOCTL_SOURCE_STATUS, &raw mut status) }?;
        Ok(Status {
            messages: status.messages,
            message_size: status.message_size,
            queued: status.queued,
            attached: status.flags & sys::REPOLL_SOURCE_ATTACHED != 0,
            hung_up: status.flags & sys::REPOLL_SOURCE_HUNG_UP != 0,
            arrived: status.arrived,
            read: status.read,
            dropped: status.dropped,
            too_long: status.too_long,
            period: Duration::from_nanos(status.period),
        })
    }

    /// Starts a timer in place of any other: a message every `period`, until there were `count`. A message
    /// is the number of the expiry from 1, a `u64` in the machine's byte order.
    ///
    /// A period of less than [`sys::REPOLL_SOURCE_MIN_PERIOD`] nanoseconds is taken as that.
    ///
    /// # Errors
    ///
    /// `EINVAL` for more than 292 years, `ENOSPC` when too many files of the user have a timer, `ENOMEM`.
    pub fn start_timer(&self, period: Duration, count: Option<NonZeroU64>) -> io::Result<()> {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        self.timer(period.max(1), count.map_or(0, NonZeroU64::get))
    }

    /// Ends the timer, if there is one.
    ///
    /// # Errors
    ///
    /// None is expected.
    pub fn stop_timer(&self) -> io::Result<()> {
        self.timer(0, 0)
    }

    fn timer(&self, period: u64, count: u64) -> io::Result<()> {
        let argument = sys::repoll_source_timer { period, count };
        // SAFETY: the request only reads a `repoll_source_timer`.
        unsafe { self.ioctl(sys::REPOLL_IOCTL_SOURCE_TIMER_SET, &raw const argument) }
    }

    /// Has each frame of a network interface that has this EtherType queued, with its MAC header.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_NET_RAW` in the network namespace of whoever opened the source; `EINVAL` for an
    /// EtherType below 0x0600 and for an interface without Ethernet header; `ENODEV` for one that is
    /// not there; `EBUSY` when attached; `ENOMEM`.
    pub fn attach(&self, interface: &str, ethertype: u16) -> io::Result<()> {
        let mut argument = sys::repoll_source_attach {
            ethertype: ethertype.into(),
            ..Default::default()
        };
        // One byte is left for the zero at the end.
        let room = argument.interface.len() - 1;
        if interface.len() > room {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        for (to, from) in argument.interface.iter_mut().zip(interface.bytes()) {
            *to = from as _;
        }
        // SAFETY: the request only reads a `repoll_source_attach`.
        unsafe { self.ioctl(sys::REPOLL_IOCTL_SOURCE_ATTACH, &raw const argument) }
    }

    /// Ends that, or the hang-up after the interface has gone.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` when not attached.
    pub fn detach(&self) -> io::Result<()> {
        // SAFETY: the request has no argument.
        unsafe { self.ioctl(sys::REPOLL_IOCTL_SOURCE_DETACH, std::ptr::null::<()>()) }
    }

    /// Reads one message with its header, of a source that was [set up](Source::set_up) to have them.
    /// `buffer` needs room for both.
    ///
    /// # Errors
    ///
    /// Those of [`Read::read`], and `InvalidData` if there is no header.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Message<'a>> {
        const HEADER: usize = size_of::<sys::repoll_source_header>();
        let length = (&mut &*self).read(buffer)?;
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "a message without header");
        let (header, bytes) = buffer[..length].split_at_checked(HEADER).ok_or_else(bad)?;
        let number = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&header[at..at + 4]);
            u32::from_ne_bytes(bytes)
        };
        let mut time = [0; 8];
        time.copy_from_slice(&header[..8]);
        if number(8) as usize != bytes.len() {
            return Err(bad());
        }
        Ok(Message {
            time: Duration::from_nanos(u64::from_ne_bytes(time)),
            kind: match number(12) {
                sys::REPOLL_SOURCE_WRITE => Kind::Write,
                sys::REPOLL_SOURCE_TIMER => Kind::Timer,
                sys::REPOLL_SOURCE_FRAME => Kind::Frame,
                _ => return Err(bad()),
            },
            bytes,
        })
    }

    /// Switches non-blocking mode on or off, for all who share the open file.
    ///
    /// # Errors
    ///
    /// None is expected.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        self.change_flag(libc::O_NONBLOCK, on)
    }

    /// Has this process sent `signal` whenever there is a message, or room after there was none. The
    /// signal's `si_fd` is the descriptor, its `si_band` what is ready. See `F_SETSIG` in fcntl(2).
    ///
    /// # Errors
    ///
    /// `EINVAL` for a signal that there is not.
    pub fn signal_this_process(&self, signal: i32) -> io::Result<()> {
        let fd = self.as_raw_fd();
        // SAFETY: the calls take numbers only.
        unsafe {
            check(libc::fcntl(fd, libc::F_SETOWN, libc::getpid()))?;
            check(libc::fcntl(fd, F_SETSIG, signal))?;
        }
        self.change_flag(libc::O_ASYNC, true)
    }

    fn change_flag(&self, flag: i32, on: bool) -> io::Result<()> {
        // SAFETY: the calls take numbers only.
        unsafe {
            let flags = check(libc::fcntl(self.as_raw_fd(), libc::F_GETFL))?;
            let flags = if on { flags | flag } else { flags & !flag };
            check(libc::fcntl(self.as_raw_fd(), libc::F_SETFL, flags)).map(drop)
        }
    }

    /// Another descriptor of the same queue.
    ///
    /// # Errors
    ///
    /// `EMFILE`.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// # Safety
    ///
    /// `argument` is what `request` wants.
    unsafe fn ioctl<T>(&self, request: u32, argument: *const T) -> io::Result<()> {
        // SAFETY: by the contract of this function.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, argument) }).map(drop)
    }
}

/// Of `<fcntl.h>`, for Linux; the libc crate does not have it.
const F_SETSIG: i32 = 10;

/// One message each time.
impl Read for &Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: `buffer` may be written for its length.
        let length =
            unsafe { libc::read(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        usize::try_from(length).map_err(|_| io::Error::last_os_error())
    }
}

/// One message each time.
impl Write for &Source {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: `bytes` may be read for its length.
        let length = unsafe { libc::write(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
        usize::try_from(length).map_err(|_| io::Error::last_os_error())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(buffer)
    }
}

impl Write for Source {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&mut &*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Source {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl IntoRawFd for Source {
    fn into_raw_fd(self) -> RawFd {
        self.0.into_raw_fd()
    }
}

impl From<Source> for OwnedFd {
    fn from(source: Source) -> Self {
        source.0
    }
}

/// Takes over a descriptor that is a source.
impl From<OwnedFd> for Source {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}
