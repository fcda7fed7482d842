// SPDX-License-Identifier: MIT OR Apache-2.0
//! arm64.

use super::{look_at_dlmopen, look_at_dlopen, OURS, WORDS};
use crate::interpose::call;
use crate::next::SYSCALL;
use crate::raw;
use core::arch::asm;

/// `syscall(2)`: [`call`] handles the calls that are ours. All others go to the next definition; if
/// a constructor calls before that is known, they are made here.
///
/// # Safety
///
/// As for the real one.
#[no_mangle]
pub unsafe extern "C" fn syscall() {
    // SAFETY: all arguments, the stack and the link register are as at the beginning at each jump
    // out of here, and the last part is what the C library does: the arguments one place further
    // on, the system call, errno by a function that returns to our caller. The registers that are
    // changed are those that a function may change.
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
/// As for the real one.
#[no_mangle]
pub unsafe extern "C" fn dlopen() {
    // SAFETY: the three arguments, the frame and the link register are kept on the stack over a call,
    // for which the stack is aligned; then all is as at the beginning.
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
/// As for the real one.
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
