// SPDX-License-Identifier: MIT OR Apache-2.0
//! Seccomp filters, which may refuse the ioctls that carry calls, or kill for them.
//!
//! A filter is written for the program's own calls, so its verdict on ours is unknown, and to try
//! may kill the process. So as soon as a process has a filter that `repoll-exec` did not run under
//! already, new calls are left to the kernel. Filters are never removed, and a child inherits its
//! parent's: so calls are never carried again.

use crate::{notice, raw, statistics};
use core::ffi::CStr;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use libc::{c_int, c_long, c_ulong};

/// Holds, in the environment, how many filters `repoll-exec` itself runs under.
pub const VARIABLE: &CStr = c"REPOLL_FILTERS";

/// The number of filters installed since `repoll-exec` has started, as far as is known.
static ADDED: AtomicU32 = AtomicU32::new(0);

/// Whether new calls are to be left to the kernel.
#[inline]
pub fn leaves_alone() -> bool {
    ADDED.load(Relaxed) != 0
}

/// Checks whether a filter was installed since `repoll-exec`. To be called before the program runs.
pub fn inherit() {
    let known = raw::environment(VARIABLE).and_then(|number| number.parse().ok());
    let number = match filters() {
        Some(number) => number,
        // Without /proc. A filter that does not want this call may kill for it, but this or the
        // ioctl is the question.
        // SAFETY: it takes numbers.
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

/// Counts the filters of the calling thread; `None` if that is unknown. It makes only calls that
/// the loader has just made to load this library, so no filter kills for them.
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

/// `prctl(PR_SET_SECCOMP, …)` or `seccomp(2)`, by `number` and `arguments`: from the moment before
/// it new calls are left alone, for other threads may get the filter too.
///
/// # Safety
///
/// As for the system call.
pub unsafe fn install(number: c_long, arguments: [c_long; 6]) -> c_long {
    // A null filter is how programs ask whether there are filters: it fails.
    let strict = match number {
        libc::SYS_prctl => arguments[1] == libc::SECCOMP_MODE_STRICT as c_long,
        _ => arguments[0] == libc::SECCOMP_SET_MODE_STRICT as c_long,
    };
    if (strict || arguments[2] != 0) && !leaves_alone() {
        // Once the filter is there it may be too late for a write, as it may be under an earlier one.
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

/// `prctl(2)`: filters are noticed, all else is as it is.
///
/// It has a variable number of arguments. Its callers pass them just as to this one, which looks at
/// more of them than may be there: registers.
///
/// # Safety
///
/// As for the real one.
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
        // SAFETY: the kernel refuses the null filter, with EFAULT.
        let result = unsafe { install(libc::SYS_seccomp, [1, 0, 0, 0, 0, 0]) };
        assert!(result < 0 && !leaves_alone());
    }
}
