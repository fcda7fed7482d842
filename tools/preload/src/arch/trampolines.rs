// SPDX-License-Identifier: MIT OR Apache-2.0
//! Functions that continue in the C library's, as if the program had called those directly.
//!
//! * `syscall`: a child that `SYS_clone` creates with its own stack returns to the address on top
//!   of that stack, so no frame of ours may be on it.
//! * `dlopen` and `dlmopen` use their return address to find the caller's library path and
//!   namespace.
//!
//! So each of these functions is one block of assembly, which begins with the registers and the
//! stack as the caller left them, and ends with a jump. The compiler adds no code to a function
//! without arguments and variables whose only statement is a block that does not return. If it did,
//! the tests would fail: the child of a clone would crash. `#[naked]` can replace this once the
//! toolchain has it.

use crate::interpose::is_ours;
use crate::next::{Next, DLMOPEN, DLOPEN};
use crate::notice;
use core::ffi::CStr;
use libc::{c_char, c_int, c_long};

#[cfg_attr(target_arch = "aarch64", path = "trampolines/aarch64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "trampolines/x86_64.rs")]
mod machine;

const WORDS: usize = 8;

/// A bit set with the numbers of the system calls that [`crate::interpose::call`] handles.
static OURS: [u64; WORDS] = ours();

const fn ours() -> [u64; WORDS] {
    let mut bits = [0; WORDS];
    let mut number = 0;
    while number < WORDS * 64 {
        if is_ours(number as c_long) {
            bits[number / 64] |= 1 << (number % 64);
        }
        number += 1;
    }
    bits
}

/// Reports a library whose calls will not be carried, and returns the address to continue at.
extern "C" fn look_at_dlopen(file: *const c_char, flags: c_int) -> *const () {
    if flags & libc::RTLD_DEEPBIND != 0 && !file.is_null() {
        // SAFETY: the loader will read the same name.
        notice::deep_binding(unsafe { CStr::from_ptr(file) }.to_bytes());
    }
    go_on(&DLOPEN)
}

/// Reports a library whose calls will not be carried, and returns the address to continue at.
extern "C" fn look_at_dlmopen(space: libc::c_long, file: *const c_char) -> *const () {
    const BASE: c_long = 0;
    if space != BASE && !file.is_null() {
        // SAFETY: the loader will read the same name.
        notice::other_namespace(unsafe { CStr::from_ptr(file) }.to_bytes());
    }
    go_on(&DLMOPEN)
}

fn go_on(next: &Next) -> *const () {
    crate::ready();
    next.get().cast()
}
