// SPDX-License-Identifier: MIT OR Apache-2.0
//! Functions that continue in those of the C library, as if the program had called these directly.
//!
//! * `syscall`: a child that `SYS_clone` makes with a stack of its own returns to what is on top of
//!   that stack, so no frame of ours may be there.
//! * `dlopen` and `dlmopen`: they look at the address that they return to, for the caller's library
//!   path and name space.
//!
//! So each of these functions is one block of assembler that begins with the registers and the
//! stack as the caller has left them, and leaves by a jump. The compiler adds nothing to a function
//! without arguments and variables whose only statement is a block that does not return; the tests
//! would fail (the child of a clone crashes). `#[naked]` can replace this once the toolchain has
//! it.

use crate::interpose::is_ours;
use crate::next::{Next, DLMOPEN, DLOPEN};
use crate::notice;
use core::ffi::CStr;
use libc::{c_char, c_int, c_long};

#[cfg_attr(target_arch = "aarch64", path = "trampolines/aarch64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "trampolines/x86_64.rs")]
mod machine;

const WORDS: usize = 8;

/// A bit for each system call that [`crate::interpose::call`] handles.
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

/// Says what will not be carried, and returns where to go on.
extern "C" fn look_at_dlopen(file: *const c_char, flags: c_int) -> *const () {
    if flags & libc::RTLD_DEEPBIND != 0 && !file.is_null() {
        // SAFETY: it is the name that the loader is going to read.
        notice::deep_binding(unsafe { CStr::from_ptr(file) }.to_bytes());
    }
    go_on(&DLOPEN)
}

/// Says what will not be carried, and returns where to go on.
extern "C" fn look_at_dlmopen(space: libc::c_long, file: *const c_char) -> *const () {
    const BASE: c_long = 0;
    if space != BASE && !file.is_null() {
        // SAFETY: it is the name that the loader is going to read.
        notice::other_namespace(unsafe { CStr::from_ptr(file) }.to_bytes());
    }
    go_on(&DLMOPEN)
}

fn go_on(next: &Next) -> *const () {
    crate::ready();
    next.get().cast()
}
