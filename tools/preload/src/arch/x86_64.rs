// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls of x86-64.

use core::arch::asm;
use libc::{c_int, c_long, pollfd};
pub use libc::{
    SYS_epoll_create as EPOLL_CREATE, SYS_epoll_wait as EPOLL_WAIT, SYS_poll as POLL,
    SYS_select as SELECT,
};

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
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// The system call that the C library makes for `epoll_create(size)`, and its argument.
pub fn epoll_create(size: c_int) -> (c_long, c_int) {
    (EPOLL_CREATE, size)
}

/// The system call that the C library makes for `epoll_wait`. Its last two arguments say that there
/// is no mask.
pub const WAIT_WITHOUT_MASK: c_long = EPOLL_WAIT;

/// `poll(2)` of one file, without waiting.
pub fn poll_now(file: &mut pollfd) -> c_long {
    // SAFETY: the argument can be written.
    unsafe { call(POLL, [&raw mut *file as c_long, 1, 0, 0, 0, 0]) }
}
