// SPDX-License-Identifier: MIT OR Apache-2.0
//! The library that `repoll-exec` loads into a program with `LD_PRELOAD`.
//!
//! The functions of [`interpose`] replace the C library's `epoll_create`, `epoll_create1`,
//! `epoll_ctl`, `epoll_wait`, `epoll_pwait`, `epoll_pwait2` and `syscall`, and, if `repoll-exec` is
//! asked to carry them, `select`, `pselect`, `poll` and `ppoll`. Those for `prctl`, `dlopen` and
//! `dlmopen` only observe the calls. No function keeps a record of descriptors: an instance of
//! repoll is a real file descriptor, so `close`, `dup`, `fork`, `execve`, `SCM_RIGHTS` and `poll`
//! need no support. Each call tries the ioctl, and makes the real call if the descriptor is not
//! repoll's.
//!
//! The functions make system calls directly, and never allocate, lock or panic. So they can be
//! called in signal handlers and after `fork`, like the real ones.
//!
//! Differences from the real calls:
//!
//! * A cancellation by `pthread_cancel(3)` that arrives just after a call has ended discards its
//!   result, as in the C library before version 2.41: see `raw::cancellable`.
//! * If the event of `epoll_ctl` is not on the current page of the stack, one more system call asks
//!   the kernel whether it can be read (EFAULT): see [`memory::readable`]. If another thread unmaps
//!   the memory just after that, the program crashes instead.
//! * A program that has closed the template (see [`template`]) and can't open `/dev/repoll` any
//!   more, as in a chroot, gets C epolls.
//! * After a process has installed a seccomp filter, new calls are left to the kernel: see
//!   [`sandbox`].
//! * `syscall(SYS_io_uring_setup, …)` fails with ENOSYS. A ring supports only the C epoll, so no
//!   epoll call may go through one: see [`rings`].
//! * Sets of descriptors are read and written in words of eight bytes, like the C library's.
//! * System calls that bypass the C library (Go, rustix) are not seen, nor are those of libraries
//!   that are loaded with `RTLD_DEEPBIND` or by `dlmopen`.
#![cfg_attr(not(test), no_std)]

mod arch;
mod epoll;
pub mod interpose;
#[cfg(feature = "interpose")]
pub mod interpose_scan;
pub mod memory;
#[cfg(feature = "interpose")]
mod next;
pub mod notice;
mod raw;
pub mod rings;
pub mod sandbox;
pub mod scan;
pub mod statistics;
pub mod template;
mod uapi;

/// The environment variable with the path of the shared library, if it is not beside `repoll-exec`.
pub const LIBRARY_VARIABLE: &str = "REPOLL_PRELOAD";

/// The file name of the shared library.
pub const LIBRARY: &str = "librepoll_preload.so";

/// Runs before the program's `main`.
#[cfg(feature = "interpose")]
#[used]
#[link_section = ".init_array"]
static START: extern "C" fn() = start;

/// Whether [`start`] has run.
#[cfg(feature = "interpose")]
static STARTED: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);

/// Reads the settings of `repoll-exec`, once. Runs at the latest with the first call, which may
/// come from another library's constructor.
#[cfg(feature = "interpose")]
#[cold]
extern "C" fn start() {
    use core::sync::atomic::Ordering::Relaxed;
    if STARTED.load(Relaxed) {
        return;
    }
    statistics::attach();
    notice::inherit();
    sandbox::inherit();
    rings::inherit();
    scan::inherit();
    next::find();
    if !sandbox::leaves_alone() {
        template::inherit();
    }
    STARTED.store(true, Relaxed);
}

/// Must be called at the beginning of each function that the program can call.
#[inline]
fn ready() {
    #[cfg(feature = "interpose")]
    if !STARTED.load(core::sync::atomic::Ordering::Relaxed) {
        start();
    }
}

#[cfg(all(feature = "interpose", not(test)))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    raw::abort()
}
