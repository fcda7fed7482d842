// SPDX-License-Identifier: GPL-2.0

//! Atomic instructions of x86-64.
//!
//! C headers: [`arch/x86/include/asm/barrier.h`](srctree/arch/x86/include/asm/barrier.h),
//! [`cmpxchg.h`](srctree/arch/x86/include/asm/cmpxchg.h)
//!
//! - `smp_load_acquire()` and `smp_store_release()` are volatile accesses, and a compiler barrier
//!   after or before, since the processor reorders neither loads with later accesses, nor stores
//!   with earlier ones;
//! - `xchg()` and a `cmpxchg()` that succeeds are locked instructions, hence full barriers,
//!   whatever the requested ordering;
//! - `smp_mb()` is a locked addition of 0 to the stack; `smp_wmb()` is a compiler barrier, since
//!   the processor does not reorder stores.

use super::inline::{
    compiler_barrier,
    Word, //
};
use core::arch::asm;
use kernel::sync::atomic::ordering::Full;

/// A full memory barrier.
#[inline(always)]
pub(crate) fn smp_mb(_: Full) {
    // SAFETY: Adds 0 to a word below the stack's end, which is unused without a red zone. As the
    // kernel's own smp_mb().
    unsafe { asm!("lock add dword ptr [rsp - 4], 0", options(nostack)) };
}

/// A write barrier: stores before it come before stores after it.
#[inline(always)]
pub(crate) fn smp_wmb() {
    compiler_barrier();
}

macro_rules! impl_word {
    ($($word:ty, $class:ident, $operand:literal, $a:tt;)*) => {$(
        // SAFETY: The operand's name determines its size. `xchg` with memory locks by itself. An
        // `asm!` block is a compiler barrier by default.
        unsafe impl Word for $word {
            #[inline(always)]
            unsafe fn load_acquire(at: *mut Self) -> Self {
                // SAFETY: By the function's contract.
                let value = unsafe { at.read_volatile() };
                compiler_barrier();
                value
            }

            #[inline(always)]
            unsafe fn store_release(at: *mut Self, value: Self) {
                compiler_barrier();
                // SAFETY: By the function's contract.
                unsafe { at.write_volatile(value) };
            }

            #[inline(always)]
            unsafe fn xchg(at: *mut Self, mut new: Self) -> Self {
                // SAFETY: By the function's contract.
                unsafe {
                    asm!(concat!("xchg [{}], ", $operand), in(reg) at, inout($class) new,
                        options(nostack, preserves_flags));
                }
                new
            }

            #[inline(always)]
            unsafe fn cmpxchg(at: *mut Self, mut old: Self, new: Self, _: bool) -> Self {
                // SAFETY: By the function's contract.
                unsafe {
                    asm!(concat!("lock cmpxchg [{}], ", $operand), in(reg) at, in($class) new,
                        inout($a) old, options(nostack));
                }
                old
            }

            #[inline(always)]
            unsafe fn fetch_add(at: *mut Self, mut n: Self, _: bool) -> Self {
                // SAFETY: By the function's contract.
                unsafe {
                    asm!(concat!("lock xadd [{}], ", $operand), in(reg) at, inout($class) n,
                        options(nostack));
                }
                n
            }
        }
    )*};
}

impl_word! {
    u8, reg_byte, "{}", "al";
    u32, reg, "{:e}", "eax";
    u64, reg, "{}", "rax";
}
