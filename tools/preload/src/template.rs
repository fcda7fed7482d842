// SPDX-License-Identifier: MIT OR Apache-2.0
//! The template: the instance that all others are created from, with `REPOLL_CREATE`.
//!
//! `repoll-exec` opens the template, and the program inherits it under a high number. So new
//! instances need no access to `/dev`, even if the program changes its root or its user meanwhile.
//! The template becomes close-on-exec when the program starts: programs that it executes must not
//! find a descriptor that they did not expect, and open their own template if they load this
//! library. A program that closes the template, or reuses its number, gets a new one with its next
//! instance.

use crate::{raw, uapi};
use core::ffi::CStr;
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};
use libc::{c_int, c_long};

/// The device; opening it makes an instance.
pub const DEVICE: &CStr = c"/dev/repoll";

/// The environment variable with the number of the inherited template.
pub const VARIABLE: &CStr = c"REPOLL_TEMPLATE";

/// The highest number that a template gets.
pub const HIGHEST: c_int = 4096;

const NONE: c_int = -1;

static TEMPLATE: AtomicI32 = AtomicI32::new(NONE);

/// Takes the inherited template, or opens one if there is none. Must be called before the program
/// runs.
pub fn inherit() {
    match inherited() {
        Some(fd) => {
            raw::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            TEMPLATE.store(fd, Relaxed);
        }
        // There is only one thread, so the limit may be raised. If this fails, the next call that
        // needs the template tries again and can return the error.
        None => drop(open_again(NONE, Limit::MayRaise)),
    }
}

fn inherited() -> Option<c_int> {
    let fd = raw::environment(VARIABLE)?.parse().ok()?;
    is_instance(fd).then_some(fd)
}

/// Whether `fd` is an instance of repoll.
pub fn is_instance(fd: c_int) -> bool {
    nop(fd) == 0
}

/// Makes `REPOLL_NOP`: 0 if `fd` is an instance of repoll. Other files fail, as a rule with ENOTTY
/// (a C epoll with EINVAL). If a seccomp filter or Landlock refuses ioctls, the error is theirs.
pub fn nop(fd: c_int) -> c_long {
    // SAFETY: the request has no argument.
    unsafe { raw::ioctl(fd, uapi::REPOLL_IOCTL_NOP, core::ptr::null::<()>()) }
}

/// Returns the template; opens it if there is none. Fails if the device can't be opened or used.
#[inline]
pub fn get() -> Result<c_int, c_long> {
    match TEMPLATE.load(Relaxed) {
        NONE => open_again(NONE, Limit::AsItIs),
        fd => Ok(fd),
    }
}

/// Whether `result`, of an ioctl on the template `fd`, comes from an instance.
#[inline]
pub fn answered(fd: c_int, result: c_long) -> bool {
    result >= 0 || is_instance(fd)
}

/// Returns another template, as `fd` is not one any more. Fails as [`get`] does.
#[cold]
pub fn another(fd: c_int) -> Result<c_int, c_long> {
    open_again(fd, Limit::AsItIs)
}

/// Opens a template to replace `old`. Closes the file again if it is not repoll's device, or if
/// ioctls on it are refused.
#[cold]
fn open_again(old: c_int, limit: Limit) -> Result<c_int, c_long> {
    let low = raw::open(DEVICE);
    if low < 0 {
        return Err(low);
    }
    let low = low as c_int;
    let answer = nop(low);
    if answer != 0 {
        raw::close(low);
        return Err(answer);
    }
    let high = out_of_the_way(low, libc::F_DUPFD_CLOEXEC, limit);
    let new = if high < 0 {
        low
    } else {
        raw::close(low);
        high as c_int
    };
    match TEMPLATE.compare_exchange(old, new, Relaxed, Relaxed) {
        Ok(_) => Ok(new),
        Err(theirs) => {
            // Another thread has replaced the template first.
            raw::close(new);
            Ok(theirs)
        }
    }
}

/// Whether the limit of the number of descriptors may be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// It stays unchanged.
    AsItIs,
    /// It may be raised briefly; only while there is one thread.
    MayRaise,
}

/// Duplicates `fd` with the `fcntl` command `F_DUPFD` or `F_DUPFD_CLOEXEC`, to a number that the
/// program is unlikely to use. The result is the kernel's.
///
/// The table of descriptors must not grow for it, as `select(2)` reads as many bits as the table
/// has, whatever its caller passes. So the number is the first one beyond the program's limit,
/// which the program itself can't get, if the table has that number, or else the last one of the
/// table.
pub fn out_of_the_way(fd: c_int, command: c_int, limit: Limit) -> c_long {
    const MOST_TRIES: usize = 64;
    let mut now = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    set_limit(core::ptr::null(), &mut now);
    let soft = now.rlim_cur.min(HIGHEST as libc::rlim_t + 1) as c_int;
    let size = table_size().min(HIGHEST + 1);
    if limit == Limit::MayRaise && soft < size && now.rlim_max > now.rlim_cur {
        let raised = libc::rlimit {
            rlim_cur: now.rlim_cur + 1,
            ..now
        };
        set_limit(&raised, core::ptr::null_mut());
        let high = raw::fcntl(fd, command, soft);
        set_limit(&now, core::ptr::null_mut());
        if high >= 0 {
            return high;
        }
    }
    for lowest in (3..soft.min(size)).rev().take(MOST_TRIES) {
        // The next free number may be beyond the table.
        if raw::fcntl(lowest, libc::F_GETFD, 0) >= 0 {
            continue;
        }
        let high = raw::fcntl(fd, command, lowest);
        if high < 0 || high < size.into() {
            return high;
        }
        raw::close(high as c_int);
    }
    raw::fcntl(fd, command, 3)
}

/// The number of descriptors for which the process's table has room without growing.
fn table_size() -> c_int {
    const LEAST: c_int = 64;
    let mut buffer = [0; 4096];
    raw::read_file(c"/proc/thread-self/status", &mut buffer)
        .and_then(|status| raw::field(status, b"\nFDSize:"))
        .and_then(|size| size.try_into().ok())
        .unwrap_or(LEAST)
}

fn set_limit(new: *const libc::rlimit, old: *mut libc::rlimit) {
    let number = libc::RLIMIT_NOFILE as c_long;
    let arguments = [0, number, new as c_long, old as c_long, 0, 0];
    // SAFETY: each pointer is null or to a limit of the caller.
    unsafe { raw::call(libc::SYS_prlimit64, arguments) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    fn limit() -> libc::rlimit {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        set_limit(std::ptr::null(), &mut limit);
        limit
    }

    /// One test for all cases, as the limit and the table belong to the process.
    #[test]
    fn duplicates_get_unlikely_numbers() {
        let file = std::fs::File::open("/dev/null").expect("there is a /dev/null");
        let before = limit();
        let size = table_size();
        assert!(size >= 64);
        for (soft, raise, expected) in [
            (40, Limit::MayRaise, 40),
            (40, Limit::AsItIs, 39),
            (256.max(size), Limit::MayRaise, size - 1),
            (256.max(size), Limit::AsItIs, size - 1),
        ] {
            let lowered = libc::rlimit {
                rlim_cur: soft as libc::rlim_t,
                ..before
            };
            if before.rlim_max <= lowered.rlim_cur {
                continue;
            }
            set_limit(&lowered, std::ptr::null_mut());
            let found = out_of_the_way(file.as_raw_fd(), libc::F_DUPFD, raise);
            assert_eq!(found, expected.into(), "{soft}");
            assert_eq!(limit().rlim_cur, lowered.rlim_cur);
            assert_eq!(table_size(), size);
            raw::close(found as c_int);
        }
        set_limit(&before, std::ptr::null_mut());
    }
}
