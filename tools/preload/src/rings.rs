// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hides io_uring from the program.
//!
//! A ring supports only the C epoll: `IORING_OP_EPOLL_CTL` on an instance fails with EINVAL, and
//! libuv (Node, uvloop) then aborts the program. So the kernel appears to have no rings, unless
//! `repoll-exec` runs with `--io-uring`; libraries have a fallback for kernels without rings.

use crate::{raw, statistics};
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use libc::c_long;

/// The environment variable that is [`ALLOWED`] if a program may create rings.
pub const VARIABLE: &CStr = c"REPOLL_IO_URING";

/// The value of [`VARIABLE`] that allows rings.
pub const ALLOWED: &str = "allow";

static MAY: AtomicBool = AtomicBool::new(false);

/// Reads the environment. Must be called before the program runs.
pub fn inherit() {
    MAY.store(raw::environment(VARIABLE) == Some(ALLOWED), Relaxed);
}

/// The result of `io_uring_setup(2)`; `None` if the real call has to be made.
pub fn setup() -> Option<c_long> {
    if MAY.load(Relaxed) {
        return None;
    }
    statistics::ring_refused();
    Some(-c_long::from(libc::ENOSYS))
}
