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

use crate::interpose::{call, is_ours};
use crate::next::{Next, DLMOPEN, DLOPEN, SYSCALL};
use crate::{notice, raw};
use core::arch::asm;
use core::ffi::CStr;
use libc::{c_char, c_int, c_long};

const WORDS: usize = 8;

/// A bit for each system call that [`call`] handles.
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
