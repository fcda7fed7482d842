// SPDX-License-Identifier: GPL-2.0
//! System calls that std lacks.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// A result that is negative is an error, in `errno`.
pub fn check(result: i32) -> io::Result<i32> {
    match result {
        result if result < 0 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// # Safety
///
/// `fd` is what a system call has returned that makes a descriptor.
pub unsafe fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: by the contract a descriptor that is no error is new.
    check(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An eventfd with this count: ready to be read if it is not 0.
pub fn eventfd(count: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    unsafe { owned(libc::eventfd(count, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)) }
}

/// A pipe: where to read, where to write. Neither blocks.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: there is room for two.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) })?;
    // SAFETY: both are new.
    unsafe { Ok((owned(fds[0])?, owned(fds[1])?)) }
}

pub fn write(fd: &impl AsRawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the bytes live through the call.
    let count = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

pub fn read(fd: &impl AsRawFd, bytes: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer lives through the call.
    let count = unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Lets this process have so many descriptors.
pub fn allow_descriptors(count: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: count,
        rlim_max: count.max(1 << 20),
    };
    // SAFETY: the limit lives through the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }).map(drop)
}

/// A copy of a descriptor, with this number or the next free one.
pub fn copy_at(fd: &OwnedFd, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor is new.
    unsafe { owned(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least)) }
}

/// poll(2) without waiting: how many are ready.
pub fn poll(fds: &mut [libc::pollfd]) -> io::Result<usize> {
    // SAFETY: the slice is as long as it says.
    check(unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, 0) })
        .map(|count| count as usize)
}

/// A set for select(2), of as many bits as one likes.
pub struct Set(Vec<u64>);

impl Set {
    pub fn new(bits: usize) -> Self {
        Self(vec![0; bits.div_ceil(64)])
    }

    pub fn insert(&mut self, fd: RawFd) {
        self.0[fd as usize / 64] |= 1 << (fd as usize % 64);
    }

    pub fn contains(&self, fd: RawFd) -> bool {
        self.0[fd as usize / 64] & (1 << (fd as usize % 64)) != 0
    }

    /// select(2) for reading, without waiting: how many are ready. The set then holds these.
    pub fn select(&mut self, nfds: RawFd) -> io::Result<usize> {
        let mut now = libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        };
        let null = std::ptr::null_mut::<u64>();
        // SAFETY: the kernel reads and writes as many words as hold `nfds` bits, which there are.
        let count = unsafe {
            libc::syscall(
                libc::SYS_select,
                nfds,
                self.0.as_mut_ptr(),
                null,
                null,
                &mut now,
            )
        };
        check(count as i32).map(|count| count as usize)
    }
}

/// The shortest of many runs: the least that something takes.
pub fn shortest(mut run: impl FnMut() -> io::Result<()>) -> io::Result<Duration> {
    let mut least = Duration::MAX;
    for _ in 0..200 {
        let start = Instant::now();
        run()?;
        least = least.min(start.elapsed());
    }
    Ok(least)
}

/// How often this thread has gone to sleep by its own will.
pub fn sleeps() -> io::Result<i64> {
    // SAFETY: all zeroes is a valid value, which the call overwrites.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        check(libc::getrusage(libc::RUSAGE_THREAD, &mut usage))?;
        Ok(usage.ru_nvcsw)
    }
}
