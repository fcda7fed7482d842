// SPDX-License-Identifier: GPL-2.0
//! select(2) and poll(2): repoll's, and the kernel's own as the oracle.

use crate::descriptor::Number;
use crate::files::timespec;
use crate::memory::Place;
use crate::multiplexer::nanoseconds;
use crate::raw;
use crate::side::Way;
use crate::signals::Mask;
use crate::{files, threads};
use repoll::sys::{self, repoll_poll, repoll_select};
use repoll::{Instance, Takeover};
use rustix::event::Timespec;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::{from_mut, from_ref};
use std::sync::mpsc::channel;
use std::thread::scope;
use std::time::{Duration, Instant};

/// The implementation that makes the calls.
pub trait Side: Send + Sync + Sized + 'static {
    /// The name in test names.
    const NAME: &'static str;

    /// Makes one.
    fn new() -> io::Result<Self>;

    /// ppoll(2) of an array in a place. Writes back the rest of the timeout.
    fn poll_at(
        &self,
        fds: Place<'_>,
        nfds: u32,
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<usize>;

    /// pselect(2) of sets in places. Writes back the rest of the timeout.
    fn select_at(
        &self,
        nfds: i32,
        sets: [Place<'_>; 3],
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<usize>;

    /// poll(2).
    fn poll(&self, fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
        let count = fds.len() as u32;
        self.poll_at(Place::of(fds), count, &mut { timeout }, Mask::default())
    }

    /// select(2), of sets that have room for `nfds` bits.
    fn select(
        &self,
        nfds: i32,
        sets: [Option<&mut [u64]>; 3],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        let sets = sets.map(|set| set.map_or(Place::NULL, Place::of));
        self.select_at(nfds, sets, &mut { timeout }, Mask::default())
    }
}

/// The kernel's own, unless another side serves its calls.
pub struct Kernel;

/// Ours.
pub struct Ours(Instance);

impl Ours {
    /// The instance whose descriptor the calls go to.
    pub fn instance(&self) -> &Instance {
        &self.0
    }

    /// POLL with any argument.
    ///
    /// # Safety
    ///
    /// The kernel writes to the addresses in the argument, as far as they are mapped.
    pub unsafe fn poll_raw(&self, argument: &mut repoll_poll) -> io::Result<usize> {
        // SAFETY: by the contract of this function.
        unsafe { sys::ioctl(&self.0, argument) }
    }

    /// SELECT with any argument.
    ///
    /// # Safety
    ///
    /// As [`Ours::poll_raw`].
    pub unsafe fn select_raw(&self, argument: &mut repoll_select) -> io::Result<usize> {
        // SAFETY: by the contract of this function.
        unsafe { sys::ioctl(&self.0, argument) }
    }
}

/// The address of an array of `nfds` entries.
fn array(fds: Place<'_>, nfds: u32) -> usize {
    fds.with_room_for(nfds as usize, size_of::<libc::pollfd>())
}

/// The addresses of sets of `nfds` bits: whole words.
fn words(sets: [Place<'_>; 3], nfds: i32) -> [usize; 3] {
    let words = (nfds.max(0) as usize).div_ceil(64);
    sets.map(|set| set.with_room_for(words, size_of::<u64>()))
}

/// The address of a time limit, if there is one.
fn address(time: &mut Option<Timespec>) -> usize {
    time.as_mut().map_or(0, |time| from_mut(time) as usize)
}

fn duration(time: Timespec) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Checks that ppoll(2) goes this way. A thread that sleeps in it shows this: a preloaded library
/// has made an ioctl of the call, and takeover counts the calls that it serves.
fn leads_here(way: Way) -> io::Result<()> {
    match way {
        Way::TakenOver => is_taken_over(&Poll(Kernel)),
        Way::Preloaded => seen_asleep(&Poll(Kernel), |thread| {
            let line = fs::read_to_string(format!("/proc/self/task/{thread}/syscall"))?;
            Ok(threads::number_of_call(&line) == Some(libc::SYS_ioctl))
        }),
    }
}

/// Checks that takeover serves a call: it counts those in which threads sleep.
pub fn is_taken_over(call: &impl Scanner) -> io::Result<()> {
    let takeover = Takeover::open()?;
    let before = takeover.status()?.running;
    seen_asleep(call, |_| Ok(takeover.status()?.running > before))
}

/// Checks that a condition becomes true while a thread, whose number it gets, sleeps in a call.
fn seen_asleep(call: &impl Scanner, is_seen: impl Fn(i32) -> io::Result<bool>) -> io::Result<()> {
    let limit = Duration::from_secs(20);
    let file = files::eventfd()?;
    let file = file.as_raw_fd();
    scope(|threads| {
        let (tell, thread) = channel();
        threads.spawn(move || {
            let _ = tell.send(threads::this_thread());
            call.readable(&[file], Some(limit))
        });
        let thread = thread.recv().map_err(io::Error::other)?;
        let end = Instant::now() + limit;
        let mut seen = is_seen(thread);
        while matches!(seen, Ok(false)) && Instant::now() < end {
            seen = is_seen(thread);
        }
        files::signal(Number(file))?;
        match seen? {
            true => Ok(()),
            false => Err(io::Error::other("another side serves the call")),
        }
    })
}

impl Side for Kernel {
    const NAME: &'static str = "kernel";

    fn new() -> io::Result<Self> {
        Way::of_the_kernels_calls().map_or(Ok(()), leads_here)?;
        Ok(Self)
    }

    fn poll_at(
        &self,
        fds: Place<'_>,
        nfds: u32,
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<usize> {
        let mut time = timeout.map(timespec);
        let limit = address(&mut time);
        let arguments = [
            array(fds, nfds),
            nfds as usize,
            limit,
            mask.address,
            mask.size,
        ];
        // SAFETY: the place has room for the array, the time is ours, the mask is only read.
        let ready = unsafe { raw::syscall(libc::SYS_ppoll, arguments) };
        *timeout = time.map(duration);
        ready
    }

    fn select_at(
        &self,
        nfds: i32,
        sets: [Place<'_>; 3],
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<usize> {
        let mut time = timeout.map(timespec);
        let limit = address(&mut time);
        let mask = [mask.address, mask.size];
        let [read, write, except] = words(sets, nfds);
        let mask = from_ref(&mask) as usize;
        let arguments = [nfds as usize, read, write, except, limit, mask];
        // SAFETY: the places have room for the sets, the time is ours, the mask is only read.
        let ready = unsafe { raw::syscall(libc::SYS_pselect6, arguments) };
        *timeout = time.map(duration);
        ready
    }
}

impl Side for Ours {
    const NAME: &'static str = "repoll";

    fn new() -> io::Result<Self> {
        Ok(Self(Instance::open()?))
    }

    fn poll_at(
        &self,
        fds: Place<'_>,
        nfds: u32,
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<usize> {
        let mut argument = repoll_poll {
            fds: array(fds, nfds) as u64,
            nfds,
            timeout: nanoseconds(*timeout),
            sigmask: mask.address as u64,
            sigsetsize: mask.size as u64,
            ..Default::default()
        };
        // SAFETY: the place has room for the array, the mask is only read.
        let ready = unsafe { self.poll_raw(&mut argument) };
        *timeout = left(argument.timeout);
        ready
    }

    fn select_at(
        &self,
        nfds: i32,
        sets: [Place<'_>; 3],
        timeout: &mut Option<Duration>,
        mask: Mask,
    ) -> io::Result<usize> {
        let [readfds, writefds, exceptfds] = words(sets, nfds).map(|set| set as u64);
        let mut argument = repoll_select {
            readfds,
            writefds,
            exceptfds,
            nfds,
            timeout: nanoseconds(*timeout),
            sigmask: mask.address as u64,
            sigsetsize: mask.size as u64,
            ..Default::default()
        };
        // SAFETY: the places have room for the sets, the mask is only read.
        let ready = unsafe { self.select_raw(&mut argument) };
        *timeout = left(argument.timeout);
        ready
    }
}

/// A timeout that an argument has, as a duration; `None` if there is no limit.
pub fn left(nanoseconds: i64) -> Option<Duration> {
    u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
}

/// One of the two calls, of either side, as far as they are the same: which files are readable.
pub trait Scanner: Send + Sync + Sized + 'static {
    /// Makes one.
    fn new() -> io::Result<Self>;

    /// Waits until some of the files can be read from or report another event, and returns these.
    /// Writes back the rest of the timeout.
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

/// The array for [`Side::poll`], for the same events of each file.
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
        let count = fds.len() as u32;
        let ready = self.0.poll_at(Place::of(&mut fds), count, timeout, mask)?;
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
        let sets = [Place::of(&mut set), Place::NULL, Place::NULL];
        let ready = self.0.select_at(nfds, sets, timeout, mask)?;
        let found: Vec<_> = (0..nfds).filter(|&fd| is_in(fd, &set)).collect();
        count_is(ready, found)
    }
}

/// The files that were found, if the call returned their number.
pub fn count_is(count: usize, found: Vec<RawFd>) -> io::Result<Vec<RawFd>> {
    if count != found.len() {
        return Err(io::Error::other(format!("{count} are said, not {found:?}")));
    }
    Ok(found)
}
