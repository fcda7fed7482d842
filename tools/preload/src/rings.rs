// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rings of io_uring.
//!
//! A ring knows the C epoll only: `IORING_OP_EPOLL_CTL` on an instance fails with EINVAL, on which
//! libuv (Node, uvloop) aborts the program. So the kernel seems to have no rings, unless
//! `repoll-exec` was asked for them; libraries have a fallback for that case.

use crate::{raw, statistics};
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use libc::c_long;

/// Is, in the environment, [`ALLOWED`] if a program may make rings.
pub const VARIABLE: &CStr = c"REPOLL_IO_URING";

/// The value that allows it.
pub const ALLOWED: &str = "allow";

static MAY: AtomicBool = AtomicBool::new(false);

/// Reads the environment. To be called before the program runs.
pub fn inherit() {
    MAY.store(raw::environment(VARIABLE) == Some(ALLOWED), Relaxed);
}

/// The answer to `io_uring_setup(2)`; `None` if the kernel is to give it.
pub fn setup() -> Option<c_long> {
    if MAY.load(Relaxed) {
        return None;
    }
    statistics::ring_refused();
    Some(-c_long::from(libc::ENOSYS))
}
