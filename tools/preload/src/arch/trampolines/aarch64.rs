// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions for arm64.

use super::{look_at_dlmopen, look_at_dlopen, OURS, WORDS};
use crate::interpose::call;
use crate::next::SYSCALL;
use crate::raw;
use core::arch::asm;

/// `syscall(2)`. [`call`] handles the numbers of `OURS`; all others go to the next definition. If a
/// constructor calls before that is known, the system call is made here.
///
/// # Safety
///
/// As for the real function.
#[no_mangle]
pub unsafe extern "C" fn syscall() {
    // SAFETY: at each jump out of this block, all arguments, the stack and the link register are as
    // at its beginning. The last part does what the C library does: it moves the arguments by one
    // register, makes the system call, and sets errno in a function that returns to our caller. It
    // changes only registers that a function may change.
    unsafe {
        asm!(
            "cmp x0, #{most}",
            "b.hs 2f",
            "adrp x9, {ours}",
            "add x9, x9, :lo12:{ours}",
            "lsr x10, x0, #6",
            "ldr x10, [x9, x10, lsl #3]",
            "lsr x10, x10, x0",
            "tbnz x10, #0, 4f",
            "2:",
            "adrp x16, {next}",
            "ldr x16, [x16, :lo12:{next}]",
            "cbz x16, 3f",
            "br x16",
            "3:",
            "mov x8, x0",
            "mov x0, x1",
            "mov x1, x2",
            "mov x2, x3",
            "mov x3, x4",
            "mov x4, x5",
            "mov x5, x6",
            "svc #0",
            "cmn x0, #4095",
            "b.hs 5f",
            "ret",
            "4:",
            "b {call}",
            "5:",
            "b {with_errno}",
            most = const WORDS * 64,
            ours = sym OURS,
            next = sym SYSCALL,
            call = sym call,
            with_errno = sym raw::with_errno,
            options(noreturn, nostack),
        )
    }
}

/// `dlopen(3)`.
///
/// # Safety
///
/// As for the real function.
#[no_mangle]
pub unsafe extern "C" fn dlopen() {
    // SAFETY: the block saves the three arguments, the frame and the link register on the stack
    // during a call, for which the stack is aligned, and then restores them.
    unsafe {
        asm!(
            "stp x29, x30, [sp, #-48]!",
            "stp x0, x1, [sp, #16]",
            "str x2, [sp, #32]",
            "bl {look}",
            "mov x16, x0",
            "ldp x0, x1, [sp, #16]",
            "ldr x2, [sp, #32]",
            "ldp x29, x30, [sp], #48",
            "br x16",
            look = sym look_at_dlopen,
            options(noreturn, nostack),
        )
    }
}

/// `dlmopen(3)`.
///
/// # Safety
///
/// As for the real function.
#[no_mangle]
pub unsafe extern "C" fn dlmopen() {
    // SAFETY: as in `dlopen`.
    unsafe {
        asm!(
            "stp x29, x30, [sp, #-48]!",
            "stp x0, x1, [sp, #16]",
            "str x2, [sp, #32]",
            "bl {look}",
            "mov x16, x0",
            "ldp x0, x1, [sp, #16]",
            "ldr x2, [sp, #32]",
            "ldp x29, x30, [sp], #48",
            "br x16",
            look = sym look_at_dlmopen,
            options(noreturn, nostack),
        )
    }
}
