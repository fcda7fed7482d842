// SPDX-License-Identifier: GPL-2.0
//! The calls of a 32-bit program: `int 0x80`, with all memory that it points to below 4 GiB.
//!
//! A 64-bit process may also enter the kernel in this way. The kernel then treats the call as that
//! of a 32-bit process: an ioctl reaches the file by its compat entry, pointers are 32 bits wide,
//! and structures have their 32-bit layout.

use crate::files::timespec;
use crate::memory::{Mapping, Place, Plain};
use crate::multiplexer::{descriptor, nanoseconds, served, Multiplexer, Timeout};
use crate::processes;
use crate::side::Side;
use crate::signals::{self, Mask};
use crate::skip::skip;
use anyhow::Result;
use machine::call;
use repoll::sys::*;
use repoll::{Event, EventFlags};
use rustix::mm::MapFlags;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Numbers of calls, those of i386.
const GETPID: u32 = 20;
pub(crate) const IOCTL: u32 = 54;
const EPOLL_CTL: u32 = 255;
const EPOLL_CREATE1: u32 = 329;
const EPOLL_PWAIT2: u32 = 441;

/// Parts that only an x86 has.
#[cfg(target_arch = "x86_64")]
mod machine {
    use std::arch::asm;
    use std::io;

    pub const FLAGS: rustix::mm::MapFlags =
        rustix::mm::MapFlags::from_bits_retain(libc::MAP_32BIT as u32);

    /// One system call of i386.
    ///
    /// # Safety
    ///
    /// The arguments are valid for the call. (Addresses that are not mapped are safe: the kernel
    /// checks.)
    pub unsafe fn call(number: u32, arguments: [u32; 6]) -> io::Result<usize> {
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
        usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
    }
}

/// Elsewhere [`needed`] skips all tests of this.
#[cfg(not(target_arch = "x86_64"))]
mod machine {
    use std::io;

    pub const FLAGS: rustix::mm::MapFlags = rustix::mm::MapFlags::empty();

    pub unsafe fn call(_: u32, _: [u32; 6]) -> io::Result<usize> {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }
}

/// Skips a test on a kernel that has no 32-bit calls.
pub fn needed() -> Result<()> {
    // There the instruction is a fault. The kernel does not log one that is handled.
    extern "C" fn fault(_: i32) {
        processes::end(1)
    }
    let child = processes::fork(|| {
        // SAFETY: the handler ends the process.
        let handled = unsafe { signals::handle_signal_by(libc::SIGSEGV, 0, fault) };
        // SAFETY: getpid takes nothing.
        let called = unsafe { call(GETPID, [0; 6]) };
        i32::from(handled.is_err() || called.is_err())
    })?;
    match child.wait()? {
        0 => Ok(()),
        _ => skip("no 32-bit calls of a 64-bit process: not an x86, or no CONFIG_IA32_EMULATION"),
    }
}

/// Memory below 4 GiB, all zero at first.
pub struct Low(Mapping);

impl Low {
    /// Memory for `size` bytes.
    pub fn new(size: usize) -> io::Result<Self> {
        Mapping::map(0, size, MapFlags::PRIVATE | machine::FLAGS).map(Self)
    }

    /// Memory with a copy of `value` in it.
    pub fn with<T: Copy>(value: T) -> io::Result<Self> {
        Self::copy_of(&[value])
    }

    /// Memory with a copy of `values` in it.
    pub fn copy_of<T: Copy>(values: &[T]) -> io::Result<Self> {
        let low = Self::new(size_of_val(values))?;
        low.0.put(0, values);
        Ok(low)
    }

    /// A mask where a 32-bit program has it: two words, the signals 1 to 32 first. With its address
    /// and its size; of what is no mask, as much as such a program could pass.
    pub(crate) fn of_mask(mask: Mask) -> io::Result<(Option<Self>, u32, u32)> {
        let size = mask.size as u32;
        let Some(signals) = mask.signals else {
            return Ok((None, mask.address as u32, size));
        };
        let mut words = [0u32; 2];
        for signal in (1..=64).filter(|&signal| signals.contains(signal)) {
            words[(signal as usize - 1) / 32] |= 1 << ((signal - 1) % 32);
        }
        let low = Self::with(words)?;
        let address = low.address();
        Ok((Some(low), address, size))
    }

    /// A copy of `count` values at `offset`.
    pub fn values<T: Plain>(&self, offset: usize, count: usize) -> Vec<T> {
        self.0.values(offset, count)
    }

    /// A copy of the first events.
    pub fn events(&self, count: usize) -> Vec<Event> {
        self.values(0, count.min(self.0.size() / size_of::<Event>()))
    }

    /// The address.
    pub fn address(&self) -> u32 {
        self.0.address() as u32
    }

    /// The place of all of it.
    pub fn place(&self) -> Place<'_> {
        self.0.place(0)
    }
}

/// An ioctl of a 32-bit program.
///
/// # Safety
///
/// The argument is valid for the request.
pub unsafe fn ioctl(fd: &impl AsRawFd, request: u32, argument: u32) -> io::Result<usize> {
    // SAFETY: by the contract of this function.
    unsafe { call(IOCTL, [fd.as_raw_fd() as u32, request, argument, 0, 0, 0]) }
}

/// Takes over a descriptor.
///
/// # Safety
///
/// A call has just returned the descriptor, so nothing else owns it.
unsafe fn owned(made: io::Result<usize>) -> io::Result<OwnedFd> {
    // SAFETY: by the contract of this function.
    made.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// The kernel's own epoll, called as by a 32-bit program.
pub struct Epoll32(OwnedFd);

/// Ours, called as by a 32-bit program.
pub struct Repoll32(OwnedFd);

impl Multiplexer for Epoll32 {
    fn name() -> &'static str {
        "epoll-32bit"
    }

    fn side() -> Side {
        Side::of_the_kernels_calls()
    }

    fn new() -> io::Result<Self> {
        // SAFETY: the call takes a number only, and makes a descriptor.
        let fd = unsafe {
            owned(call(
                EPOLL_CREATE1,
                [libc::EPOLL_CLOEXEC as u32, 0, 0, 0, 0, 0],
            ))
        }?;
        served(&fd)?;
        Ok(Self(fd))
    }

    fn from_descriptor(fd: OwnedFd) -> Self {
        Self(fd)
    }

    fn into_descriptor(self) -> OwnedFd {
        self.0
    }

    fn ctl(&self, op: i32, fd: RawFd, events: EventFlags, data: u64) -> io::Result<()> {
        let event = Low::with(Event::new(events, data))?;
        let epoll = self.0.as_raw_fd() as u32;
        let arguments = [epoll, op as u32, fd as u32, event.address(), 0, 0];
        // SAFETY: `event` lives through the call, which only reads it.
        unsafe { call(EPOLL_CTL, arguments) }.map(drop)
    }

    fn pwait_at(&self, to: Place<'_>, max: i32, timeout: Timeout, mask: Mask) -> io::Result<usize> {
        let at = narrow(to, max)?;
        // 64 bits wide for 32-bit programs too.
        let timeout = timeout.map(timespec).map(Low::with).transpose()?;
        let limit = timeout.as_ref().map_or(0, Low::address);
        let epoll = self.0.as_raw_fd() as u32;
        let (_mask, sigmask, size) = Low::of_mask(mask)?;
        let arguments = [epoll, at, max as u32, limit, sigmask, size];
        // SAFETY: the place has room for the events; timeout and mask are only read.
        unsafe { call(EPOLL_PWAIT2, arguments) }
    }

    fn pwait(&self, max: usize, timeout: Timeout, mask: Mask) -> io::Result<Vec<Event>> {
        pwait(self, max, timeout, mask)
    }
}

impl Multiplexer for Repoll32 {
    fn name() -> &'static str {
        "repoll-32bit"
    }

    fn side() -> Side {
        Side::Repoll
    }

    fn new() -> io::Result<Self> {
        Self::from_create(&repoll::Instance::open()?, libc::O_CLOEXEC)
    }

    fn from_descriptor(fd: OwnedFd) -> Self {
        Self(fd)
    }

    fn into_descriptor(self) -> OwnedFd {
        self.0
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
        unsafe { ioctl(&self.0, REPOLL_IOCTL_CTL, argument.address()) }.map(drop)
    }

    fn pwait_at(&self, to: Place<'_>, max: i32, timeout: Timeout, mask: Mask) -> io::Result<usize> {
        let (_mask, sigmask, sigsetsize) = Low::of_mask(mask)?;
        let argument = Low::with(repoll_wait {
            events: narrow(to, max)?.into(),
            maxevents: max,
            timeout: nanoseconds(timeout),
            sigmask: sigmask.into(),
            sigsetsize: sigsetsize.into(),
            ..Default::default()
        })?;
        // SAFETY: the place has room for the events; the mask is only read.
        unsafe { ioctl(&self.0, REPOLL_IOCTL_WAIT, argument.address()) }
    }

    fn pwait(&self, max: usize, timeout: Timeout, mask: Mask) -> io::Result<Vec<Event>> {
        pwait(self, max, timeout, mask)
    }
}

impl Repoll32 {
    /// An instance that CREATE makes from another one, with these flags.
    pub fn from_create(template: &impl AsRawFd, flags: i32) -> io::Result<Self> {
        let create = Low::with(repoll_create {
            flags: flags as u32,
            ..Default::default()
        })?;
        // SAFETY: the request only reads a `repoll_create`, and makes a descriptor.
        let fd = unsafe { owned(ioctl(template, REPOLL_IOCTL_CREATE, create.address())) };
        fd.map(Self)
    }
}

/// [`Multiplexer::pwait`] with the array below 4 GiB.
fn pwait(m: &impl Multiplexer, max: usize, timeout: Timeout, mask: Mask) -> io::Result<Vec<Event>> {
    let room = Low::new(max * size_of::<Event>())?;
    let count = m.pwait_at(room.place(), max as i32, timeout, mask)?;
    Ok(room.events(count))
}

/// The address of a place for `max` events, if a 32-bit program can have it.
fn narrow(to: Place<'_>, max: i32) -> io::Result<u32> {
    let address = to.with_room_for(max.max(0) as usize, size_of::<Event>());
    u32::try_from(address).map_err(|_| io::Error::other("no 32-bit program has such an address"))
}

descriptor!(Epoll32, Repoll32);
