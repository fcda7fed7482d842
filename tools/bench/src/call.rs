// SPDX-License-Identifier: GPL-2.0
//! System calls that are prepared once and then made often. The unsafe code lives here.

use anyhow::{Context, Result};
use libc::{c_long, epoll_event};
use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The shortest calls that the machine has: those that programs made there.
#[cfg(target_arch = "x86_64")]
pub mod machine {
    pub use libc::{SYS_epoll_wait as EPOLL_WAIT, SYS_poll as POLL, SYS_select as SELECT};
    /// A number of milliseconds.
    pub const NO_LIMIT: usize = -1isize as usize;
}

/// The shortest calls that the machine has. Those without a signal mask it lacks.
#[cfg(not(target_arch = "x86_64"))]
pub mod machine {
    pub use libc::{SYS_epoll_pwait as EPOLL_WAIT, SYS_ppoll as POLL, SYS_pselect6 as SELECT};
    /// No address of a time.
    pub const NO_LIMIT: usize = 0;
}

/// A system call with its arguments: nothing stands between it and the kernel but `syscall(3)`.
///
/// # Invariants
///
/// Memory that it points to is never freed, and not looked at while the kernel may write to it.
#[derive(Clone, Copy)]
pub struct Call {
    number: c_long,
    arguments: [usize; 4],
}

impl Call {
    /// A call without pointers among its arguments.
    ///
    /// # Safety
    ///
    /// Whatever the arguments point to must be as the invariants of the type say, and of the length
    /// that the call wants.
    pub unsafe fn new(number: c_long, arguments: [usize; 4]) -> Self {
        Self { number, arguments }
    }

    /// A call that there is not: nothing but the way in and out. -1.
    pub fn none() -> Self {
        // SAFETY: x86-64 and arm64 leave the numbers from 335 to 423 unused: no arguments are looked at.
        unsafe { Self::new(400, [0; 4]) }
    }

    /// As little as a system call does that there is: `getpid(2)`.
    pub fn empty() -> Self {
        // SAFETY: no arguments.
        unsafe { Self::new(libc::SYS_getpid, [0; 4]) }
    }

    /// `eventfd2(2)`, nonblocking.
    pub fn eventfd() -> Self {
        // SAFETY: no pointers.
        unsafe { Self::new(libc::SYS_eventfd2, [0, libc::EFD_NONBLOCK as usize, 0, 0]) }
    }

    /// `close(2)`.
    pub fn close(fd: RawFd) -> Self {
        // SAFETY: no pointers. Who owns `fd` is the business of the caller.
        unsafe { Self::new(libc::SYS_close, [fd as usize, 0, 0, 0]) }
    }

    /// `write(2)` of the eight bytes of a 1: to an eventfd, adds it.
    pub fn write(fd: RawFd) -> Self {
        static ONE: u64 = 1;
        let bytes = &raw const ONE as usize;
        // SAFETY: eight bytes are read.
        unsafe { Self::new(libc::SYS_write, [fd as usize, bytes, 8, 0]) }
    }

    /// `read(2)` of eight bytes.
    pub fn read(fd: RawFd) -> Self {
        let bytes = Box::leak(Box::new(0u64));
        let bytes = &raw mut *bytes as usize;
        // SAFETY: eight bytes are written, to memory that is only for this.
        unsafe { Self::new(libc::SYS_read, [fd as usize, bytes, 8, 0]) }
    }

    /// Makes the call: what it returned, or -1.
    #[inline]
    pub fn make(&self) -> c_long {
        let [a, b, c, d] = self.arguments;
        // SAFETY: by the invariants of the type.
        unsafe { libc::syscall(self.number, a, b, c, d, 0usize, 0usize) }
    }

    /// Makes the call, -1 turned into the error that it stands for.
    pub fn check(&self) -> io::Result<c_long> {
        match self.make() {
            -1 => Err(io::Error::last_os_error()),
            result => Ok(result),
        }
    }

    /// Makes a call that returns a new descriptor.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        let fd = self.check()? as RawFd;
        // SAFETY: the kernel has just made it for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// `pipe2(2)`: the end to read from, the end to write to.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: there is room for two descriptors, which are then ours.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

/// The monotonic clock, in nanoseconds.
#[inline]
pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: there is room for the time.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Raises the limit of open files to `count`.
pub fn allow_files(count: u64) -> Result<()> {
    let limit = libc::rlimit {
        rlim_cur: count,
        rlim_max: count,
    };
    // SAFETY: only reads the limit.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } < 0 {
        return Err(io::Error::last_os_error()).context("cannot raise the limit of open files");
    }
    Ok(())
}

/// Makes this thread, and those that it starts, one that does not preempt others when it is woken.
pub fn wake_without_preemption() -> Result<()> {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: only reads the parameter.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &parameter) } < 0 {
        return Err(io::Error::last_os_error()).context("cannot change the scheduling policy");
    }
    Ok(())
}

/// `delete_module(2)`.
pub fn unload_module(name: &'static CStr) -> io::Result<()> {
    let flags = libc::O_NONBLOCK as usize;
    // SAFETY: reads a string, which is static.
    unsafe {
        Call::new(
            libc::SYS_delete_module,
            [name.as_ptr() as usize, flags, 0, 0],
        )
    }
    .check()
    .map(drop)
}

/// `finit_module(2)`.
pub fn load_module(file: &impl AsRawFd) -> io::Result<()> {
    let parameters = c"".as_ptr() as usize;
    // SAFETY: reads a string, which is static.
    unsafe {
        Call::new(
            libc::SYS_finit_module,
            [file.as_raw_fd() as usize, parameters, 0, 0],
        )
    }
    .check()
    .map(drop)
}

/// A zeroed array for `count` events, for ever.
pub fn events(count: usize) -> &'static mut [epoll_event] {
    Box::leak(vec![epoll_event { events: 0, u64: 0 }; count].into_boxed_slice())
}

/// Words that calls may write to: they stay where they are, for ever.
#[derive(Clone, Copy)]
pub struct Words {
    first: *mut u64,
    count: usize,
}

impl Words {
    /// So many zeros.
    pub fn new(count: usize) -> Self {
        let first = Box::into_raw(vec![0u64; count].into_boxed_slice()).cast();
        Self { first, count }
    }

    /// Where they are.
    pub fn address(self) -> usize {
        self.first as usize
    }

    /// One of them. No call that may write to it is under way.
    pub fn get(self, index: usize) -> u64 {
        assert!(index < self.count);
        // SAFETY: it is there for ever, and only ever looked at like this.
        unsafe { self.first.add(index).read_volatile() }
    }

    /// Changes one of them. No call that may look at it is under way.
    pub fn set(self, index: usize, value: u64) {
        assert!(index < self.count);
        // SAFETY: as above.
        unsafe { self.first.add(index).write_volatile(value) };
    }
}

/// What selects the files below `nfds` that can be read from, by the set at `set`.
pub fn select(nfds: usize, set: Words) -> Call {
    assert!(nfds <= set.count * 64);
    // SAFETY: one set of so many bits; the fifth argument is none, so it waits without a limit.
    unsafe { Call::new(machine::SELECT, [nfds, set.address(), 0, 0]) }
}

/// What polls the array of `struct pollfd` in `fds`, without a time limit.
pub fn poll(fds: Words) -> Call {
    let arguments = [fds.address(), fds.count, machine::NO_LIMIT, 0];
    // SAFETY: an array of so many.
    unsafe { Call::new(machine::POLL, arguments) }
}

/// An array of `struct pollfd`, for input.
pub fn pollfds(fds: &[RawFd]) -> Words {
    let array = Words::new(fds.len());
    for (index, &fd) in fds.iter().enumerate() {
        let events = u64::from(libc::POLLIN as u16);
        array.set(index, u64::from(fd as u32) | (events << 32));
    }
    array
}

/// Where a request's number has the size of its argument: `_IOC_SIZESHIFT`, `_IOC_SIZEMASK`.
const SIZE_SHIFT: u32 = 16;
const SIZE_MASK: u32 = 0x3fff;

/// The number of a request whose argument has another size than the newest.
pub fn with_size(request: u32, size: u32) -> u32 {
    request & !(SIZE_MASK << SIZE_SHIFT) | (size << SIZE_SHIFT)
}

/// `ioctl(2)` on `fd` with `argument`, for ever.
pub fn ioctl<T>(fd: RawFd, request: u32, argument: T) -> Call {
    assert!(((request >> SIZE_SHIFT) & SIZE_MASK) as usize <= size_of::<T>());
    let argument = &raw const *Box::leak(Box::new(argument)) as usize;
    // SAFETY: what requests of repoll read is as long as their numbers say: not longer than a `T`.
    unsafe {
        Call::new(
            libc::SYS_ioctl,
            [fd as usize, request as usize, argument, 0],
        )
    }
}
