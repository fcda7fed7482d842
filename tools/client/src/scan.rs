// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two older multiplexers: `poll(2)` and `select(2)` of any files, by way of an instance.

use crate::instance::nanoseconds;
use crate::{sys, Instance};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// What a call did: bytes copied, files asked, entries in wait queues.
pub use crate::sys::repoll_counts as Counts;

bitflags::bitflags! {
    /// The event bits of `poll(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PollEvents: i16 {
        /// The file can be read from.
        const IN = libc::POLLIN;
        /// There is an exceptional condition, such as out-of-band data.
        const PRI = libc::POLLPRI;
        /// The file can be written to.
        const OUT = libc::POLLOUT;
        /// An error; reported whether asked for or not.
        const ERR = libc::POLLERR;
        /// A hang-up; reported whether asked for or not.
        const HUP = libc::POLLHUP;
        /// The descriptor is not open; reported whether asked for or not.
        const NVAL = libc::POLLNVAL;
        /// The peer of a stream socket has shut down its writing half.
        const RDHUP = libc::POLLRDHUP;
        // The kernel may know more bits than this crate does.
        const _ = !0;
    }
}

/// A descriptor of interest for [`Instance::poll`]: the kernel's `struct pollfd`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct PollFd(libc::pollfd);

impl PollFd {
    /// Interest in `events` of `fd`. A negative number is passed over.
    pub fn new(fd: &impl AsRawFd, events: PollEvents) -> Self {
        Self(libc::pollfd {
            fd: fd.as_raw_fd(),
            events: events.bits(),
            revents: 0,
        })
    }

    /// The number of the descriptor.
    pub const fn fd(&self) -> RawFd {
        self.0.fd
    }

    /// What the last call found.
    pub const fn ready(&self) -> PollEvents {
        PollEvents::from_bits_retain(self.0.revents)
    }
}

impl fmt::Debug for PollFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollFd")
            .field("fd", &self.0.fd)
            .field("events", &PollEvents::from_bits_retain(self.0.events))
            .field("ready", &self.ready())
            .finish()
    }
}

/// A set of descriptors for [`Instance::select`]. It grows as it must: `FD_SETSIZE` is the C
/// library's limit, not the kernel's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FdSet {
    words: Vec<u64>,
}

impl FdSet {
    /// An empty set.
    pub const fn new() -> Self {
        Self { words: Vec::new() }
    }

    /// Puts a descriptor in. A negative number is left out.
    pub fn insert(&mut self, fd: &impl AsRawFd) {
        let Some((word, bit)) = place(fd.as_raw_fd()) else {
            return;
        };
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    /// Whether a descriptor is in the set.
    pub fn contains(&self, fd: &impl AsRawFd) -> bool {
        place(fd.as_raw_fd())
            .and_then(|(word, bit)| self.words.get(word).map(|word| word & bit != 0))
            .unwrap_or(false)
    }

    /// One more than the highest descriptor that there is room for.
    fn end(&self) -> usize {
        self.words.len() * 64
    }
}

fn place(fd: RawFd) -> Option<(usize, u64)> {
    let fd = usize::try_from(fd).ok()?;
    Some((fd / 64, 1 << (fd % 64)))
}

impl Instance {
    /// `poll(2)`: waits until one of the files in `fds` is ready, and returns how many are. What the
    /// instance watches plays no part.
    ///
    /// The timeout is as for [`Instance::wait`]. A signal that has no handler does not end the call:
    /// the kernel goes on with it, with what was left of the timeout.
    ///
    /// # Errors
    ///
    /// Those of `poll(2)`: `EINTR` (a signal handler ran: not retried here), `EINVAL` (more than
    /// `RLIMIT_NOFILE`), `ENOMEM`.
    pub fn poll(&self, fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<usize> {
        self.poll_at(fds, timeout, std::ptr::null_mut())
    }

    /// [`Instance::poll`], and what it did, also if it fails.
    ///
    /// # Errors
    ///
    /// Those of [`Instance::poll`].
    pub fn poll_counted(
        &self,
        fds: &mut [PollFd],
        timeout: Option<Duration>,
        counts: &mut Counts,
    ) -> io::Result<usize> {
        self.poll_at(fds, timeout, counts)
    }

    /// `select(2)`: waits until a file in one of the sets is ready for reading, for writing, or
    /// exceptionally; leaves in the sets only those that are, and returns how many. What the instance
    /// watches plays no part.
    ///
    /// The timeout is as for [`Instance::wait`]. A signal that has no handler does not end the call.
    ///
    /// # Errors
    ///
    /// Those of `select(2)`: `EBADF` (a descriptor in a set is not open), `EINTR` (a signal handler
    /// ran: not retried here), `ENOMEM`. The sets are then as they were.
    pub fn select(
        &self,
        sets: [Option<&mut FdSet>; 3],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        self.select_at(sets, timeout, std::ptr::null_mut())
    }

    /// [`Instance::select`], and what it did, also if it fails.
    ///
    /// # Errors
    ///
    /// Those of [`Instance::select`].
    pub fn select_counted(
        &self,
        sets: [Option<&mut FdSet>; 3],
        timeout: Option<Duration>,
        counts: &mut Counts,
    ) -> io::Result<usize> {
        self.select_at(sets, timeout, counts)
    }

    /// `counts` is null, or exclusively ours.
    fn poll_at(
        &self,
        fds: &mut [PollFd],
        timeout: Option<Duration>,
        counts: *mut Counts,
    ) -> io::Result<usize> {
        let mut argument = sys::repoll_poll {
            fds: fds.as_mut_ptr() as u64,
            nfds: u32::try_from(fds.len()).unwrap_or(u32::MAX),
            timeout: timeout.map_or(-1, nanoseconds),
            counts: counts as u64,
            counts_size: size_of::<Counts>() as u64,
            ..Default::default()
        };
        // SAFETY: the request reads and writes a `repoll_poll`, and writes events to the array and
        // numbers to the counts, both exclusively ours. Any bytes make an event.
        let ready = unsafe { self.ioctl(sys::REPOLL_IOCTL_POLL, &raw mut argument) }?;
        Ok(ready as usize)
    }

    /// `counts` is null, or exclusively ours.
    fn select_at(
        &self,
        mut sets: [Option<&mut FdSet>; 3],
        timeout: Option<Duration>,
        counts: *mut Counts,
    ) -> io::Result<usize> {
        let end = sets
            .iter()
            .flatten()
            .map(|set| set.end())
            .max()
            .unwrap_or(0);
        let [readfds, writefds, exceptfds] = sets.each_mut().map(|set| {
            set.as_mut().map_or(0, |set| {
                set.words.resize(end / 64, 0);
                set.words.as_mut_ptr() as u64
            })
        });
        let mut argument = sys::repoll_select {
            readfds,
            writefds,
            exceptfds,
            nfds: i32::try_from(end).unwrap_or(i32::MAX),
            timeout: timeout.map_or(-1, nanoseconds),
            counts: counts as u64,
            counts_size: size_of::<Counts>() as u64,
            ..Default::default()
        };
        // SAFETY: the request reads and writes a `repoll_select`, and writes to the sets, which have
        // room for `end` bits, and to the counts, all exclusively ours.
        let ready = unsafe { self.ioctl(sys::REPOLL_IOCTL_SELECT, &raw mut argument) }?;
        Ok(ready as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_grow_and_know_what_is_in_them() {
        let mut set = FdSet::new();
        assert!(!set.contains(&0));
        for fd in [0, 63, 64, 5000, -1] {
            set.insert(&fd);
        }
        assert!([0, 63, 64, 5000].iter().all(|fd| set.contains(fd)));
        assert!([1, 65, 4999, 6000, -1, i32::MIN]
            .iter()
            .all(|fd| !set.contains(fd)));
        assert_eq!(set.end(), 5056);
    }

    #[test]
    fn poll_descriptors_have_the_layout_of_the_kernel() {
        assert_eq!(size_of::<PollFd>(), 8);
        let fd = PollFd::new(&7, PollEvents::IN | PollEvents::RDHUP);
        assert_eq!(fd.fd(), 7);
        assert!(fd.ready().is_empty());
    }
}
