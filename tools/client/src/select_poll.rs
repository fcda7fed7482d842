// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two older multiplexers: `poll(2)` and `select(2)` of any files, by way of an instance.

use crate::instance::{nanoseconds, raw};
use crate::{sys, Counts, Instance};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, RawFd};
use std::time::Duration;

bitflags::bitflags! {
    /// The event bits of `poll(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PollFlags: i16 {
        /// The file can be read from.
        const IN = libc::POLLIN;
        /// There is an exceptional condition, such as out-of-band data.
        const PRI = libc::POLLPRI;
        /// The file can be written to.
        const OUT = libc::POLLOUT;
        /// The file has an error; always reported.
        const ERR = libc::POLLERR;
        /// The file has hung up; always reported.
        const HUP = libc::POLLHUP;
        /// The descriptor is not open; always reported.
        const NVAL = libc::POLLNVAL;
        /// The peer of a stream socket has shut down its writing half.
        const RDHUP = libc::POLLRDHUP;
        // The kernel may know bits that this crate does not.
        const _ = !0;
    }
}

/// A descriptor of interest for [`Instance::poll`]: the kernel's `struct pollfd`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct PollFd(libc::pollfd);

impl PollFd {
    /// Interest in `events` of `fd`. Only the number is kept: if it is closed later,
    /// [`PollFlags::NVAL`] is reported.
    pub fn new(fd: impl AsFd, events: PollFlags) -> Self {
        Self::with_number(raw(&fd), events)
    }

    /// Interest in any number. The kernel passes over a negative one.
    #[cfg(feature = "sys")]
    pub const fn from_raw(fd: RawFd, events: PollFlags) -> Self {
        Self::with_number(fd, events)
    }

    const fn with_number(fd: RawFd, events: PollFlags) -> Self {
        Self(libc::pollfd {
            fd,
            events: events.bits(),
            revents: 0,
        })
    }

    /// The number of the descriptor.
    pub const fn fd(&self) -> RawFd {
        self.0.fd
    }

    /// The state that the last call found.
    pub const fn ready(&self) -> PollFlags {
        PollFlags::from_bits_retain(self.0.revents)
    }
}

impl fmt::Debug for PollFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollFd")
            .field("fd", &self.0.fd)
            .field("events", &PollFlags::from_bits_retain(self.0.events))
            .field("ready", &self.ready())
            .finish()
    }
}

/// A set of descriptors for [`Instance::select`].
///
/// It holds numbers and keeps no file open. It grows as needed: `FD_SETSIZE` is a limit of the C
/// library, not of the kernel.
///
/// ```
/// use std::os::fd::AsRawFd;
///
/// let mut set = repoll::FdSet::new();
/// set.insert(std::io::stdin());
/// assert!(set.contains(std::io::stdin()));
/// assert!(set.iter().eq([std::io::stdin().as_raw_fd()]));
/// set.remove(std::io::stdin());
/// assert!(set.is_empty());
/// ```
#[derive(Clone, Default)]
pub struct FdSet {
    words: Vec<u64>,
}

impl FdSet {
    /// An empty set.
    pub const fn new() -> Self {
        Self { words: Vec::new() }
    }

    /// Adds a descriptor.
    pub fn insert(&mut self, fd: impl AsFd) {
        self.extend([raw(&fd)]);
    }

    /// Removes a descriptor.
    pub fn remove(&mut self, fd: impl AsFd) {
        if let Some((word, bit)) = place(raw(&fd)) {
            if let Some(word) = self.words.get_mut(word) {
                *word &= !bit;
            }
        }
    }

    /// Whether a descriptor is in the set.
    pub fn contains(&self, fd: impl AsFd) -> bool {
        place(raw(&fd))
            .and_then(|(word, bit)| self.words.get(word).map(|word| word & bit != 0))
            .unwrap_or(false)
    }

    /// Whether no descriptor is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Removes all descriptors.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// The numbers of the descriptors in the set, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = RawFd> + '_ {
        let words = self.words.iter().enumerate();
        words.flat_map(|(index, &word)| {
            let bits = (0..u64::BITS as usize).filter(move |bit| word & (1 << bit) != 0);
            bits.map(move |bit| (index * u64::BITS as usize + bit) as RawFd)
        })
    }

    /// One more than the highest descriptor that there is room for.
    fn end(&self) -> usize {
        self.words.len() * u64::BITS as usize
    }

    /// The address of the set after it has grown to `end`.
    fn address(&mut self, end: usize) -> u64 {
        self.words.resize(end.div_ceil(u64::BITS as usize), 0);
        self.words.as_mut_ptr() as u64
    }
}

/// Adds descriptors by number. Negative numbers are left out.
impl Extend<RawFd> for FdSet {
    fn extend<I: IntoIterator<Item = RawFd>>(&mut self, fds: I) {
        for (word, bit) in fds.into_iter().filter_map(place) {
            if word >= self.words.len() {
                self.words.resize(word + 1, 0);
            }
            self.words[word] |= bit;
        }
    }
}

impl FromIterator<RawFd> for FdSet {
    fn from_iter<I: IntoIterator<Item = RawFd>>(fds: I) -> Self {
        let mut set = Self::new();
        set.extend(fds);
        set
    }
}

/// Sets are equal if the same descriptors are in them, whatever room they have.
impl PartialEq for FdSet {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for FdSet {}

impl fmt::Debug for FdSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The word and the bit of a descriptor; none for a negative number.
fn place(fd: RawFd) -> Option<(usize, u64)> {
    let fd = usize::try_from(fd).ok()?;
    let bits = u64::BITS as usize;
    Some((fd / bits, 1 << (fd % bits)))
}

/// The sets of [`Instance::select`], by name. A set that is not named is not asked for.
#[derive(Debug, Default)]
pub struct SelectSets<'a> {
    /// Files to be read from.
    pub read: Option<&'a mut FdSet>,
    /// Files to be written to.
    pub write: Option<&'a mut FdSet>,
    /// Files with an exceptional condition, such as out-of-band data.
    pub except: Option<&'a mut FdSet>,
}

impl Instance {
    /// `poll(2)`: waits until one of the files in `fds` is ready, and returns how many are. The
    /// instance's own interest list plays no part.
    ///
    /// The timeout is as for [`Instance::wait`]. A signal that has no handler does not end the
    /// call: the kernel continues it with the rest of the timeout.
    ///
    /// # Errors
    ///
    /// Those of `poll(2)`: `EINTR` (a signal handler ran; the call is not restarted), `EINVAL`
    /// (more than `RLIMIT_NOFILE`), `ENOMEM`.
    pub fn poll(&self, fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<usize> {
        self.poll_with(fds, timeout, None)
    }

    /// Polls as [`Instance::poll`] does, and fills in `counts`, also if it fails.
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
        self.poll_with(fds, timeout, Some(counts))
    }

    /// `select(2)`: waits until a file in one of the sets is ready, leaves only ready files in the
    /// sets, and returns how many bits are left. The instance's own interest list plays no part.
    ///
    /// The timeout is as for [`Instance::wait`]. A signal that has no handler does not end the
    /// call.
    ///
    /// ```no_run
    /// use repoll::{FdSet, Instance, SelectSets};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let instance = Instance::open()?;
    /// let mut read = FdSet::new();
    /// read.insert(std::io::stdin());
    /// let sets = SelectSets {
    ///     read: Some(&mut read),
    ///     ..Default::default()
    /// };
    /// instance.select(sets, None)?;
    /// assert!(read.contains(std::io::stdin()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `select(2)`: `EBADF` (a descriptor in a set is not open), `EINTR` (a signal handler
    /// ran; the call is not restarted), `ENOMEM`. The sets are then unchanged.
    pub fn select(&self, sets: SelectSets<'_>, timeout: Option<Duration>) -> io::Result<usize> {
        self.select_with(sets, timeout, None)
    }

    /// Selects as [`Instance::select`] does, and fills in `counts`, also if it fails.
    ///
    /// # Errors
    ///
    /// Those of [`Instance::select`].
    pub fn select_counted(
        &self,
        sets: SelectSets<'_>,
        timeout: Option<Duration>,
        counts: &mut Counts,
    ) -> io::Result<usize> {
        self.select_with(sets, timeout, Some(counts))
    }

    fn poll_with(
        &self,
        fds: &mut [PollFd],
        timeout: Option<Duration>,
        counts: Option<&mut Counts>,
    ) -> io::Result<usize> {
        let (counts, counts_size) = Counts::place(counts);
        let mut argument = sys::repoll_poll {
            fds: fds.as_mut_ptr() as u64,
            nfds: u32::try_from(fds.len()).unwrap_or(u32::MAX),
            timeout: nanoseconds(timeout),
            counts,
            counts_size,
            ..Default::default()
        };
        // SAFETY: the ioctl reads and writes at most `nfds` elements of the array, and writes
        // numbers to the counts; both are exclusively borrowed through the call. Any bytes make
        // events.
        unsafe { sys::ioctl(self, &mut argument) }
    }

    fn select_with(
        &self,
        sets: SelectSets<'_>,
        timeout: Option<Duration>,
        counts: Option<&mut Counts>,
    ) -> io::Result<usize> {
        let mut sets = [sets.read, sets.write, sets.except];
        let ends = sets.iter().flatten().map(|set| set.end());
        let end = ends.max().unwrap_or(0);
        let [readfds, writefds, exceptfds] = sets
            .each_mut()
            .map(|set| set.as_mut().map_or(0, |set| set.address(end)));
        let (counts, counts_size) = Counts::place(counts);
        let mut argument = sys::repoll_select {
            readfds,
            writefds,
            exceptfds,
            nfds: i32::try_from(end).unwrap_or(i32::MAX),
            timeout: nanoseconds(timeout),
            counts,
            counts_size,
            ..Default::default()
        };
        // SAFETY: the ioctl reads and writes `nfds` bits of each set, which has room for them, and
        // writes numbers to the counts; all are exclusively borrowed through the call.
        unsafe { sys::ioctl(self, &mut argument) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_grow_and_list_their_descriptors_in_order() {
        let mut set = FdSet::from_iter([5000, 0, 64, 63, -1]);
        assert!(set.iter().eq([0, 63, 64, 5000]));
        assert_eq!(set.end(), 5056);
        assert_eq!(format!("{set:?}"), "{0, 63, 64, 5000}");
        set.clear();
        assert!(set.is_empty());
    }

    #[test]
    fn sets_take_descriptors_by_value_and_by_reference() {
        let input = std::io::stdin();
        let mut set = FdSet::new();
        set.remove(&input);
        assert!(!set.contains(&input));
        set.insert(&input);
        assert!(set.contains(input.as_fd()));
        set.remove(input.as_fd());
        assert!(set.is_empty());
    }

    #[test]
    fn sets_are_equal_by_what_is_in_them() {
        let mut grown = FdSet::from_iter([1]);
        assert_ne!(grown.address(1000), 0);
        assert_eq!(grown, FdSet::from_iter([1]));
        assert_ne!(grown, FdSet::from_iter([2]));
    }

    #[test]
    fn poll_descriptors_have_the_layout_of_the_kernel() {
        assert_eq!(size_of::<PollFd>(), 8);
        let fd = PollFd::with_number(7, PollFlags::IN | PollFlags::RDHUP);
        assert_eq!(fd.fd(), 7);
        assert!(fd.ready().is_empty());
    }
}
