// SPDX-License-Identifier: MIT OR Apache-2.0
//! `select` and `poll`, carried if `repoll-exec` was asked to. Results are the kernel's: a negative
//! errno on failure.
//!
//! They need no instance of their own: any will do, and the template is one. What a signal without a
//! handler interrupts, the kernel goes on with by itself.

use crate::epoll::{nanoseconds, Mask};
use crate::statistics::{self, Call, Outcome};
use crate::{memory, raw, template, uapi};
use core::ffi::CStr;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use libc::{c_int, c_long, c_void, pollfd, timespec, timeval};

/// Holds, in the environment, which calls are carried: `select`, `poll`, or `select,poll`.
pub const VARIABLE: &CStr = c"REPOLL_CARRY";

const FAULT: c_long = -(libc::EFAULT as c_long);
const INVAL: c_long = -(libc::EINVAL as c_long);

const SELECT: u32 = 1;
const POLL: u32 = 2;

static CARRIED: AtomicU32 = AtomicU32::new(0);

/// Looks what the environment asks for. To be called before the program runs.
#[cfg_attr(not(feature = "interpose"), allow(dead_code))]
pub fn inherit() {
    // SAFETY: the name ends in a zero byte; nothing else runs yet that changes the environment.
    let value = unsafe { libc::getenv(VARIABLE.as_ptr()) };
    if value.is_null() {
        return;
    }
    // SAFETY: the environment holds strings that end in a zero byte.
    let value = unsafe { CStr::from_ptr(value) };
    let bits = value.to_bytes().split(|&byte| byte == b',');
    let bits = bits.fold(0, |bits, word| match word {
        b"select" => bits | SELECT,
        b"poll" => bits | POLL,
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

/// The time limit of a call, as its caller gave it.
#[derive(Clone, Copy)]
pub enum Limit {
    /// Of `poll`; negative for none.
    Milliseconds(c_int),
    /// Of `select`; null for none. What is left is written back.
    Timeval(*mut timeval),
    /// Of `pselect` and `ppoll`; null for none. What is left is written back, if (true) the caller
    /// expects that, as those of the system calls do, but not those of the functions.
    Timespec(*mut timespec, bool),
}

impl Limit {
    /// In nanoseconds, -1 for none; or the error.
    ///
    /// # Safety
    ///
    /// What can be read of the time now stays so during the call.
    unsafe fn nanoseconds(self) -> Result<i64, c_long> {
        match self {
            Self::Milliseconds(limit) if limit < 0 => Ok(-1),
            Self::Milliseconds(limit) => Ok(i64::from(limit) * 1_000_000),
            Self::Timeval(limit) if limit.is_null() => Ok(-1),
            Self::Timeval(limit) => {
                // SAFETY: integers; the rest by the contract of this function.
                let limit = unsafe { memory::read(limit) }.ok_or(FAULT)?;
                of_timeval(limit).ok_or(INVAL)
            }
            Self::Timespec(limit, _) if limit.is_null() => Ok(-1),
            Self::Timespec(limit, _) => {
                // SAFETY: as above.
                let limit = unsafe { memory::read(limit) }.ok_or(FAULT)?;
                nanoseconds(limit).ok_or(INVAL)
            }
        }
    }

    /// Tells the caller what is left.
    ///
    /// # Safety
    ///
    /// The time can be written.
    unsafe fn write_back(self, left: i64) {
        let (seconds, rest) = (left / 1_000_000_000, left % 1_000_000_000);
        match self {
            Self::Timeval(limit) => {
                let left = timeval {
                    tv_sec: seconds,
                    tv_usec: rest / 1000,
                };
                // SAFETY: by the contract of this function.
                unsafe { limit.write_unaligned(left) };
            }
            Self::Timespec(limit, true) => {
                let left = timespec {
                    tv_sec: seconds,
                    tv_nsec: rest,
                };
                // SAFETY: by the contract of this function.
                unsafe { limit.write_unaligned(left) };
            }
            Self::Timespec(_, false) | Self::Milliseconds(_) => {}
        }
    }
}

/// More microseconds than a second has are seconds.
fn of_timeval(time: timeval) -> Option<i64> {
    if time.tv_sec < 0 || time.tv_usec < 0 {
        return None;
    }
    nanoseconds(timespec {
        tv_sec: time.tv_sec.saturating_add(time.tv_usec / 1_000_000),
        tv_nsec: time.tv_usec % 1_000_000 * 1000,
    })
}

/// As `select(2)` or `pselect(2)`; `None` if the real call has to be made.
///
/// # Safety
///
/// The sets have room for `nfds` descriptors, or are not mapped. The time can be read and written, or
/// not be read.
pub unsafe fn select(
    nfds: c_int,
    sets: [*mut c_void; 3],
    limit: Limit,
    mask: Mask,
) -> Option<c_long> {
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
    let result = template::with(|fd| {
        // SAFETY: the request reads and writes a `repoll_select`, and checks the addresses in it.
        unsafe { raw::ioctl(fd, uapi::REPOLL_IOCTL_SELECT, argument) }
    });
    if timeout > 0 && result.is_ok() {
        // SAFETY: the argument is ours; the rest by the contract of this function.
        unsafe { limit.write_back((*argument).timeout) };
    }
    carried(Call::Select, result)
}

/// As `poll(2)` or `ppoll(2)`; `None` if the real call has to be made.
///
/// # Safety
///
/// The array has room for `nfds`, or is not mapped. The time can be read and written, or not be read.
pub unsafe fn poll(fds: *mut pollfd, nfds: u32, limit: Limit, mask: Mask) -> Option<c_long> {
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
    let result = template::with(|fd| {
        // SAFETY: the request reads and writes a `repoll_poll`, and checks the addresses in it.
        unsafe { raw::ioctl(fd, uapi::REPOLL_IOCTL_POLL, argument) }
    });
    if timeout > 0 && result.is_ok() {
        // SAFETY: the argument is ours; the rest by the contract of this function.
        unsafe { limit.write_back((*argument).timeout) };
    }
    carried(Call::Poll, result)
}

#[inline]
fn carried(call: Call, result: Result<c_long, c_long>) -> Option<c_long> {
    match result {
        Ok(result) => {
            statistics::count(call, Outcome::Carried);
            Some(result)
        }
        Err(error) => {
            statistics::count(call, Outcome::NoDevice);
            statistics::no_device(error);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_nanoseconds() {
        let time = |tv_sec, tv_usec| of_timeval(timeval { tv_sec, tv_usec });
        assert_eq!(time(0, 0), Some(0));
        assert_eq!(time(2, 3), Some(2_000_003_000));
        assert_eq!(time(1, 2_500_000), Some(3_500_000_000));
        assert_eq!(time(i64::MAX, i64::MAX), Some(i64::MAX));
        assert_eq!(time(-1, 0), None);
        assert_eq!(time(0, -1), None);
    }

    #[test]
    fn what_is_left_is_told_as_the_caller_wants_it() {
        let mut val = timeval {
            tv_sec: 9,
            tv_usec: 9,
        };
        let mut spec = timespec {
            tv_sec: 9,
            tv_nsec: 9,
        };
        // SAFETY: both are ours.
        unsafe {
            Limit::Timeval(&mut val).write_back(1_002_003_004);
            assert_eq!((val.tv_sec, val.tv_usec), (1, 2003));
            Limit::Timespec(&mut spec, false).write_back(1);
            assert_eq!((spec.tv_sec, spec.tv_nsec), (9, 9));
            Limit::Timespec(&mut spec, true).write_back(1_002_003_004);
            assert_eq!((spec.tv_sec, spec.tv_nsec), (1, 2_003_004));
            assert_eq!(Limit::Milliseconds(-5).nanoseconds(), Ok(-1));
            assert_eq!(
                Limit::Timespec(8 as *mut timespec, true).nanoseconds(),
                Err(FAULT)
            );
        }
    }
}
