// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stops carrying calls when the process installs a seccomp filter.
//!
//! A filter is written for the program's own calls. It may refuse the ioctls that carry calls, or
//! kill the process for them. So as soon as a process has a filter that `repoll-exec` itself did
//! not run under, new calls are left to the kernel. Filters are never removed, and children inherit
//! them, so calls are never carried again.

use crate::{notice, raw, statistics};
use core::ffi::CStr;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use libc::{c_int, c_long, c_ulong};

/// The environment variable with the number of filters that `repoll-exec` itself runs under.
pub const VARIABLE: &CStr = c"REPOLL_FILTERS";

/// The number of filters known to have been installed since `repoll-exec` started.
static ADDED: AtomicU32 = AtomicU32::new(0);

/// Whether new calls must be left to the kernel.
#[inline]
pub fn leaves_alone() -> bool {
    ADDED.load(Relaxed) != 0
}

/// Checks whether a filter was installed since `repoll-exec` started. Must be called before the
/// program runs.
pub fn inherit() {
    let known = raw::environment(VARIABLE).and_then(|number| number.parse().ok());
    let number = match filters() {
        Some(number) => number,
        // /proc is missing. A filter may kill the process for this call, but the alternative is an
        // ioctl, for which it may as well.
        // SAFETY: `prctl` takes only numbers here.
        None => match unsafe { raw::call(libc::SYS_prctl, [GET_SECCOMP, 0, 0, 0, 0, 0]) } {
            0 => 0,
            _ => u32::MAX,
        },
    };
    if number > known.unwrap_or(0) && ADDED.load(Relaxed) == 0 {
        ADDED.store(1, Relaxed);
        statistics::sandboxed();
    }
}

const GET_SECCOMP: c_long = libc::PR_GET_SECCOMP as c_long;

/// Counts the filters of the calling thread; `None` if that is unknown. Makes only system calls
/// that the loader has just made to load this library, so no filter kills the process for them.
pub fn filters() -> Option<u32> {
    let mut buffer = [0; 4096];
    let status = raw::read_file(c"/proc/thread-self/status", &mut buffer)?;
    let mode = raw::field(status, b"\nSeccomp:")?;
    match raw::field(status, b"\nSeccomp_filters:") {
        Some(number) => Some(number),
        None if mode == 0 => Some(0),
        None => None,
    }
}

/// Makes the call `prctl(PR_SET_SECCOMP, …)` or `seccomp(2)`, given by `number` and `arguments`.
/// New calls are left to the kernel from just before it, as other threads may get the filter, too.
///
/// # Safety
///
/// As for the system call.
pub unsafe fn install(number: c_long, arguments: [c_long; 6]) -> c_long {
    // Programs test for support of filters with a null filter, which fails.
    let strict = match number {
        libc::SYS_prctl => arguments[1] == libc::SECCOMP_MODE_STRICT as c_long,
        _ => arguments[0] == libc::SECCOMP_SET_MODE_STRICT as c_long,
    };
    if (strict || arguments[2] != 0) && !leaves_alone() {
        // Written before the filter is installed, as it may refuse a write, like an earlier one.
        notice::sandbox();
    }
    ADDED.fetch_add(1, Relaxed);
    // SAFETY: by the contract of this function.
    let result = unsafe { raw::call(number, arguments) };
    if result < 0 {
        ADDED.fetch_sub(1, Relaxed);
    } else {
        statistics::sandboxed();
    }
    result
}

/// Whether `number` and its first argument install a filter.
#[inline]
pub fn installs(number: c_long, operation: c_long) -> bool {
    match number {
        libc::SYS_prctl => operation as c_int == libc::PR_SET_SECCOMP,
        libc::SYS_seccomp => {
            let operation = operation as u32;
            operation == libc::SECCOMP_SET_MODE_STRICT || operation == libc::SECCOMP_SET_MODE_FILTER
        }
        _ => false,
    }
}

/// `prctl(2)`. Notices filters and passes all calls on.
///
/// The C function has a variable number of arguments, which callers pass in the same registers as
/// to this function. It reads all of them, even those that the caller has not set.
///
/// # Safety
///
/// As for the real function.
#[cfg_attr(feature = "interpose", no_mangle)]
pub unsafe extern "C" fn prctl(
    operation: c_int,
    a: c_ulong,
    b: c_ulong,
    c: c_ulong,
    d: c_ulong,
) -> c_int {
    let arguments = [
        operation.into(),
        a as c_long,
        b as c_long,
        c as c_long,
        d as c_long,
        0,
    ];
    // SAFETY: the arguments are those of the call, by the contract of this function.
    let result = unsafe {
        if installs(libc::SYS_prctl, operation.into()) {
            install(libc::SYS_prctl, arguments)
        } else {
            raw::call(libc::SYS_prctl, arguments)
        }
    };
    raw::with_errno(result) as c_int
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_counted() {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("a status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp_filters:"))
            .expect("a number of filters");
        assert_eq!(filters(), line.trim().parse().ok());
    }

    #[test]
    fn questions_install_nothing() {
        let (set, get) = (libc::PR_SET_SECCOMP, libc::PR_GET_SECCOMP);
        assert!(installs(libc::SYS_prctl, set.into()));
        assert!(!installs(libc::SYS_prctl, get.into()));
        assert!(installs(libc::SYS_seccomp, 1));
        assert!(!installs(libc::SYS_seccomp, 2));
        // SAFETY: the kernel rejects the null filter with EFAULT.
        let result = unsafe { install(libc::SYS_seccomp, [1, 0, 0, 0, 0, 0]) };
        assert!(result < 0 && !leaves_alone());
    }
}
