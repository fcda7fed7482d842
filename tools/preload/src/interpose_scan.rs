// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions that replace the C library's `select` and `poll`.
//!
//! If a call is not to be carried, or can't be, the C library's own function is called.

use crate::epoll::Mask;
use crate::interpose::KERNEL_SIGSET;
use crate::next::{POLL, POLL_CHK, PPOLL, PPOLL_CHK, PSELECT, SELECT};
use crate::scan::{self, Caller, Limit};
use crate::{raw, ready};
use core::mem::transmute;
use libc::{c_int, c_void, fd_set, nfds_t, pollfd, sigset_t, size_t, timespec, timeval};

const NO_MASK: Mask = Mask(core::ptr::null(), 0);

type Select =
    unsafe extern "C" fn(c_int, *mut fd_set, *mut fd_set, *mut fd_set, *mut timeval) -> c_int;
type Pselect = unsafe extern "C" fn(
    c_int,
    *mut fd_set,
    *mut fd_set,
    *mut fd_set,
    *const timespec,
    *const sigset_t,
) -> c_int;
type Poll = unsafe extern "C" fn(*mut pollfd, nfds_t, c_int) -> c_int;
type Ppoll = unsafe extern "C" fn(*mut pollfd, nfds_t, *const timespec, *const sigset_t) -> c_int;
type PollChk = unsafe extern "C" fn(*mut pollfd, nfds_t, c_int, size_t) -> c_int;
type PpollChk =
    unsafe extern "C" fn(*mut pollfd, nfds_t, *const timespec, *const sigset_t, size_t) -> c_int;

fn returned(result: libc::c_long) -> c_int {
    raw::with_errno(result) as c_int
}

/// `select(2)`.
///
/// # Safety
///
/// As for the real function.
#[no_mangle]
pub unsafe extern "C" fn select(
    nfds: c_int,
    readfds: *mut fd_set,
    writefds: *mut fd_set,
    exceptfds: *mut fd_set,
    timeout: *mut timeval,
) -> c_int {
    ready();
    if scan::carries_select() {
        let sets = [readfds, writefds, exceptfds].map(<*mut fd_set>::cast);
        // SAFETY: by the contract of this function.
        let result = unsafe {
            scan::select(
                nfds,
                sets,
                Limit::Timeval(timeout, Caller::Library),
                NO_MASK,
                true,
            )
        };
        if let Some(result) = result {
            return returned(result);
        }
    }
    // SAFETY: the next function of the same name gets the same arguments.
    unsafe {
        let next = transmute::<*mut c_void, Select>(SELECT.get());
        next(nfds, readfds, writefds, exceptfds, timeout)
    }
}

/// `pselect(2)`.
///
/// # Safety
///
/// As for the real function.
#[no_mangle]
pub unsafe extern "C" fn pselect(
    nfds: c_int,
    readfds: *mut fd_set,
    writefds: *mut fd_set,
    exceptfds: *mut fd_set,
    timeout: *const timespec,
    sigmask: *const sigset_t,
) -> c_int {
    ready();
    if scan::carries_select() {
        let sets = [readfds, writefds, exceptfds].map(<*mut fd_set>::cast);
        let limit = Limit::Timespec(timeout.cast_mut(), Caller::Library);
        // SAFETY: by the contract of this function.
        let result = unsafe { scan::select(nfds, sets, limit, Mask(sigmask, KERNEL_SIGSET), true) };
        if let Some(result) = result {
            return returned(result);
        }
    }
    // SAFETY: the next function of the same name gets the same arguments.
    unsafe {
        let next = transmute::<*mut c_void, Pselect>(PSELECT.get());
        next(nfds, readfds, writefds, exceptfds, timeout, sigmask)
    }
}

/// `poll(2)`.
///
/// # Safety
///
/// As for the real function.
#[no_mangle]
pub unsafe extern "C" fn poll(fds: *mut pollfd, nfds: nfds_t, timeout: c_int) -> c_int {
    ready();
    if scan::carries_poll() {
        let limit = Limit::Milliseconds(timeout);
        // SAFETY: by the contract of this function.
        if let Some(result) = unsafe { scan::poll(fds, nfds as u32, limit, NO_MASK, true) } {
            return returned(result);
        }
    }
    // SAFETY: the next function of the same name gets the same arguments.
    unsafe { transmute::<*mut c_void, Poll>(POLL.get())(fds, nfds, timeout) }
}

/// `ppoll(2)`.
///
/// # Safety
///
/// As for the real function.
#[no_mangle]
pub unsafe extern "C" fn ppoll(
    fds: *mut pollfd,
    nfds: nfds_t,
    timeout: *const timespec,
    sigmask: *const sigset_t,
) -> c_int {
    ready();
    if scan::carries_poll() {
        let limit = Limit::Timespec(timeout.cast_mut(), Caller::Library);
        let mask = Mask(sigmask, KERNEL_SIGSET);
        // SAFETY: by the contract of this function.
        if let Some(result) = unsafe { scan::poll(fds, nfds as u32, limit, mask, true) } {
            return returned(result);
        }
    }
    // SAFETY: the next function of the same name gets the same arguments.
    unsafe { transmute::<*mut c_void, Ppoll>(PPOLL.get())(fds, nfds, timeout, sigmask) }
}

/// Whether the array fits into `bytes`, its size as the caller's compiler knows it.
fn fits(nfds: nfds_t, bytes: size_t) -> bool {
    bytes / size_of::<pollfd>() >= nfds as usize
}

/// `poll(2)` for programs that are compiled with `_FORTIFY_SOURCE`.
///
/// # Safety
///
/// As for the real function.
#[no_mangle]
pub unsafe extern "C" fn __poll_chk(
    fds: *mut pollfd,
    nfds: nfds_t,
    timeout: c_int,
    bytes: size_t,
) -> c_int {
    if fits(nfds, bytes) {
        // SAFETY: by the contract of this function.
        return unsafe { poll(fds, nfds, timeout) };
    }
    // SAFETY: the next function of the same name gets the same arguments; it ends the program.
    unsafe { transmute::<*mut c_void, PollChk>(POLL_CHK.get())(fds, nfds, timeout, bytes) }
}

/// `ppoll(2)` for programs that are compiled with `_FORTIFY_SOURCE`.
///
/// # Safety
///
/// As for the real function.
#[no_mangle]
pub unsafe extern "C" fn __ppoll_chk(
    fds: *mut pollfd,
    nfds: nfds_t,
    timeout: *const timespec,
    sigmask: *const sigset_t,
    bytes: size_t,
) -> c_int {
    if fits(nfds, bytes) {
        // SAFETY: by the contract of this function.
        return unsafe { ppoll(fds, nfds, timeout, sigmask) };
    }
    // SAFETY: the next function of the same name gets the same arguments; it ends the program.
    unsafe {
        let next = transmute::<*mut c_void, PpollChk>(PPOLL_CHK.get());
        next(fds, nfds, timeout, sigmask, bytes)
    }
}
