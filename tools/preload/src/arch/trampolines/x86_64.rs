// SPDX-License-Identifier: MIT OR Apache-2.0
//! x86-64.

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
    // SAFETY: all arguments and the stack are as at the beginning at each jump out of here, and the
    // last part is what the C library does: the arguments one place further on, the system call,
    // errno by a function that is called with the stack as it was. The registers that are changed
    // are those that a function may change.
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
/// As for the real one.
#[no_mangle]
pub unsafe extern "C" fn dlopen() {
    // SAFETY: the three arguments are kept on the stack, below which nothing is, over a call for
    // which the stack is aligned; then all is as at the beginning.
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
/// As for the real one.
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
