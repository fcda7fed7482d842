// SPDX-License-Identifier: MIT OR Apache-2.0
//! The event source: a queue of messages that can be read, written and watched.

use crate::descriptor::descriptor;
use crate::open::{open, OpenError};
use crate::sys::{self, call};
use rustix::fs::{fcntl_getfl, fcntl_setfl, OFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

/// The device whose opening makes a queue.
pub const SOURCE_DEVICE: &str = "/dev/repoll-source";

/// An open event source: a bounded queue of messages, empty at first.
///
/// [`Write::write`] adds one message. [`Read::read`] removes one, whole: if the buffer is too
/// small, it fails with `EMSGSIZE` and removes nothing. A timer and a network interface can add
/// messages too. A source can be shared as any file can, and any multiplexer can watch it.
#[derive(Debug)]
pub struct Source(File);

descriptor!(Source, "Takes over a descriptor that is a source.");

/// The origin of a message.
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
    /// The time at which it entered the queue, on the monotonic clock.
    pub time: Duration,
    /// Its origin.
    pub kind: Kind,
    /// Its contents.
    pub bytes: &'a [u8],
}

/// The sizes, the state and the counters of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The capacity of the queue, in messages.
    pub messages: u32,
    /// The longest message, in bytes.
    pub message_size: u32,
    /// Messages in the queue.
    pub queued: u32,
    /// It is attached to a network interface.
    pub attached: bool,
    /// The interface that it was attached to is gone.
    pub hung_up: bool,
    /// Messages that have entered the queue since it was opened.
    pub arrived: u64,
    /// Messages that have been read.
    pub read: u64,
    /// Messages of the timer or the interface that found no room.
    pub dropped: u64,
    /// Frames that were longer than a message may be.
    pub too_long: u64,
    /// The timer's period; zero without a timer.
    pub period: Duration,
}

impl Source {
    /// The shortest period of a timer.
    pub const MIN_PERIOD: Duration = Duration::from_nanos(sys::REPOLL_SOURCE_MIN_PERIOD as u64);

    /// Opens [`SOURCE_DEVICE`], with close-on-exec set.
    ///
    /// # Errors
    ///
    /// `ENOENT` when the module is not loaded, `ENOMEM`, and the other errors of `open(2)`.
    pub fn open() -> Result<Self, OpenError> {
        open(Path::new(SOURCE_DEVICE), 0).map(Self)
    }

    /// Opens [`SOURCE_DEVICE`] in non-blocking mode, with close-on-exec set.
    ///
    /// # Errors
    ///
    /// Those of [`Source::open`].
    pub fn open_nonblocking() -> Result<Self, OpenError> {
        open(Path::new(SOURCE_DEVICE), libc::O_NONBLOCK).map(Self)
    }

    /// Makes another descriptor of the same queue, with close-on-exec set.
    ///
    /// # Errors
    ///
    /// `EMFILE`.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Makes room for `messages` messages of at most `message_size` bytes each. With `headers`, a
    /// read gives a header before each message: see [`Source::receive`].
    ///
    /// # Errors
    ///
    /// `EINVAL` for a size out of range, `EBUSY` unless the queue is empty, `ENOSPC` if the user's
    /// sources would take too much memory, `ENOMEM`.
    pub fn set_up(&self, messages: u32, message_size: u32, headers: bool) -> io::Result<()> {
        let flags = if headers {
            sys::REPOLL_SOURCE_HEADERS
        } else {
            0
        };
        let argument = sys::repoll_source_setup {
            messages,
            message_size,
            flags,
            ..Default::default()
        };
        call(self, argument).map(drop)
    }

    /// Reads sizes, state and counters.
    ///
    /// # Errors
    ///
    /// None is expected.
    pub fn status(&self) -> io::Result<Status> {
        let (_, status) = call(self, sys::repoll_source_status::default())?;
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

    /// Starts a timer, in place of a running one. It adds a message every `period`, at most `count`
    /// in all. A message is the number of the expiry from 1: a `u64` in the machine's byte order.
    ///
    /// A shorter period than [`Source::MIN_PERIOD`] is taken as that.
    ///
    /// # Errors
    ///
    /// `EINVAL` for more than 292 years, `ENOSPC` if too many files of the user have a timer,
    /// `ENOMEM`.
    pub fn start_timer(&self, period: Duration, count: Option<NonZeroU64>) -> io::Result<()> {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        self.set_timer(period.max(1), count.map_or(0, NonZeroU64::get))
    }

    /// Stops the timer, if there is one.
    ///
    /// # Errors
    ///
    /// None is expected.
    pub fn stop_timer(&self) -> io::Result<()> {
        self.set_timer(0, 0)
    }

    fn set_timer(&self, period: u64, count: u64) -> io::Result<()> {
        call(self, sys::repoll_source_timer { period, count }).map(drop)
    }

    /// Attaches the source to a network interface: each frame of this EtherType becomes a message,
    /// with its MAC header.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_NET_RAW` in the network namespace of the process that opened the
    /// source; `EINVAL` for an EtherType below 0x0600 and for an interface without Ethernet header;
    /// `ENODEV` if there is no such interface; `EBUSY` when attached; `ENOMEM`.
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
        call(self, argument).map(drop)
    }

    /// Detaches the source from its interface, or ends the hang-up after the interface has gone.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` when not attached.
    pub fn detach(&self) -> io::Result<()> {
        call(self, sys::Detach).map(drop)
    }

    /// Reads one message with its header, from a source that was [set up](Source::set_up) to have
    /// headers. `buffer` needs room for both.
    ///
    /// # Errors
    ///
    /// Those of [`Read::read`], and `InvalidData` if there is no header.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Message<'a>> {
        let length = (&mut &*self).read(buffer)?;
        Message::parse(&buffer[..length]).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "a message without header: set up the source with headers",
            )
        })
    }

    /// Switches non-blocking mode on or off, for all descriptors of the open file.
    ///
    /// # Errors
    ///
    /// None is expected.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        self.set_flag(OFlags::NONBLOCK, on)
    }

    /// Sends this process `signal` when a message arrives in an empty queue, or room appears in a
    /// full one. The signal's `si_fd` is the descriptor, its `si_band` the state. See `F_SETSIG` in
    /// fcntl(2).
    ///
    /// # Errors
    ///
    /// `EINVAL` for a number that no signal has.
    pub fn signal_this_process(&self, signal: i32) -> io::Result<()> {
        let process = rustix::process::getpid().as_raw_nonzero().get();
        self.control(libc::F_SETOWN, process)?;
        self.control(F_SETSIG, signal)?;
        self.set_flag(OFlags::from_bits_retain(libc::O_ASYNC as u32), true)
    }

    fn set_flag(&self, flag: OFlags, on: bool) -> io::Result<()> {
        let mut flags = fcntl_getfl(self)?;
        flags.set(flag, on);
        Ok(fcntl_setfl(self, flags)?)
    }

    /// fcntl(2) with a command that takes a number.
    fn control(&self, command: i32, argument: i32) -> io::Result<()> {
        // SAFETY: the commands of the two callers read and write no memory of the process.
        match unsafe { libc::fcntl(self.as_raw_fd(), command, argument) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

/// Of `<fcntl.h>` on Linux; the libc crate lacks it.
const F_SETSIG: i32 = 10;

impl<'a> Message<'a> {
    /// Splits the header, a `repoll_source_header`, from the message.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (time, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (kind, bytes) = rest.split_first_chunk()?;
        if u32::from_ne_bytes(*length) as usize != bytes.len() {
            return None;
        }
        Some(Self {
            time: Duration::from_nanos(u64::from_ne_bytes(*time)),
            kind: match u32::from_ne_bytes(*kind) {
                sys::REPOLL_SOURCE_WRITE => Kind::Write,
                sys::REPOLL_SOURCE_TIMER => Kind::Timer,
                sys::REPOLL_SOURCE_FRAME => Kind::Frame,
                _ => return None,
            },
            bytes,
        })
    }
}

/// One message each time.
impl Read for &Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buffer)
    }
}

/// One message each time.
impl Write for &Source {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Source {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header and a message, as the kernel writes them.
    fn message(time: u64, length: u32, kind: u32, bytes: &[u8]) -> Vec<u8> {
        let mut message = time.to_ne_bytes().to_vec();
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(bytes);
        message
    }

    #[test]
    fn headers_have_the_layout_of_the_kernel() {
        use std::mem::offset_of;
        let header = message(0, 0, 0, &[]);
        assert_eq!(header.len(), size_of::<sys::repoll_source_header>());
        assert_eq!(offset_of!(sys::repoll_source_header, length), 8);
        assert_eq!(offset_of!(sys::repoll_source_header, kind), 12);
    }

    #[test]
    fn messages_have_a_time_a_kind_and_contents() {
        let bytes = message(1_500_000_000, 2, sys::REPOLL_SOURCE_TIMER, b"ab");
        let expected = Message {
            time: Duration::from_millis(1500),
            kind: Kind::Timer,
            bytes: b"ab",
        };
        assert_eq!(Message::parse(&bytes), Some(expected));
    }

    #[test]
    fn bytes_without_a_header_are_no_message() {
        assert_eq!(Message::parse(b"short"), None);
        assert_eq!(Message::parse(&message(0, 3, 0, b"ab")), None);
        assert_eq!(Message::parse(&message(0, 2, 9, b"ab")), None);
    }

    #[test]
    fn a_name_too_long_for_an_interface_is_none() {
        let file = File::open("/dev/null").expect("/dev/null is there");
        let source = Source(file);
        let long = source.attach("a-name-of-16-byt", 0x88b5);
        assert_eq!(
            long.expect_err("too long").raw_os_error(),
            Some(libc::ENODEV)
        );
    }
}
