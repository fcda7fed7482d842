// SPDX-License-Identifier: MIT OR Apache-2.0
//! arm64, which has none of the system calls that a later one includes.

use core::arch::asm;
use libc::{c_int, c_long, pollfd, timespec};

/// Calls that there are not: numbers that no system call has.
pub const EPOLL_CREATE: c_long = -1;
/// The same.
pub const EPOLL_WAIT: c_long = -2;
/// The same.
pub const POLL: c_long = -3;
/// The same.
pub const SELECT: c_long = -4;

/// Makes a system call. The result is the kernel's: a negative errno on failure.
///
/// # Safety
///
/// The arguments are what the call wants.
#[inline]
pub unsafe fn call(number: c_long, arguments: [c_long; 6]) -> c_long {
    let result;
    // SAFETY: this is the kernel's convention; what the call does is up to our caller.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") arguments[0] => result,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            in("x4") arguments[4],
            in("x5") arguments[5],
            options(nostack),
        );
    }
    result
}

/// The system call that the C library makes for `epoll_create(size)`, and its argument.
pub fn epoll_create(_size: c_int) -> (c_long, c_int) {
    (libc::SYS_epoll_create1, 0)
}

/// The system call that the C library makes for `epoll_wait`. Its further arguments are no mask.
pub const WAIT_WITHOUT_MASK: c_long = libc::SYS_epoll_pwait;

/// `ppoll(2)` of one file, which does not wait.
pub fn poll_now(file: &mut pollfd) -> c_long {
    let mut now = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let (file, now) = (&raw mut *file as c_long, &raw mut now as c_long);
    // SAFETY: both places are ours; there is no mask.
    unsafe { call(libc::SYS_ppoll, [file, 1, now, 0, 0, 0]) }
}
