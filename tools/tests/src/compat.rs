// SPDX-License-Identifier: GPL-2.0
//! The calls of a 32-bit program: `int 0x80`, with all that is pointed to below 4 GiB.
//!
//! A 64-bit process may enter the kernel so too, which takes the call for one of a 32-bit process:
//! an ioctl reaches the file by its compat entry, pointers are 32 bits wide, and structures have
//! their 32-bit layout.

use crate::multiplexer::{descriptor, nanoseconds, Multiplexer};
use crate::registry::skip;
use crate::{processes, sys};
use anyhow::Result;
use machine::call;
use repoll::sys::*;
use repoll::{Event, EventFlags};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Numbers of calls, those of i386.
const GETPID: u32 = 20;
pub const IOCTL: u32 = 54;
const EPOLL_CTL: u32 = 255;
const EPOLL_CREATE1: u32 = 329;
const EPOLL_PWAIT2: u32 = 441;

/// Parts that only an x86 has.
#[cfg(target_arch = "x86_64")]
mod machine {
    use std::arch::asm;
    use std::io;

    pub use libc::MAP_32BIT;

    /// One system call of i386.
    ///
    /// # Safety
    ///
    /// As the call has it. (Addresses that are not mapped are safe: the kernel checks.)
    pub unsafe fn call(number: u32, arguments: [u32; 6]) -> io::Result<i32> {
        let [b, c, d, si, di, bp] = arguments;
        let result: i32;
        // SAFETY: by the contract of this function; rbx and rbp, which the compiler keeps for
        // itself, are as before afterwards.
        unsafe {
            asm!(
                "push rbx",
                "push rbp",
                "mov ebx, r8d",
                "mov ebp, r9d",
                "int 0x80",
                "pop rbp",
                "pop rbx",
                inlateout("eax") number => result,
                in("ecx") c,
                in("edx") d,
                in("esi") si,
                in("edi") di,
                inlateout("r8") u64::from(b) => _,
                inlateout("r9") u64::from(bp) => _,
                lateout("r10") _,
                lateout("r11") _,
            );
        }
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        Ok(result)
    }
}

/// Elsewhere [`needed`] skips all tests of this.
#[cfg(not(target_arch = "x86_64"))]
mod machine {
    use std::io;

    pub const MAP_32BIT: i32 = 0;

    pub unsafe fn call(_: u32, _: [u32; 6]) -> io::Result<i32> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }
}

/// Skips a test on a kernel that has no 32-bit calls.
pub fn needed() -> Result<()> {
    // There the instruction is a fault; one that is handled is not told to the kernel log.
    extern "C" fn fault(_: i32) {
        // SAFETY: ends the process, as a signal handler may.
        unsafe { libc::_exit(1) }
    }
    let child = processes::fork(|| {
        // SAFETY: the handler may run at any time; getpid takes nothing.
        unsafe {
            libc::signal(libc::SIGSEGV, fault as extern "C" fn(i32) as usize);
            i32::from(call(GETPID, [0; 6]).is_err())
        }
    })?;
    match child.wait()? {
        0 => Ok(()),
        _ => skip("no 32-bit calls of a 64-bit process: not an x86, or no CONFIG_IA32_EMULATION"),
    }
}

/// Memory below 4 GiB, all zero at first.
pub struct Low {
    address: usize,
    size: usize,
}

impl Low {
    /// So many bytes.
    pub fn new(size: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | machine::MAP_32BIT;
        // SAFETY: a new mapping, where nothing is.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0) };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = page as usize;
        Ok(Self { address, size })
    }

    /// With a copy of `value` in it.
    pub fn with<T: Copy>(value: T) -> io::Result<Self> {
        let low = Self::new(size_of::<T>())?;
        // SAFETY: the mapping is ours, large enough, and begins at a page.
        unsafe { (low.address as *mut T).write(value) };
        Ok(low)
    }

    /// With a copy of `values` in it.
    pub fn copy_of<T: Copy>(values: &[T]) -> io::Result<Self> {
        let low = Self::new(size_of_val(values).max(1))?;
        // SAFETY: the mapping is ours, large enough, and begins at a page.
        unsafe {
            std::ptr::copy_nonoverlapping(values.as_ptr(), low.address as *mut T, values.len());
        }
        Ok(low)
    }

    /// A copy of the first `count` values.
    ///
    /// # Safety
    ///
    /// They are `T`s.
    pub unsafe fn values<T: Copy>(&self, count: usize) -> Vec<T> {
        assert!(count * size_of::<T>() <= self.size);
        // SAFETY: so many fit into the mapping, and the caller knows what they are.
        let values = unsafe { std::slice::from_raw_parts(self.address as *const T, count) };
        values.to_vec()
    }

    /// The copy of what there is.
    pub fn events(&self, count: usize) -> Vec<Event> {
        let first = self.address as *const Event;
        let count = count.min(self.size / size_of::<Event>());
        let event = |at| {
            // SAFETY: so many fit into the mapping; any bytes make an event, which is packed.
            unsafe { first.add(at).read() }
        };
        (0..count).map(event).collect()
    }

    /// Where it is.
    pub fn address(&self) -> u32 {
        self.address as u32
    }
}

impl Drop for Low {
    fn drop(&mut self) {
        // SAFETY: it is mapped, and nobody refers to it any more.
        unsafe { libc::munmap(self.address as *mut libc::c_void, self.size) };
    }
}

/// An ioctl of a 32-bit program.
///
/// # Safety
///
/// As the request has it.
pub unsafe fn ioctl(fd: RawFd, request: u32, argument: u32) -> io::Result<i32> {
    // SAFETY: by the contract of this function.
    unsafe { call(IOCTL, [fd as u32, request, argument, 0, 0, 0]) }
}

/// The kernel's own epoll, called as by a 32-bit program.
pub struct Epoll32(OwnedFd);

/// Ours, called as by a 32-bit program.
pub struct Repoll32(OwnedFd);

impl Multiplexer for Epoll32 {
    const NAME: &'static str = "epoll-32bit";

    fn new() -> io::Result<Self> {
        // SAFETY: the call takes a number only.
        let fd = unsafe { call(EPOLL_CREATE1, [libc::EPOLL_CLOEXEC as u32, 0, 0, 0, 0, 0]) }?;
        sys::owned(fd.into()).map(Self)
    }

    fn ctl(&self, op: i32, fd: RawFd, events: EventFlags, data: u64) -> io::Result<()> {
        let event = Low::with(Event::new(events, data))?;
        let epoll = self.0.as_raw_fd() as u32;
        // SAFETY: `event` lives through the call.
        unsafe {
            call(
                EPOLL_CTL,
                [epoll, op as u32, fd as u32, event.address(), 0, 0],
            )
        }
        .map(drop)
    }

    unsafe fn wait_at(
        &self,
        address: usize,
        maxevents: i32,
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        // SAFETY: the address is the caller's business.
        unsafe { self.pwait2(narrow(address)?, maxevents, timeout, 0, 0) }
    }

    unsafe fn wait_masked_at(
        &self,
        timeout: Option<Duration>,
        mask: usize,
        size: usize,
    ) -> io::Result<Vec<Event>> {
        let room = Low::new(size_of::<Event>())?;
        // SAFETY: there is room for one event; the mask is the caller's business.
        let count = unsafe { self.pwait2(room.address(), 1, timeout, mask as u32, size as u32) }?;
        Ok(room.events(count))
    }

    fn wait_masked(&self, timeout: Option<Duration>, blocked: &[i32]) -> io::Result<Vec<Event>> {
        wait_masked(self, timeout, blocked)
    }

    fn wait(&self, max: usize, timeout: Option<Duration>) -> io::Result<Vec<Event>> {
        wait(self, max, timeout)
    }
}

impl Epoll32 {
    /// epoll_pwait2(2).
    ///
    /// # Safety
    ///
    /// As [`Multiplexer::wait_at`] and [`Multiplexer::wait_masked_at`].
    unsafe fn pwait2(
        &self,
        address: u32,
        maxevents: i32,
        timeout: Option<Duration>,
        mask: u32,
        size: u32,
    ) -> io::Result<usize> {
        // 64 bits wide for 32-bit programs too.
        let timeout = timeout.map(sys::timespec).map(Low::with).transpose()?;
        let at = timeout.as_ref().map_or(0, Low::address);
        let epoll = self.0.as_raw_fd() as u32;
        // SAFETY: the timeout lives through the call; the addresses are the caller's business.
        unsafe {
            call(
                EPOLL_PWAIT2,
                [epoll, address, maxevents as u32, at, mask, size],
            )
        }
        .map(|count| count as usize)
    }
}

impl Multiplexer for Repoll32 {
    const NAME: &'static str = "repoll-32bit";

    fn new() -> io::Result<Self> {
        let native = repoll::Instance::open()?;
        let create = Low::with(repoll_create {
            flags: libc::O_CLOEXEC as u32,
            ..Default::default()
        })?;
        // SAFETY: the request only reads a `repoll_create`.
        let fd = unsafe { ioctl(native.as_raw_fd(), REPOLL_IOCTL_CREATE, create.address()) }?;
        sys::owned(fd.into()).map(Self)
    }

    fn ctl(&self, op: i32, fd: RawFd, events: EventFlags, data: u64) -> io::Result<()> {
        let argument = Low::with(repoll_ctl {
            op,
            fd,
            events: events.bits(),
            flags: 0,
            data,
        })?;
        // SAFETY: the request only reads a `repoll_ctl`.
        unsafe { ioctl(self.0.as_raw_fd(), REPOLL_IOCTL_CTL, argument.address()) }.map(drop)
    }

    unsafe fn wait_at(
        &self,
        address: usize,
        maxevents: i32,
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        // SAFETY: the address is the caller's business.
        unsafe {
            self.wait_with(repoll_wait {
                events: narrow(address)?.into(),
                maxevents,
                timeout: nanoseconds(timeout),
                ..Default::default()
            })
        }
    }

    unsafe fn wait_masked_at(
        &self,
        timeout: Option<Duration>,
        mask: usize,
        size: usize,
    ) -> io::Result<Vec<Event>> {
        let room = Low::new(size_of::<Event>())?;
        // SAFETY: there is room for one event; the mask is the caller's business.
        let count = unsafe {
            self.wait_with(repoll_wait {
                events: room.address().into(),
                maxevents: 1,
                timeout: nanoseconds(timeout),
                sigmask: (mask as u32).into(),
                sigsetsize: (size as u32).into(),
                ..Default::default()
            })
        }?;
        Ok(room.events(count))
    }

    fn wait_masked(&self, timeout: Option<Duration>, blocked: &[i32]) -> io::Result<Vec<Event>> {
        wait_masked(self, timeout, blocked)
    }

    fn wait(&self, max: usize, timeout: Option<Duration>) -> io::Result<Vec<Event>> {
        wait(self, max, timeout)
    }
}

impl Repoll32 {
    /// # Safety
    ///
    /// As [`Multiplexer::wait_at`] and [`Multiplexer::wait_masked_at`].
    unsafe fn wait_with(&self, argument: repoll_wait) -> io::Result<usize> {
        let argument = Low::with(argument)?;
        // SAFETY: the request reads a `repoll_wait`; the rest is the caller's business.
        let count = unsafe { ioctl(self.0.as_raw_fd(), REPOLL_IOCTL_WAIT, argument.address()) }?;
        Ok(count as usize)
    }
}

/// [`Multiplexer::wait`] with the array below 4 GiB.
fn wait(m: &impl Multiplexer, max: usize, timeout: Option<Duration>) -> io::Result<Vec<Event>> {
    let room = Low::new((max * size_of::<Event>()).max(1))?;
    // SAFETY: there is room for so many.
    let count = unsafe { m.wait_at(room.address, max as i32, timeout) }?;
    Ok(room.events(count))
}

/// [`Multiplexer::wait_masked`] with the mask below 4 GiB: two words, the signals 1 to 32 first.
fn wait_masked(
    m: &impl Multiplexer,
    timeout: Option<Duration>,
    blocked: &[i32],
) -> io::Result<Vec<Event>> {
    let mut words = [0u32; 2];
    for signal in blocked {
        words[(*signal as usize - 1) / 32] |= 1 << ((signal - 1) % 32);
    }
    let mask = Low::with(words)?;
    // SAFETY: the mask lives through the call.
    unsafe { m.wait_masked_at(timeout, mask.address, size_of_val(&words)) }
}

fn narrow(address: usize) -> io::Result<u32> {
    u32::try_from(address).map_err(|_| io::Error::other("no 32-bit program has such an address"))
}

descriptor!(Epoll32);
descriptor!(Repoll32);
