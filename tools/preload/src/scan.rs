// SPDX-License-Identifier: MIT OR Apache-2.0
//! Carries `select` and `poll`, if `repoll-exec` was asked to. Results are the kernel's: a negative
//! errno on failure.
//!
//! The calls work on any instance, so they use the template. The kernel itself restarts a call that
//! a signal without a handler interrupts.

use crate::epoll::{nanoseconds, Mask};
use crate::statistics::{self, Call, Outcome};
use crate::{memory, raw, sandbox, template, uapi};
use core::ffi::CStr;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use libc::{c_int, c_long, c_void, pollfd, timespec, timeval};

/// The environment variable with the calls to carry: `select`, `poll`, or `select,poll`.
pub const VARIABLE: &CStr = c"REPOLL_CARRY";

const FAULT: c_long = -(libc::EFAULT as c_long);
const INVAL: c_long = -(libc::EINVAL as c_long);
const PERM: c_long = -(libc::EPERM as c_long);
const ACCES: c_long = -(libc::EACCES as c_long);
const NOSYS: c_long = -(libc::ENOSYS as c_long);
const NOTTY: c_long = -(libc::ENOTTY as c_long);

const SELECT: u32 = 1;
const POLL: u32 = 2;

static CARRIED: AtomicU32 = AtomicU32::new(0);

/// Reads the environment. Must be called before the program runs.
#[cfg_attr(not(feature = "interpose"), allow(dead_code))]
pub fn inherit() {
    let Some(value) = raw::environment(VARIABLE) else {
        return;
    };
    let bits = value.split(',');
    let bits = bits.fold(0, |bits, word| match word {
        "select" => bits | SELECT,
        "poll" => bits | POLL,
        _ => bits,
    });
    CARRIED.store(bits, Relaxed);
}

/// Whether `select` and `pselect` are carried.
#[inline]
pub fn carries_select() -> bool {
    CARRIED.load(Relaxed) & SELECT != 0
}

/// Whether `poll` and `ppoll` are carried.
#[inline]
pub fn carries_poll() -> bool {
    CARRIED.load(Relaxed) & POLL != 0
}

/// The convention by which a call handles its time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The convention of the C library's functions.
    Library,
    /// The convention of the system calls.
    Kernel,
}

/// The time limit of a call, in the form of the call.
#[derive(Clone, Copy)]
pub enum Limit {
    /// That of `poll`; negative for none.
    Milliseconds(c_int),
    /// That of `select`; null for none. The remaining time is written back.
    Timeval(*mut timeval, Caller),
    /// That of `pselect` and `ppoll`; null for none. The system calls write back the remaining
    /// time.
    Timespec(*mut timespec, Caller),
}

impl Limit {
    /// Returns the limit in nanoseconds, -1 for none; or the error.
    ///
    /// # Safety
    ///
    /// Memory of the time that is readable now stays readable during the call.
    unsafe fn nanoseconds(self) -> Result<i64, c_long> {
        match self {
            Self::Milliseconds(limit) if limit < 0 => Ok(-1),
            Self::Milliseconds(limit) => Ok(i64::from(limit) * 1_000_000),
            Self::Timeval(limit, _) if limit.is_null() => Ok(-1),
            Self::Timeval(limit, caller) => {
                // SAFETY: integers; the rest by the contract of this function.
                let limit = unsafe { memory::read(limit) }.ok_or(FAULT)?;
                of_timeval(limit, caller).ok_or(INVAL)
            }
            Self::Timespec(limit, _) if limit.is_null() => Ok(-1),
            Self::Timespec(limit, _) => {
                // SAFETY: as above.
                let limit = unsafe { memory::read(limit) }.ok_or(FAULT)?;
                nanoseconds(limit).ok_or(INVAL)
            }
        }
    }

    /// Writes back the remaining time. Fails silently if the memory can't be written, as the system
    /// calls do.
    ///
    /// # Safety
    ///
    /// The writable part of the time's memory belongs to the caller.
    unsafe fn write_back(self, left: i64) {
        let (seconds, rest) = (left / 1_000_000_000, left % 1_000_000_000);
        match self {
            Self::Timeval(limit, _) => {
                let left = timeval {
                    tv_sec: seconds,
                    tv_usec: rest / 1000,
                };
                // SAFETY: by the contract of this function.
                unsafe { memory::write(limit, left) };
            }
            Self::Timespec(limit, Caller::Kernel) => {
                let left = timespec {
                    tv_sec: seconds,
                    tv_nsec: rest,
                };
                // SAFETY: by the contract of this function.
                unsafe { memory::write(limit, left) };
            }
            Self::Timespec(_, Caller::Library) | Self::Milliseconds(_) => {}
        }
    }
}

/// Converts the time of `select`. Microseconds beyond a second count as seconds. If the sum
/// overflows, the kernel wraps to an invalid time; the C library takes the longest time, but uses
/// only 32 bits of the microseconds.
fn of_timeval(time: timeval, caller: Caller) -> Option<i64> {
    let microseconds = match caller {
        Caller::Kernel => time.tv_usec,
        Caller::Library => i64::from(time.tv_usec as i32),
    };
    if time.tv_sec < 0 || microseconds < 0 {
        return None;
    }
    let more = microseconds / 1_000_000;
    nanoseconds(timespec {
        tv_sec: match caller {
            Caller::Kernel => time.tv_sec.wrapping_add(more),
            Caller::Library => time.tv_sec.saturating_add(more),
        },
        tv_nsec: microseconds % 1_000_000 * 1000,
    })
}

/// As `select(2)` or `pselect(2)`; `None` if the real call has to be made.
///
/// # Safety
///
/// The sets have room for `nfds` descriptors, or are not mapped. The time can be read and written,
/// or can't be read.
pub unsafe fn select(
    nfds: c_int,
    sets: [*mut c_void; 3],
    limit: Limit,
    mask: Mask,
    cancellable: bool,
) -> Option<c_long> {
    // Before the time is read, as that makes a system call that a seccomp filter may refuse.
    if sandbox::leaves_alone() {
        statistics::count(Call::Select, Outcome::Filtered);
        return None;
    }
    // SAFETY: by the contract of this function.
    let timeout = match unsafe { limit.nanoseconds() } {
        Ok(timeout) => timeout,
        Err(error) => {
            statistics::count(Call::Select, Outcome::Refused);
            return Some(error);
        }
    };
    let [readfds, writefds, exceptfds] = sets.map(|set| set as u64);
    let mut argument = uapi::repoll_select {
        readfds,
        writefds,
        exceptfds,
        nfds,
        timeout,
        sigmask: mask.0 as u64,
        sigsetsize: mask.1 as u64,
        ..Default::default()
    };
    let argument = &raw mut argument;
    let request = uapi::REPOLL_IOCTL_SELECT;
    // SAFETY: the request reads and writes a `repoll_select`, and checks the addresses in it.
    let result = unsafe { ask(Call::Select, request, argument.cast(), cancellable) };
    if timeout > 0 && result.is_some() {
        // SAFETY: the argument is ours; the rest by the contract of this function.
        unsafe { limit.write_back((*argument).timeout) };
    }
    result
}

/// As `poll(2)` or `ppoll(2)`; `None` if the real call has to be made.
///
/// # Safety
///
/// The array has room for `nfds` elements, or is not mapped. The time can be read and written, or
/// can't be read.
pub unsafe fn poll(
    fds: *mut pollfd,
    nfds: u32,
    limit: Limit,
    mask: Mask,
    cancellable: bool,
) -> Option<c_long> {
    // Before the time is read, as that makes a system call that a seccomp filter may refuse.
    if sandbox::leaves_alone() {
        statistics::count(Call::Poll, Outcome::Filtered);
        return None;
    }
    // SAFETY: by the contract of this function.
    let timeout = match unsafe { limit.nanoseconds() } {
        Ok(timeout) => timeout,
        Err(error) => {
            statistics::count(Call::Poll, Outcome::Refused);
            return Some(error);
        }
    };
    let mut argument = uapi::repoll_poll {
        fds: fds as u64,
        nfds,
        timeout,
        sigmask: mask.0 as u64,
        sigsetsize: mask.1 as u64,
        ..Default::default()
    };
    let argument = &raw mut argument;
    let request = uapi::REPOLL_IOCTL_POLL;
    // SAFETY: the request reads and writes a `repoll_poll`, and checks the addresses in it.
    let result = unsafe { ask(Call::Poll, request, argument.cast(), cancellable) };
    if timeout > 0 && result.is_some() {
        // SAFETY: the argument is ours; the rest by the contract of this function.
        unsafe { limit.write_back((*argument).timeout) };
    }
    result
}

/// Makes an ioctl on the template, with `argument`. `None` if the real call has to be made.
///
/// # Safety
///
/// `argument` is valid for `request`, and a request that fails does not change it.
unsafe fn ask(
    call: Call,
    request: u32,
    argument: *mut c_void,
    cancellable: bool,
) -> Option<c_long> {
    let mut template = template::get();
    let mut is_new = false;
    loop {
        let fd = match template {
            Ok(fd) => fd,
            Err(error) => {
                statistics::count(call, Outcome::NoDevice);
                statistics::no_device(error);
                return None;
            }
        };
        let ioctl = raw::ioctl_arguments(fd, request, argument);
        // SAFETY: by the contract of this function.
        let result = unsafe { raw::waiting(libc::SYS_ioctl, &ioctl, cancellable) };
        match result {
            // select and poll themselves never return these errors.
            PERM | ACCES | NOSYS | NOTTY if is_new || template::is_instance(fd) => {
                template = Err(result);
            }
            _ if is_new || template::answered(fd, result) => {
                statistics::count(call, Outcome::Carried);
                return Some(result);
            }
            _ => {
                template = template::another(fd);
                is_new = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_nanoseconds() {
        let time = |tv_sec, tv_usec| {
            [Caller::Library, Caller::Kernel]
                .map(|caller| of_timeval(timeval { tv_sec, tv_usec }, caller))
        };
        assert_eq!(time(0, 0), [Some(0); 2]);
        assert_eq!(time(2, 3), [Some(2_000_003_000); 2]);
        assert_eq!(time(1, 2_500_000), [Some(3_500_000_000); 2]);
        assert_eq!(time(i64::MAX, 999_999), [Some(i64::MAX); 2]);
        assert_eq!(time(i64::MAX, 1_000_000), [Some(i64::MAX), None]);
        assert_eq!(time(-1, 0), [None; 2]);
        assert_eq!(time(0, -1), [None; 2]);
        assert_eq!(time(5, -1_000_000), [None; 2]);
        assert_eq!(time(0, 1 << 32), [Some(0), Some(4_294_967_296_000)]);
    }

    #[test]
    fn remaining_time_follows_the_convention_of_the_call() {
        let mut val = timeval {
            tv_sec: 9,
            tv_usec: 9,
        };
        let mut spec = timespec {
            tv_sec: 9,
            tv_nsec: 9,
        };
        // SAFETY: both times can be written.
        unsafe {
            Limit::Timeval(&mut val, Caller::Library).write_back(1_002_003_004);
            assert_eq!((val.tv_sec, val.tv_usec), (1, 2003));
            Limit::Timespec(&mut spec, Caller::Library).write_back(1);
            assert_eq!((spec.tv_sec, spec.tv_nsec), (9, 9));
            Limit::Timespec(&mut spec, Caller::Kernel).write_back(1_002_003_004);
            assert_eq!((spec.tv_sec, spec.tv_nsec), (1, 2_003_004));
            assert_eq!(Limit::Milliseconds(-5).nanoseconds(), Ok(-1));
            assert_eq!(
                Limit::Timespec(8 as *mut timespec, Caller::Kernel).nanoseconds(),
                Err(FAULT)
            );
        }
    }
}
