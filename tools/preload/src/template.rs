// SPDX-License-Identifier: MIT OR Apache-2.0
//! The template: the instance that every other one is made from, with `REPOLL_CREATE`.
//!
//! `repoll-exec` opens it, and the program inherits it under a high number. It is close-on-exec as
//! soon as the program runs, so that other programs that it executes do not find a descriptor that
//! nobody opened; those that load this library open a template of their own when they start.
//! So new instances need no access to `/dev`, even if the program changes its root or its user
//! in the meantime. A program that has closed the template, or put something else in its place,
//! gets a new one with its next instance.

use crate::{raw, uapi};
use core::ffi::CStr;
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};
use libc::{c_int, c_long};

/// The device whose opening makes an instance.
pub const DEVICE: &CStr = c"/dev/repoll";

/// Holds, in the environment, the number of the inherited template.
pub const VARIABLE: &CStr = c"REPOLL_TEMPLATE";

/// The highest number that a template asks for: higher ones would make the table of descriptors,
/// which every fork copies, needlessly large.
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
    // SAFETY: the name ends in a zero byte; nothing else runs yet that changes the environment.
    let value = unsafe { libc::getenv(VARIABLE.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: the environment holds strings that end in a zero byte.
    let value = unsafe { CStr::from_ptr(value) };
    let fd = value.to_str().ok()?.parse().ok()?;
    is_instance(fd).then_some(fd)
}

/// Whether `fd` is an instance of repoll.
pub fn is_instance(fd: c_int) -> bool {
    nop(fd) == 0
}

/// `REPOLL_NOP`: 0 if `fd` is an instance of repoll, ENOTTY if it is something else.
pub fn nop(fd: c_int) -> c_long {
    // SAFETY: the request has no argument.
    unsafe { raw::ioctl(fd, uapi::REPOLL_IOCTL_NOP, core::ptr::null::<()>()) }
}

/// Calls `create` with the template, which is opened if there is none, or if what has its number
/// by now is not an instance. `Err` if the device can't be opened.
pub fn with(create: impl Fn(c_int) -> c_long) -> Result<c_long, c_long> {
    let fd = TEMPLATE.load(Relaxed);
    if fd != NONE {
        let result = create(fd);
        if result >= 0 || is_instance(fd) {
            return Ok(result);
        }
    }
    open_again(fd, Limit::AsItIs).map(create)
}

/// Opens a template in the place of `old`.
#[cold]
fn open_again(old: c_int, limit: Limit) -> Result<c_int, c_long> {
    let low = raw::open(DEVICE);
    if low < 0 {
        return Err(low);
    }
    let low = low as c_int;
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

/// Duplicates `fd` with the `fcntl` command `F_DUPFD` or `F_DUPFD_CLOEXEC`: if possible to the
/// first number that the program itself can't get, because its limit is lower. The result is the
/// kernel's.
pub fn out_of_the_way(fd: c_int, command: c_int, limit: Limit) -> c_long {
    let mut now = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    set_limit(core::ptr::null(), &mut now);
    let soft = now.rlim_cur.min(HIGHEST as libc::rlim_t + 1) as c_int;
    if limit == Limit::MayRaise && soft <= HIGHEST && now.rlim_max > now.rlim_cur {
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
    raw::fcntl(fd, command, soft - 1)
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

    /// All in one: the limit is the process's.
    #[test]
    fn duplicates_lie_out_of_the_way() {
        let file = std::fs::File::open("/dev/null").expect("there is a /dev/null");
        let before = limit();
        for (soft, raise, expected) in [
            (256, Limit::MayRaise, 256),
            (256, Limit::AsItIs, 255),
            (4096, Limit::MayRaise, 4096),
            (8192, Limit::MayRaise, 4096),
            (8192, Limit::AsItIs, 4096),
        ] {
            if before.rlim_max <= soft {
                continue;
            }
            let lowered = libc::rlimit {
                rlim_cur: soft,
                ..before
            };
            set_limit(&lowered, std::ptr::null_mut());
            let found = out_of_the_way(file.as_raw_fd(), libc::F_DUPFD, raise);
            assert_eq!(found, expected, "{soft}");
            assert_eq!(limit().rlim_cur, soft);
            raw::close(found as c_int);
        }
        set_limit(&before, std::ptr::null_mut());
    }
}
