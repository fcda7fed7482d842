// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `repoll-exec` loads into a program with `LD_PRELOAD`.
//!
//! The functions of [`interpose`] take the place of the C library's `epoll_create`,
//! `epoll_create1`, `epoll_ctl`, `epoll_wait`, `epoll_pwait`, `epoll_pwait2` and `syscall`, and, if
//! `repoll-exec` is asked to carry them, `select`, `pselect`, `poll` and `ppoll`. They
//! keep no record of which descriptor is what: an instance of repoll is a real file
//! descriptor, so `close`, `dup`, `fork`, `execve`, `SCM_RIGHTS` and `poll` need no help. Each call
//! tries the ioctl, and makes the real call if the descriptor turns out not to be repoll's.
//!
//! Everything is done with system calls made here: nothing allocates, locks or panics, so the
//! functions can be called in signal handlers and after `fork` as the real ones can.
//!
//! What differs from the real calls:
//!
//! * They are no cancellation points of `pthread_cancel(3)`.
//! * `epoll_ctl` with an event that lies elsewhere than on the current page of the stack asks the
//!   kernel whether it can be read (EFAULT), which is one more system call; see
//!   [`memory::readable`]. Memory that another thread unmaps just then is a crash, not EFAULT.
//! * A program that has closed the template (see [`template`]) and can't open `/dev/repoll` any
//!   more, as in a chroot, gets C epolls.
//! * `select` and `poll` that are carried write what is left of a time limit to its place even if
//!   that can't be written by the program: a crash, where the system call would leave it.
//! * Sets of descriptors are read and written in words of eight bytes, as the C library's are.
//! * System calls that do not go through the C library are not seen (Go, io_uring).
#![cfg_attr(not(test), no_std)]

#[cfg(not(target_arch = "x86_64"))]
compile_error!("system calls are made as on x86-64");

mod epoll;
pub mod interpose;
#[cfg(feature = "interpose")]
pub mod interpose_scan;
pub mod memory;
mod raw;
pub mod scan;
pub mod statistics;
pub mod template;
#[allow(
    missing_docs,
    non_camel_case_types,
    dead_code,
    clippy::undocumented_unsafe_blocks,
    clippy::pub_underscore_fields
)]
mod uapi {
    include!(concat!(env!("OUT_DIR"), "/uapi.rs"));
}

/// Names, in the environment, the shared library (for `repoll-exec`, if it is not beside it).
pub const LIBRARY_VARIABLE: &str = "REPOLL_PRELOAD";

/// The file name of the shared library.
pub const LIBRARY: &str = "librepoll_preload.so";

/// Runs once, before the program's `main`.
#[cfg(feature = "interpose")]
#[used]
#[link_section = ".init_array"]
static START: extern "C" fn() = start;

#[cfg(feature = "interpose")]
extern "C" fn start() {
    template::inherit();
    statistics::attach();
    scan::inherit();
    interpose_scan::find();
}

#[cfg(all(feature = "interpose", not(test)))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    raw::abort()
}
