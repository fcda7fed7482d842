// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions that replace the C library's.
//!
//! They behave as their manual pages say, and return -1 and set `errno` on failure.

use crate::epoll::{self, Limit, Mask};
use crate::{arch, memory, raw, ready, rings, sandbox, scan};
use libc::{c_int, c_long, c_void, epoll_event, pollfd, sigset_t, size_t, timespec, timeval};

/// The size of the kernel's signal set. The C library passes it for its own, larger set.
pub(crate) const KERNEL_SIGSET: size_t = 8;
const NO_MASK: Mask = Mask(core::ptr::null(), 0);

/// `epoll_create(2)`.
#[cfg_attr(feature = "interpose", no_mangle)]
pub extern "C" fn epoll_create(size: c_int) -> c_int {
    ready();
    raw::with_errno(epoll::create_sized(size)) as c_int
}

/// `epoll_create1(2)`.
#[cfg_attr(feature = "interpose", no_mangle)]
pub extern "C" fn epoll_create1(flags: c_int) -> c_int {
    ready();
    raw::with_errno(epoll::create(flags)) as c_int
}

/// `epoll_ctl(2)`.
///
/// # Safety
///
/// As for the real function.
#[cfg_attr(feature = "interpose", no_mangle)]
pub unsafe extern "C" fn epoll_ctl(
    epfd: c_int,
    op: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    ready();
    // SAFETY: by the contract of this function.
    raw::with_errno(unsafe { epoll::ctl(epfd, op, fd, event) }) as c_int
}

/// `epoll_wait(2)`.
///
/// # Safety
///
/// As for the real function.
#[cfg_attr(feature = "interpose", no_mangle)]
pub unsafe extern "C" fn epoll_wait(
    epfd: c_int,
    events: *mut epoll_event,
    maxevents: c_int,
    timeout: c_int,
) -> c_int {
    ready();
    let limit = Limit::Wait(timeout);
    // SAFETY: by the contract of this function.
    raw::with_errno(unsafe { epoll::wait(epfd, events, maxevents, limit, NO_MASK, true) }) as c_int
}

/// `epoll_pwait(2)`.
///
/// # Safety
///
/// As for the real function.
#[cfg_attr(feature = "interpose", no_mangle)]
pub unsafe extern "C" fn epoll_pwait(
    epfd: c_int,
    events: *mut epoll_event,
    maxevents: c_int,
    timeout: c_int,
    sigmask: *const sigset_t,
) -> c_int {
    ready();
    let limit = Limit::Milliseconds(timeout);
    let mask = Mask(sigmask, KERNEL_SIGSET);
    // SAFETY: by the contract of this function.
    raw::with_errno(unsafe { epoll::wait(epfd, events, maxevents, limit, mask, true) }) as c_int
}

/// `epoll_pwait2(2)`.
///
/// # Safety
///
/// As for the real function.
#[cfg_attr(feature = "interpose", no_mangle)]
pub unsafe extern "C" fn epoll_pwait2(
    epfd: c_int,
    events: *mut epoll_event,
    maxevents: c_int,
    timeout: *const timespec,
    sigmask: *const sigset_t,
) -> c_int {
    ready();
    let limit = Limit::Time(timeout);
    let mask = Mask(sigmask, KERNEL_SIGSET);
    // SAFETY: by the contract of this function.
    raw::with_errno(unsafe { epoll::wait(epfd, events, maxevents, limit, mask, true) }) as c_int
}

/// Whether [`call`] handles the system call of that number.
pub const fn is_ours(number: c_long) -> bool {
    matches!(
        number,
        arch::EPOLL_CREATE
            | libc::SYS_epoll_create1
            | libc::SYS_epoll_ctl
            | arch::EPOLL_WAIT
            | libc::SYS_epoll_pwait
            | libc::SYS_epoll_pwait2
            | arch::SELECT
            | libc::SYS_pselect6
            | arch::POLL
            | libc::SYS_ppoll
            | libc::SYS_io_uring_setup
            | libc::SYS_prctl
            | libc::SYS_seccomp
    )
}

/// `syscall(2)` for the numbers in [`is_ours`].
///
/// The C function has a variable number of arguments, which callers pass in the same registers and
/// stack slots as to this function. It reads all of them, even those that the caller has not set:
/// registers and one word of the stack.
///
/// # Safety
///
/// As for the real function.
pub unsafe extern "C" fn call(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    ready();
    let (int_a, int_b, int_c, int_d) = (a as c_int, b as c_int, c as c_int, d as c_int);
    let mask = Mask(e as *const sigset_t, f as size_t);
    let events = b as *mut epoll_event;
    let arguments = [a, b, c, d, e, f];
    // `syscall(2)` is no cancellation point.
    let is_cancellable = false;
    // SAFETY: the arguments are those of the call, by the contract of this function.
    let result = unsafe {
        match number {
            arch::EPOLL_CREATE => epoll::create_sized(int_a),
            libc::SYS_epoll_create1 => epoll::create(int_a),
            libc::SYS_epoll_ctl => epoll::ctl(int_a, int_b, int_c, d as *const epoll_event),
            arch::EPOLL_WAIT => {
                let limit = Limit::Wait(int_d);
                epoll::wait(int_a, events, int_c, limit, NO_MASK, is_cancellable)
            }
            libc::SYS_epoll_pwait => {
                let limit = Limit::Milliseconds(int_d);
                epoll::wait(int_a, events, int_c, limit, mask, is_cancellable)
            }
            libc::SYS_epoll_pwait2 => {
                let limit = Limit::Time(d as *const timespec);
                epoll::wait(int_a, events, int_c, limit, mask, is_cancellable)
            }
            libc::SYS_io_uring_setup => {
                rings::setup().unwrap_or_else(|| raw::call(number, arguments))
            }
            _ if sandbox::installs(number, a) => sandbox::install(number, arguments),
            _ => scan_call(number, arguments).unwrap_or_else(|| raw::call(number, arguments)),
        }
    };
    raw::with_errno(result)
}

/// Carries a call of select or poll; `None` if the real call has to be made.
///
/// # Safety
///
/// As for the system call.
unsafe fn scan_call(number: c_long, [a, b, c, d, e, f]: [c_long; 6]) -> Option<c_long> {
    use scan::{Caller, Limit};
    let sets = [b, c, d].map(|set| set as *mut c_void);
    let array = a as *mut pollfd;
    // SAFETY: the arguments are those of the call, by the contract of this function.
    unsafe {
        match number {
            arch::SELECT if scan::carries_select() => scan::select(
                a as c_int,
                sets,
                Limit::Timeval(e as *mut timeval, Caller::Kernel),
                NO_MASK,
                false,
            ),
            libc::SYS_pselect6 if scan::carries_select() => {
                // The sixth argument points to two values: the mask and its size.
                let mask = if f == 0 {
                    NO_MASK
                } else {
                    let [mask, size] = memory::read(f as *const [usize; 2])?;
                    Mask(mask as *const sigset_t, size)
                };
                let limit = Limit::Timespec(e as *mut timespec, Caller::Kernel);
                scan::select(a as c_int, sets, limit, mask, false)
            }
            arch::POLL if scan::carries_poll() => scan::poll(
                array,
                b as u32,
                Limit::Milliseconds(c as c_int),
                NO_MASK,
                false,
            ),
            libc::SYS_ppoll if scan::carries_poll() => {
                let limit = Limit::Timespec(c as *mut timespec, Caller::Kernel);
                let mask = Mask(d as *const sigset_t, e as size_t);
                scan::poll(array, b as u32, limit, mask, false)
            }
            _ => None,
        }
    }
}

/// The host has no `/dev/repoll`, so these tests are about calls that are left to the C epoll.
#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr::null_mut;

    fn errno() -> i32 {
        std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
    }

    fn event(data: u64) -> epoll_event {
        epoll_event {
            events: libc::EPOLLIN as u32,
            u64: data,
        }
    }

    /// The reading end of a pipe that contains a byte.
    fn readable_pipe() -> c_int {
        let mut pipe = [0; 2];
        // SAFETY: the array has two elements.
        assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
        // SAFETY: the buffer has one byte.
        assert_eq!(unsafe { libc::write(pipe[1], [0u8].as_ptr().cast(), 1) }, 1);
        pipe[0]
    }

    #[test]
    fn every_way_to_wait_finds_the_event() {
        let epfd = epoll_create1(libc::EPOLL_CLOEXEC);
        let mut added = event(7);
        let mut found = event(0);
        let second = timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        let buffer = &raw mut found;
        // SAFETY: the pointers stay valid during the calls.
        unsafe {
            let fd = readable_pipe();
            assert_eq!(epoll_ctl(epfd, libc::EPOLL_CTL_ADD, fd, &mut added), 0);
            let mut mask = std::mem::zeroed();
            libc::sigemptyset(&mut mask);
            let address = |pointer: *const sigset_t| pointer as c_long;
            let all: [&dyn Fn() -> c_long; 6] = [
                &|| epoll_wait(epfd, buffer, 1, 1000).into(),
                &|| epoll_pwait(epfd, buffer, 1, 1000, &mask).into(),
                &|| epoll_pwait2(epfd, buffer, 1, &second, &mask).into(),
                &|| {
                    call(
                        arch::WAIT_WITHOUT_MASK,
                        epfd.into(),
                        buffer as c_long,
                        1,
                        1000,
                        0,
                        0,
                    )
                },
                &|| {
                    call(
                        libc::SYS_epoll_pwait,
                        epfd.into(),
                        buffer as c_long,
                        1,
                        1000,
                        address(&mask),
                        8,
                    )
                },
                &|| {
                    call(
                        libc::SYS_epoll_pwait2,
                        epfd.into(),
                        buffer as c_long,
                        1,
                        &raw const second as c_long,
                        address(&mask),
                        8,
                    )
                },
            ];
            for wait in all {
                buffer.write(event(0));
                assert_eq!(wait(), 1);
                assert_eq!({ (*buffer).u64 }, 7);
            }
        }
    }

    #[test]
    fn errors_have_the_order_of_the_kernel() {
        let bad = timespec {
            tv_sec: 0,
            tv_nsec: -1,
        };
        let nowhere = 8 as *mut epoll_event;
        // SAFETY: bad pointers are never read.
        unsafe {
            assert_eq!(epoll_create(0), -1);
            assert_eq!(errno(), libc::EINVAL);
            assert_eq!(epoll_create1(1), -1);
            assert_eq!(errno(), libc::EINVAL);
            for pointer in [null_mut(), nowhere] {
                assert_eq!(epoll_ctl(-1, libc::EPOLL_CTL_ADD, -1, pointer), -1);
                assert_eq!(errno(), libc::EFAULT);
                assert_eq!(epoll_ctl(-1, libc::EPOLL_CTL_DEL, -1, pointer), -1);
                assert_eq!(errno(), libc::EBADF);
            }
            assert_eq!(epoll_wait(-1, nowhere, 0, 0), -1);
            assert_eq!(errno(), libc::EBADF);
            let file = readable_pipe();
            assert_eq!(epoll_wait(file, null_mut(), 1, 0), -1);
            assert_eq!(errno(), libc::EINVAL);
            assert_eq!(epoll_pwait2(-1, nowhere, 1, &bad, nowhere.cast()), -1);
            assert_eq!(errno(), libc::EINVAL);
            assert_eq!(
                epoll_pwait2(-1, nowhere, 1, nowhere.cast(), nowhere.cast()),
                -1
            );
            assert_eq!(errno(), libc::EFAULT);
        }
    }

    #[test]
    fn other_system_calls_pass_through() {
        // SAFETY: the calls take only numbers.
        unsafe {
            let own = call(libc::SYS_getpid, 0, 0, 0, 0, 0, 0);
            assert_eq!(own, std::process::id().into());
            assert_eq!(call(libc::SYS_close, -1, 0, 0, 0, 0, 0), -1);
            assert_eq!(errno(), libc::EBADF);
        }
    }
}
