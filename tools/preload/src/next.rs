// SPDX-License-Identifier: MIT OR Apache-2.0
//! The next definitions of the replaced functions, as a rule the C library's.

use core::ffi::CStr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use libc::c_void;

/// The next definition of a function.
#[repr(C)]
pub struct Next {
    /// The address, or null. It is the first field, as [`crate::arch::trampolines`] reads it.
    found: AtomicPtr<c_void>,
    name: &'static CStr,
}

impl Next {
    const fn new(name: &'static CStr) -> Self {
        Self {
            found: AtomicPtr::new(core::ptr::null_mut()),
            name,
        }
    }

    /// Returns the address. The first call must not be in a signal handler, so [`find`] makes it
    /// early.
    pub fn get(&self) -> *mut c_void {
        let found = self.found.load(Relaxed);
        if !found.is_null() {
            return found;
        }
        let found = self.find();
        if found.is_null() {
            // The C library defines each function that the program calls.
            // SAFETY: `abort` takes no arguments and does not return.
            unsafe { libc::abort() };
        }
        found
    }

    fn find(&self) -> *mut c_void {
        // SAFETY: the name ends in a zero byte.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.found.store(found, Relaxed);
        found
    }
}

/// `select`.
pub static SELECT: Next = Next::new(c"select");
/// `pselect`.
pub static PSELECT: Next = Next::new(c"pselect");
/// `poll`.
pub static POLL: Next = Next::new(c"poll");
/// `ppoll`.
pub static PPOLL: Next = Next::new(c"ppoll");
/// `__poll_chk`.
pub static POLL_CHK: Next = Next::new(c"__poll_chk");
/// `__ppoll_chk`.
pub static PPOLL_CHK: Next = Next::new(c"__ppoll_chk");
/// `syscall`.
pub static SYSCALL: Next = Next::new(c"syscall");
/// `dlopen`.
pub static DLOPEN: Next = Next::new(c"dlopen");
/// `dlmopen`.
pub static DLMOPEN: Next = Next::new(c"dlmopen");

/// Finds all definitions. Must be called before the program runs.
pub fn find() {
    for next in [
        &SELECT, &PSELECT, &POLL, &PPOLL, &POLL_CHK, &PPOLL_CHK, &SYSCALL, &DLOPEN, &DLMOPEN,
    ] {
        next.find();
    }
}
