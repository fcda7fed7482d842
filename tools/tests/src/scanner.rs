// SPDX-License-Identifier: GPL-2.0
//! select(2) and poll(2): repoll's, and the kernel's own as the oracle.

use crate::sys;
use repoll::sys::{repoll_poll, repoll_select, REPOLL_IOCTL_POLL, REPOLL_IOCTL_SELECT};
use repoll::{Instance, OpenError};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::{from_mut, from_ref};
use std::time::Duration;

/// A signal mask: its address and its size; 0 for none.
#[derive(Clone, Copy, Default)]
pub struct Mask(pub usize, pub usize);

impl Mask {
    /// The mask `signals`, which must live through the call.
    pub fn of(signals: &u64) -> Self {
        Self(from_ref(signals) as usize, size_of::<u64>())
    }

    /// The signals, if it may be a mask that [`Mask::of`] has made: of its size, and where programs
    /// have their data, above the first 4 GiB and below the kernel.
    pub fn signals(self) -> Option<u64> {
        let Self(address, size) = self;
        let may_be = size == size_of::<u64>() && (1 << 32..1 << 48).contains(&address);
        // SAFETY: nobody makes another of this size there.
        may_be.then(|| unsafe { (address as *const u64).read_unaligned() })
    }
}

/// Who makes the calls.
pub trait Side: Send + Sync + Sized + 'static {
    /// The name in test names.
    const NAME: &'static str;

    /// Makes one.
    fn new() -> io::Result<Self>;

    /// ppoll(2). What is left of the timeout is written back.
    ///
    /// # Safety
    ///
    /// The kernel writes to the array, as far as it is mapped: nothing else may be there.
    unsafe fn poll_at(
        &self,
        fds: usize,
        nfds: u32,
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<usize>;

    /// pselect(2). What is left of the timeout is written back.
    ///
    /// # Safety
    ///
    /// The kernel writes to the sets, as far as they are mapped: nothing else may be there.
    unsafe fn select_at(
        &self,
        nfds: i32,
        sets: [usize; 3],
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<usize>;

    /// poll(2).
    fn poll(&self, fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
        let address = fds.as_mut_ptr() as usize;
        // SAFETY: the array is ours.
        unsafe { self.poll_at(address, fds.len() as u32, &mut { timeout }, Mask::default()) }
    }

    /// select(2), of sets that have room for `nfds` bits.
    fn select(
        &self,
        nfds: i32,
        mut sets: [Option<&mut [u64]>; 3],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        let addresses = sets
            .each_mut()
            .map(|set| set.as_mut().map_or(0, |set| set.as_mut_ptr() as usize));
        let room = sets.iter().flatten().map(|set| set.len() * 64).min();
        assert!(room.is_none_or(|room| room as i64 >= nfds.into()));
        // SAFETY: the sets are ours, and long enough.
        unsafe { self.select_at(nfds, addresses, &mut { timeout }, Mask::default()) }
    }
}

/// The kernel's own.
pub struct Kernel;

/// Ours.
pub struct Ours(Instance);

impl Ours {
    /// POLL with any argument.
    ///
    /// # Safety
    ///
    /// As [`Side::poll_at`].
    pub unsafe fn poll_raw(&self, argument: &mut repoll_poll) -> io::Result<usize> {
        // SAFETY: the request reads and writes a `repoll_poll`; the rest is the caller's business.
        let ready = unsafe {
            sys::ioctl(
                self.0.as_raw_fd(),
                REPOLL_IOCTL_POLL,
                from_mut(argument) as usize,
            )
        }?;
        Ok(ready as usize)
    }

    /// SELECT with any argument.
    ///
    /// # Safety
    ///
    /// As [`Side::select_at`].
    pub unsafe fn select_raw(&self, argument: &mut repoll_select) -> io::Result<usize> {
        // SAFETY: the request reads and writes a `repoll_select`; the rest is the caller's business.
        let ready = unsafe {
            sys::ioctl(
                self.0.as_raw_fd(),
                REPOLL_IOCTL_SELECT,
                from_mut(argument) as usize,
            )
        }?;
        Ok(ready as usize)
    }
}

fn address(time: &mut Option<libc::timespec>) -> usize {
    time.as_mut().map_or(0, |time| from_mut(time) as usize)
}

fn duration(time: libc::timespec) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl Side for Kernel {
    const NAME: &'static str = "kernel";

    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    unsafe fn poll_at(
        &self,
        fds: usize,
        nfds: u32,
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<usize> {
        let mut time = timeout.map(sys::timespec);
        let at = address(&mut time);
        let number = libc::SYS_ppoll;
        // SAFETY: the time is ours; the rest is the caller's business.
        let ready = unsafe { libc::syscall(number, fds, nfds, at, mask.0, mask.1) };
        let ready = sys::check(ready);
        *timeout = time.map(duration);
        Ok(ready? as usize)
    }

    unsafe fn select_at(
        &self,
        nfds: i32,
        sets: [usize; 3],
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<usize> {
        let mut time = timeout.map(sys::timespec);
        let at = address(&mut time);
        let mask = [mask.0, mask.1];
        let [read, write, except] = sets;
        let number = libc::SYS_pselect6;
        // SAFETY: time and mask are ours; the rest is the caller's business.
        let ready = unsafe { libc::syscall(number, nfds, read, write, except, at, &mask) };
        let ready = sys::check(ready);
        *timeout = time.map(duration);
        Ok(ready? as usize)
    }
}

impl Side for Ours {
    const NAME: &'static str = "repoll";

    fn new() -> io::Result<Self> {
        Instance::open().map(Self).map_err(OpenError::into_inner)
    }

    unsafe fn poll_at(
        &self,
        fds: usize,
        nfds: u32,
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<usize> {
        let mut argument = repoll_poll {
            fds: fds as u64,
            nfds,
            timeout: nanoseconds(*timeout),
            sigmask: mask.0 as u64,
            sigsetsize: mask.1 as u64,
            ..Default::default()
        };
        // SAFETY: by the contract of this function.
        let ready = unsafe { self.poll_raw(&mut argument) };
        *timeout = left(argument.timeout);
        ready
    }

    unsafe fn select_at(
        &self,
        nfds: i32,
        sets: [usize; 3],
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<usize> {
        let [readfds, writefds, exceptfds] = sets.map(|set| set as u64);
        let mut argument = repoll_select {
            readfds,
            writefds,
            exceptfds,
            nfds,
            timeout: nanoseconds(*timeout),
            sigmask: mask.0 as u64,
            sigsetsize: mask.1 as u64,
            ..Default::default()
        };
        // SAFETY: by the contract of this function.
        let ready = unsafe { self.select_raw(&mut argument) };
        *timeout = left(argument.timeout);
        ready
    }
}

/// A timeout as the arguments have it.
pub fn nanoseconds(timeout: Option<Duration>) -> i64 {
    timeout.map_or(-1, |t| i64::try_from(t.as_nanos()).unwrap_or(i64::MAX))
}

/// And back.
pub fn left(nanoseconds: i64) -> Option<Duration> {
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

/// One of the two calls, of either side, as far as they are the same: which files are readable.
pub trait Scanner: Send + Sync + Sized + 'static {
    /// Makes one.
    fn new() -> io::Result<Self>;

    /// Waits until some of the files can be read from, or have something else to tell: these. What is
    /// left of the timeout is written back.
    ///
    /// What the kernel reads as the mask may be anything, also nothing.
    fn readable_masked(
        &self,
        fds: &[RawFd],
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<Vec<RawFd>>;

    /// Likewise, without a mask.
    fn readable(&self, fds: &[RawFd], timeout: Option<Duration>) -> io::Result<Vec<RawFd>> {
        self.readable_masked(fds, &mut { timeout }, Mask::default())
    }
}

/// poll(2).
pub struct Poll<S>(pub S);

/// select(2).
pub struct Select<S>(pub S);

/// What [`Side::poll`] takes, for input.
pub fn pollfds(fds: &[RawFd], events: i16) -> Vec<libc::pollfd> {
    let one = |&fd| libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    fds.iter().map(one).collect()
}

/// A set for [`Side::select`] with room for `nfds` bits.
pub fn set_of(fds: &[RawFd], nfds: i32) -> Vec<u64> {
    let mut set = vec![0; (nfds as usize).div_ceil(64)];
    for &fd in fds {
        set[fd as usize / 64] |= 1 << (fd % 64);
    }
    set
}

/// Whether a descriptor is in a set.
pub fn is_in(fd: RawFd, set: &[u64]) -> bool {
    set[fd as usize / 64] & (1 << (fd % 64)) != 0
}

impl<S: Side> Scanner for Poll<S> {
    fn new() -> io::Result<Self> {
        S::new().map(Self)
    }

    fn readable_masked(
        &self,
        fds: &[RawFd],
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<Vec<RawFd>> {
        let mut fds = pollfds(fds, libc::POLLIN);
        let (address, count) = (fds.as_mut_ptr() as usize, fds.len() as u32);
        // SAFETY: the array is ours.
        let ready = unsafe { self.0.poll_at(address, count, timeout, mask) }?;
        let found: Vec<_> = fds
            .iter()
            .filter(|fd| fd.revents != 0)
            .map(|fd| fd.fd)
            .collect();
        count_is(ready, found)
    }
}

impl<S: Side> Scanner for Select<S> {
    fn new() -> io::Result<Self> {
        S::new().map(Self)
    }

    fn readable_masked(
        &self,
        fds: &[RawFd],
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<Vec<RawFd>> {
        let nfds = fds.iter().max().map_or(0, |fd| fd + 1);
        let mut set = set_of(fds, nfds);
        let sets = [set.as_mut_ptr() as usize, 0, 0];
        // SAFETY: the set is ours.
        let ready = unsafe { self.0.select_at(nfds, sets, timeout, mask) }?;
        let found: Vec<_> = (0..nfds).filter(|&fd| is_in(fd, &set)).collect();
        count_is(ready, found)
    }
}

/// What was found, if it is as much as the call said.
pub fn count_is(count: usize, found: Vec<RawFd>) -> io::Result<Vec<RawFd>> {
    if count != found.len() {
        return Err(io::Error::other(format!("{count} are said, not {found:?}")));
    }
    Ok(found)
}

/// Tests on repoll and on the oracle: `sides!("theme": body, body…)`.
#[macro_export]
macro_rules! sides {
    ($theme:literal: $($body:ident),+ $(,)?) => {
        vec![$(
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/kernel"),
                $body::<$crate::scanner::Kernel>,
            ),
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/repoll"),
                $body::<$crate::scanner::Ours>,
            ),
        )+]
    };
}

/// Tests of both calls, on repoll and on the oracle.
#[macro_export]
macro_rules! scanners {
    ($theme:literal: $($body:ident),+ $(,)?) => {
        vec![$(
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/kernel-poll"),
                $body::<$crate::scanner::Poll<$crate::scanner::Kernel>>,
            ),
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/poll"),
                $body::<$crate::scanner::Poll<$crate::scanner::Ours>>,
            ),
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/kernel-select"),
                $body::<$crate::scanner::Select<$crate::scanner::Kernel>>,
            ),
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/select"),
                $body::<$crate::scanner::Select<$crate::scanner::Ours>>,
            ),
        )+]
    };
}

/// Tests of both calls of a 32-bit program.
#[macro_export]
macro_rules! scanners_32 {
    ($theme:literal: $($body:ident),+ $(,)?) => {
        vec![$(
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/poll-32bit"),
                $body::<$crate::compat_scan::Poll32>,
            ),
            $crate::registry::Test::new(
                concat!($theme, ".", stringify!($body), "/select-32bit"),
                $body::<$crate::compat_scan::Select32>,
            ),
        )+]
    };
}
