// SPDX-License-Identifier: MIT OR Apache-2.0
//! The template: the instance that every other one is made from, with `REPOLL_CREATE`.
//!
//! `repoll-exec` opens it, and the program inherits it under a high number, so that new instances
//! need no access to `/dev`: in a chroot, or under another user. It is close-on-exec as soon as
//! the program runs, so that the program's children do not find a descriptor that they never
//! opened; a child that loads this library opens a template of its own when it first needs one.
//! So does a program that has closed it or put something else in its place.

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

/// Takes over what `repoll-exec` left. To be called before the program runs.
pub fn inherit() {
    // SAFETY: the name ends in a zero byte; nothing else runs yet that changes the environment.
    let value = unsafe { libc::getenv(VARIABLE.as_ptr()) };
    if value.is_null() {
        return;
    }
    // SAFETY: the environment holds strings that end in a zero byte.
    let value = unsafe { CStr::from_ptr(value) };
    let Some(fd) = value.to_str().ok().and_then(|value| value.parse().ok()) else {
        return;
    };
    if is_instance(fd) {
        raw::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        TEMPLATE.store(fd, Relaxed);
    }
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
    open_again(fd).map(create)
}

/// Opens a template in the place of `old`.
#[cold]
fn open_again(old: c_int) -> Result<c_int, c_long> {
    let low = raw::open(DEVICE);
    if low < 0 {
        return Err(low);
    }
    let low = low as c_int;
    let high = raw::fcntl(low, libc::F_DUPFD_CLOEXEC, highest_allowed());
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

fn highest_allowed() -> c_int {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let arguments = [
        0,
        libc::RLIMIT_NOFILE as c_long,
        0,
        &raw mut limit as c_long,
        0,
        0,
    ];
    // SAFETY: the limit is ours, and read only.
    unsafe { raw::call(libc::SYS_prlimit64, arguments) };
    let last = limit.rlim_cur.saturating_sub(1);
    last.min(HIGHEST as libc::rlim_t) as c_int
}
