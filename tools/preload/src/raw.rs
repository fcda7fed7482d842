// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls, made here: the C library's own entry points may be ours.

use core::arch::asm;
use libc::{c_int, c_long};

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

/// `ioctl(2)`.
///
/// # Safety
///
/// `argument` is what `request` wants.
#[inline]
pub unsafe fn ioctl<T>(fd: c_int, request: u32, argument: *const T) -> c_long {
    let arguments = [fd.into(), request.into(), argument as c_long, 0, 0, 0];
    // SAFETY: by the contract of this function.
    unsafe { call(libc::SYS_ioctl, arguments) }
}

/// `open(2)` of an existing file, for reading and writing, with close-on-exec.
pub fn open(path: &core::ffi::CStr) -> c_long {
    let flags = libc::O_RDWR | libc::O_CLOEXEC;
    let arguments = [
        libc::AT_FDCWD.into(),
        path.as_ptr() as c_long,
        flags.into(),
        0,
        0,
        0,
    ];
    // SAFETY: the path ends in a zero byte.
    unsafe { call(libc::SYS_openat, arguments) }
}

/// `close(2)`. The descriptor must be the caller's to close.
pub fn close(fd: c_int) {
    // SAFETY: nothing in memory depends on it.
    unsafe { call(libc::SYS_close, [fd.into(), 0, 0, 0, 0, 0]) };
}

/// `fcntl(2)` with a number as its argument.
pub fn fcntl(fd: c_int, command: c_int, argument: c_int) -> c_long {
    let arguments = [fd.into(), command.into(), argument.into(), 0, 0, 0];
    // SAFETY: only commands that take a number are used.
    unsafe { call(libc::SYS_fcntl, arguments) }
}

/// A result of the kernel as the C library returns it: -1, and `errno` set.
#[inline]
pub fn with_errno(result: c_long) -> c_long {
    if !(-4095..0).contains(&result) {
        return result;
    }
    // SAFETY: the location is the calling thread's own.
    unsafe { *libc::__errno_location() = -result as c_int };
    -1
}

/// Ends the process.
#[cfg(all(feature = "interpose", not(test)))]
pub fn abort() -> ! {
    // SAFETY: it takes nothing and does not return.
    unsafe { libc::abort() }
}
