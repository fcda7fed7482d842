// SPDX-License-Identifier: MIT OR Apache-2.0
//! The template: the instance that every other one is made from, with `REPOLL_CREATE`.
//!
//! `repoll-exec` opens it, and the program inherits it under a number that it hardly notices. It is
//! close-on-exec as soon as the program runs, so that other programs that it executes do not find a
//! descriptor that nobody opened; those that load this library open a template of their own when
//! they start. So new instances need no access to `/dev`, even if the program changes its root or
//! its user in the meantime. A program that has closed the template, or put something else in its
//! place, gets a new one with its next instance.

use crate::{raw, uapi};
use core::ffi::CStr;
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};
use libc::{c_int, c_long};

/// The device whose opening makes an instance.
pub const DEVICE: &CStr = c"/dev/repoll";

/// Holds, in the environment, the number of the inherited template.
pub const VARIABLE: &CStr = c"REPOLL_TEMPLATE";

/// The highest number that a template asks for.
pub const HIGHEST: c_int = 4096;

const NONE: c_int = -1;

static TEMPLATE: AtomicI32 = AtomicI32::new(NONE);

/// Takes over what `repoll-exec` left, or opens a template if that is not there. To be called
/// before the program runs.
pub fn inherit() {
    match inherited() {
        Some(fd) => {
            raw::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            TEMPLATE.store(fd, Relaxed);
        }
        // There is one thread only, so the limit may be touched. If it fails, it is tried again when
        // there is somebody to tell.
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

/// `REPOLL_NOP`: 0 if `fd` is an instance of repoll. Any other file fails, as a rule with ENOTTY (a
/// C epoll with EINVAL). If a filter or Landlock refuses ioctls, the error is theirs.
pub fn nop(fd: c_int) -> c_long {
    // SAFETY: the request has no argument.
    unsafe { raw::ioctl(fd, uapi::REPOLL_IOCTL_NOP, core::ptr::null::<()>()) }
}

/// The template, which is opened if there is none. `Err` if the device can't be opened or used.
#[inline]
pub fn get() -> Result<c_int, c_long> {
    match TEMPLATE.load(Relaxed) {
        NONE => open_again(NONE, Limit::AsItIs),
        fd => Ok(fd),
    }
}

/// Whether a result that came from the template `fd` is an instance's.
#[inline]
pub fn answered(fd: c_int, result: c_long) -> bool {
    result >= 0 || is_instance(fd)
}

/// Another template, where `fd` has proved to be none. `Err` as of [`get`].
#[cold]
pub fn another(fd: c_int) -> Result<c_int, c_long> {
    open_again(fd, Limit::AsItIs)
}

/// Opens a template in the place of `old`. Closes the file again if it is not repoll, or if ioctls
/// on it are refused.
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
            // Another thread was here first.
            raw::close(new);
            Ok(theirs)
        }
    }
}

/// What to do about the limit of the number of descriptors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Leave it alone.
    AsItIs,
    /// Raise it for a moment: only while there is one thread.
    MayRaise,
}

/// Duplicates `fd` with the `fcntl` command `F_DUPFD` or `F_DUPFD_CLOEXEC`, to a number that the
/// program hardly notices. The result is the kernel's.
///
/// The table of descriptors does not grow for it: `select(2)` looks at as many bits as the table
/// has, whatever its caller says. So it is the first number that the program itself can't get,
/// because its limit is lower, if the table has that; else the last one of the table.
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
        // The next free number after one that is in use may be beyond the table.
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

/// The number of descriptors that the process's table has room for without growing.
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
    // SAFETY: each is null, or a limit of our caller's.
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

    /// All in one: the limit and the table are the process's.
    #[test]
    fn duplicates_lie_out_of_the_way() {
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
