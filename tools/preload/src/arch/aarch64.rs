// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls of arm64. It lacks old calls that newer ones replace.

use core::arch::asm;
use libc::{c_int, c_long, pollfd, timespec};

/// A system call that arm64 lacks; no system call has this number.
pub const EPOLL_CREATE: c_long = -1;
/// As above.
pub const EPOLL_WAIT: c_long = -2;
/// As above.
pub const POLL: c_long = -3;
/// As above.
pub const SELECT: c_long = -4;

/// Makes a system call. The result is the kernel's: a negative errno on failure.
///
/// # Safety
///
/// The arguments are valid for the call.
#[inline]
pub unsafe fn call(number: c_long, arguments: [c_long; 6]) -> c_long {
    let result;
    // SAFETY: this is the kernel's calling convention; the caller answers for the call's effects.
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

/// The system call that the C library makes for `epoll_wait`. Its last two arguments say that there
/// is no mask.
pub const WAIT_WITHOUT_MASK: c_long = libc::SYS_epoll_pwait;

/// `ppoll(2)` of one file, without waiting.
pub fn poll_now(file: &mut pollfd) -> c_long {
    let mut now = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let (file, now) = (&raw mut *file as c_long, &raw mut now as c_long);
    // SAFETY: both pointers are valid; there is no mask.
    unsafe { call(libc::SYS_ppoll, [file, 1, now, 0, 0, 0]) }
}
