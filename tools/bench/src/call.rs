// SPDX-License-Identifier: GPL-2.0
//! System calls that are prepared once and then made often. All unsafe code of the benchmark is
//! here.

use crate::words::Words;
use libc::{c_long, pollfd};
use repoll::sys::{
    repoll_create, repoll_ctl, repoll_poll, repoll_select, repoll_wait, Argument, Nop,
    REPOLL_WAIT_SIZE_VER0,
};
use repoll::{Counts, Event, EventFlags};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The shortest calls that the architecture has: on x86-64 those that programs have always made.
#[cfg(target_arch = "x86_64")]
mod machine {
    pub use libc::{SYS_epoll_wait as EPOLL_WAIT, SYS_poll as POLL, SYS_select as SELECT};
    /// A number of milliseconds.
    pub const NO_LIMIT: usize = -1isize as usize;
}

/// The shortest calls that the architecture has: arm64 lacks those without a signal mask.
#[cfg(not(target_arch = "x86_64"))]
mod machine {
    pub use libc::{SYS_epoll_pwait as EPOLL_WAIT, SYS_ppoll as POLL, SYS_pselect6 as SELECT};
    /// No address of a time.
    pub const NO_LIMIT: usize = 0;
}

/// A system call with its arguments: nothing but `syscall(3)` stands between it and the kernel.
///
/// # Invariants
///
/// Memory that an argument points to is as long as the call needs, is never freed, and is accessed
/// by the kernel and by [`Words`] only. The constructors in this file see to that.
#[derive(Clone, Copy)]
pub struct Call {
    number: c_long,
    arguments: [usize; 4],
}

impl Call {
    fn new(number: c_long, arguments: [usize; 4]) -> Self {
        Self { number, arguments }
    }

    /// A call that does not exist: entry and exit only. Returns -1.
    pub fn none() -> Self {
        // x86-64 and arm64 leave the numbers from 335 to 423 unused.
        Self::new(400, [0; 4])
    }

    /// `getpid(2)`, the shortest call that exists.
    pub fn empty() -> Self {
        Self::new(libc::SYS_getpid, [0; 4])
    }

    /// `eventfd2(2)`, non-blocking.
    pub fn eventfd() -> Self {
        Self::new(libc::SYS_eventfd2, [0, libc::EFD_NONBLOCK as usize, 0, 0])
    }

    /// `close(2)` of a descriptor that nobody owns.
    pub fn close(fd: RawFd) -> Self {
        Self::new(libc::SYS_close, [fd as usize, 0, 0, 0])
    }

    /// `write(2)` of eight bytes: adds 1 to an eventfd.
    pub fn write(fd: RawFd) -> Self {
        static ONE: u64 = 1;
        let bytes = &raw const ONE as usize;
        Self::new(libc::SYS_write, [fd as usize, bytes, 8, 0])
    }

    /// `read(2)` of eight bytes.
    pub fn read(fd: RawFd) -> Self {
        let bytes = Words::new(1).address();
        Self::new(libc::SYS_read, [fd as usize, bytes, 8, 0])
    }

    /// `epoll_create1(2)`.
    pub fn epoll_create() -> Self {
        Self::new(libc::SYS_epoll_create1, [0; 4])
    }

    /// `epoll_ctl(2)`; the datum is the descriptor.
    pub fn epoll_ctl(epoll: RawFd, op: i32, fd: RawFd, events: EventFlags) -> Self {
        let event = Box::leak(Box::new(Event::new(events, fd as u64)));
        let event = &raw const *event as usize;
        let arguments = [epoll as usize, op as usize, fd as usize, event];
        Self::new(libc::SYS_epoll_ctl, arguments)
    }

    /// The shortest of the epoll_wait(2) family for at most `max` events, without limit or (`now`)
    /// without waiting.
    pub fn epoll_wait(epoll: RawFd, max: usize, now: bool) -> Self {
        let buffer = Words::for_events(max).address();
        let timeout = if now { 0 } else { -1isize as usize };
        Self::new(machine::EPOLL_WAIT, [epoll as usize, buffer, max, timeout])
    }

    /// select(2) of the files below `nfds` that can be read, without limit.
    pub fn select(nfds: usize, set: Words) -> Self {
        assert!(nfds <= set.count() * 64);
        // The fifth argument, the limit, is always 0.
        Self::new(machine::SELECT, [nfds, set.address(), 0, 0])
    }

    /// poll(2) of an array that [`Words::pollfds`] made, without limit.
    pub fn poll(fds: Words) -> Self {
        const { assert!(size_of::<pollfd>() == size_of::<u64>()) };
        let arguments = [fds.address(), fds.count(), machine::NO_LIMIT, 0];
        Self::new(machine::POLL, arguments)
    }

    /// repoll's NOP.
    pub fn repoll_nop(fd: RawFd) -> Self {
        Self::ioctl(fd, Nop)
    }

    /// repoll's CREATE.
    pub fn repoll_create(fd: RawFd) -> Self {
        Self::ioctl(fd, repoll_create::default())
    }

    /// repoll's CTL; the datum is the descriptor.
    pub fn repoll_ctl(repoll: RawFd, op: i32, fd: RawFd, events: EventFlags) -> Self {
        let argument = repoll_ctl {
            op,
            fd,
            events: events.bits(),
            flags: 0,
            data: fd as u64,
        };
        Self::ioctl(repoll, argument)
    }

    /// repoll's WAIT for at most `max` events, without limit or (`now`) without waiting. The
    /// argument is the shortest: without signal mask and counts.
    pub fn repoll_wait(repoll: RawFd, max: usize, now: bool) -> Self {
        // _IOC_SIZESHIFT and _IOC_SIZEMASK of <asm-generic/ioctl.h>.
        const SHIFT: u32 = 16;
        const MASK: u32 = 0x3fff;
        let number = repoll_wait::NUMBER & !(MASK << SHIFT) | (REPOLL_WAIT_SIZE_VER0 << SHIFT);
        Self::numbered_ioctl(repoll, number, wait_argument(max, now))
    }

    /// repoll's WAIT for at most `max` events, without limit, with counts.
    pub fn repoll_wait_counted(repoll: RawFd, max: usize, counts: Words) -> Self {
        let (counts, counts_size) = place(Some(counts));
        let argument = repoll_wait {
            counts,
            counts_size,
            ..wait_argument(max, false)
        };
        Self::ioctl(repoll, argument)
    }

    /// repoll's SELECT of the files below `nfds` that can be read, without limit.
    pub fn repoll_select(repoll: RawFd, nfds: usize, set: Words, counts: Option<Words>) -> Self {
        assert!(nfds <= set.count() * 64);
        let (counts, counts_size) = place(counts);
        let argument = repoll_select {
            readfds: set.address() as u64,
            nfds: nfds as i32,
            timeout: -1,
            counts,
            counts_size,
            ..Default::default()
        };
        Self::ioctl(repoll, argument)
    }

    /// repoll's POLL of an array that [`Words::pollfds`] made, without limit.
    pub fn repoll_poll(repoll: RawFd, fds: Words, counts: Option<Words>) -> Self {
        let (counts, counts_size) = place(counts);
        let argument = repoll_poll {
            fds: fds.address() as u64,
            nfds: fds.count() as u32,
            timeout: -1,
            counts,
            counts_size,
            ..Default::default()
        };
        Self::ioctl(repoll, argument)
    }

    fn ioctl<A: Argument + 'static>(fd: RawFd, argument: A) -> Self {
        Self::numbered_ioctl(fd, A::NUMBER, argument)
    }

    fn numbered_ioctl<A: 'static>(fd: RawFd, number: u32, argument: A) -> Self {
        let argument = &raw const *Box::leak(Box::new(argument)) as usize;
        Self::new(libc::SYS_ioctl, [fd as usize, number as usize, argument, 0])
    }

    /// Makes the call. Returns its result, or -1.
    #[inline]
    pub fn run(&self) -> c_long {
        let [a, b, c, d] = self.arguments;
        // SAFETY: by the invariants of the type.
        unsafe { libc::syscall(self.number, a, b, c, d, 0usize, 0usize) }
    }

    /// Makes the call, -1 turned into the error in `errno`.
    pub fn check(&self) -> io::Result<c_long> {
        match self.run() {
            -1 => Err(io::Error::last_os_error()),
            result => Ok(result),
        }
    }

    /// Makes a call that returns a new descriptor.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        const MAKERS: [c_long; 3] = [
            libc::SYS_eventfd2,
            libc::SYS_epoll_create1,
            // CREATE.
            libc::SYS_ioctl,
        ];
        assert!(MAKERS.contains(&self.number));
        let fd = self.check()? as RawFd;
        // SAFETY: the kernel has just made it, and nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

fn wait_argument(max: usize, now: bool) -> repoll_wait {
    repoll_wait {
        events: Words::for_events(max).address() as u64,
        maxevents: max as i32,
        timeout: if now { 0 } else { -1 },
        ..Default::default()
    }
}

/// Address and size of counts; zeros for none.
fn place(counts: Option<Words>) -> (u64, u64) {
    counts.map_or((0, 0), |words| {
        assert!(words.count() * size_of::<u64>() >= size_of::<Counts>());
        (words.address() as u64, size_of::<Counts>() as u64)
    })
}
