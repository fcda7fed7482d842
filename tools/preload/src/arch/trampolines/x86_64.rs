// SPDX-License-Identifier: MIT OR Apache-2.0
//! The functions for x86-64.

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
    // SAFETY: at each jump out of this block, all arguments and the stack are as at its beginning.
    // The last part does what the C library does: it moves the arguments by one register, makes the
    // system call, and sets errno in a function that it calls with the original stack. It changes
    // only registers that a function may change.
    unsafe {
        asm!(
            "cmp rdi, {most}",
            "jae 2f",
            "lea r11, [rip + {ours}]",
            "bt qword ptr [r11], rdi",
            "jc 4f",
            "2:",
            "mov r11, qword ptr [rip + {next}]",
            "test r11, r11",
            "jz 3f",
            "jmp r11",
            "3:",
            "mov rax, rdi",
            "mov rdi, rsi",
            "mov rsi, rdx",
            "mov rdx, rcx",
            "mov r10, r8",
            "mov r8, r9",
            "mov r9, qword ptr [rsp + 8]",
            "syscall",
            "cmp rax, -4095",
            "jae 5f",
            "ret",
            "4:",
            "jmp {call}",
            "5:",
            "mov rdi, rax",
            "jmp {with_errno}",
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
    // SAFETY: the block saves the three arguments on the stack during a call, for which the stack
    // is aligned, and then restores them. Nothing is below the stack pointer.
    unsafe {
        asm!(
            "push rdi",
            "push rsi",
            "push rdx",
            "call {look}",
            "pop rdx",
            "pop rsi",
            "pop rdi",
            "jmp rax",
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
            "push rdi",
            "push rsi",
            "push rdx",
            "call {look}",
            "pop rdx",
            "pop rsi",
            "pop rdi",
            "jmp rax",
            look = sym look_at_dlmopen,
            options(noreturn, nostack),
        )
    }
}
