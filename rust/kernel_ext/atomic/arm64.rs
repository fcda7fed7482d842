// SPDX-License-Identifier: GPL-2.0

//! Atomic instructions of arm64.
//!
//! C headers: [`arch/arm64/include/asm/barrier.h`](srctree/arch/arm64/include/asm/barrier.h),
//! [`atomic_ll_sc.h`](srctree/arch/arm64/include/asm/atomic_ll_sc.h),
//! [`atomic_lse.h`](srctree/arch/arm64/include/asm/atomic_lse.h),
//! [`cmpxchg.h`](srctree/arch/arm64/include/asm/cmpxchg.h)
//!
//! - `smp_load_acquire()` is `ldar`, `smp_store_release()` is `stlr`;
//! - `smp_mb()` is `dmb ish`, `smp_wmb()` is `dmb ishst`;
//! - a read-modify-write is one instruction where all CPUs have the Large System Extensions: `swp`,
//!   `cas`, `ldadd`. The fully ordered forms are those with acquire and release (`al`). Elsewhere
//!   it is a loop of `ldxr` and `stxr`. The fully ordered form has `stlxr`, and a `dmb ish` after
//!   the loop: the release orders earlier accesses before the store, the barrier orders all of them
//!   before later accesses. (With `ldaxr` and `stlxr` alone, as for C11's sequential consistency,
//!   accesses before and after the loop could be reordered.)
//!
//! The machine decides between the two. As in the kernel itself, the code has a branch to the loop,
//! which is replaced by a `nop` when the module is loaded on a machine with the extensions: see
//! [`lse_or_loop`].

use super::inline::Word;
use crate::kernel_ext::bindings as ext;
use core::arch::asm;
use kernel::sync::atomic::ordering::Full;

/// A full memory barrier.
#[inline(always)]
pub(crate) fn smp_mb(_: Full) {
    // SAFETY: Only a barrier.
    unsafe { asm!("dmb ish", options(nostack, preserves_flags)) };
}

/// A write barrier: stores before it come before stores after it.
#[inline(always)]
pub(crate) fn smp_wmb() {
    // SAFETY: Only a barrier.
    unsafe { asm!("dmb ishst", options(nostack, preserves_flags)) };
}

/// The text of an `asm!` block that is the instruction `$lse` on CPUs with the extensions, else the
/// instructions `$loop`, which begin at the label 4. They have the operands `at`, the address,
/// `failed`, for the result of the exclusive store, and `cap`, the number of the extensions.
///
/// It is the kernel's `ALTERNATIVE()`, on the branch: 661 to 662 is the code to replace, 663 to 664
/// the replacement, and an entry of `.altinstructions`, a `struct alt_instr`, describes both. The
/// kernel patches a module by these before any of its code runs. The loop is out of line, behind
/// the function.
macro_rules! lse_or_loop {
    ([$($lse:expr),*], [$([$($loop:expr),*],)*]) => {
        concat!(
            "661: b 2f\n",
            "662:\n",
            ".pushsection .altinstructions, \"a\"\n",
            ".word 661b - .\n",
            ".word 663f - .\n",
            ".hword {cap}\n",
            ".byte 662b - 661b\n",
            ".byte 664f - 663f\n",
            ".popsection\n",
            ".subsection 1\n",
            "663: nop\n",
            "664:\n",
            "2: prfm pstl1strm, [{at}]\n",
            "4:\n",
            $($($loop,)* "\n",)*
            "b 3f\n",
            ".previous\n",
            ".arch_extension lse\n",
            $($lse,)* "\n",
            "3:\n",
        )
    };
}

/// The body of [`Word::xchg`]. `$b` is the size of the instructions, `$r` of the registers.
macro_rules! xchg {
    ($b:literal, $r:literal, $at:expr, $new:expr) => {{
        let old: u64;
        asm!(
            lse_or_loop!(["swpal", $b, " {new:", $r, "}, {old:", $r, "}, [{at}]"], [
                ["ldxr", $b, " {old:", $r, "}, [{at}]"],
                ["stlxr", $b, " {failed:w}, {new:", $r, "}, [{at}]"],
                ["cbnz {failed:w}, 4b"],
                ["dmb ish"],
            ]),
            at = in(reg) $at,
            new = in(reg) u64::from($new),
            old = out(reg) old,
            failed = out(reg) _,
            cap = const ext::HAS_LSE_ATOMICS,
            options(nostack, preserves_flags)
        );
        old as Self
    }};
}

/// The body of [`Word::cmpxchg`]: fully ordered with "al", "l", "dmb ish"; not at all with "".
macro_rules! cmpxchg {
    ($al:literal, $l:literal, $dmb:literal, $b:literal, $r:literal, $at:expr, $old:expr, $new:expr) => {{
        let found: u64;
        asm!(
            lse_or_loop!(["cas", $al, $b, " {found:", $r, "}, {new:", $r, "}, [{at}]"], [
                ["ldxr", $b, " {there:", $r, "}, [{at}]"],
                ["eor {failed:", $r, "}, {there:", $r, "}, {found:", $r, "}"],
                ["cbnz {failed:", $r, "}, 5f"],
                ["st", $l, "xr", $b, " {failed:w}, {new:", $r, "}, [{at}]"],
                ["cbnz {failed:w}, 4b"],
                [$dmb],
                ["5: mov {found:", $r, "}, {there:", $r, "}"],
            ]),
            at = in(reg) $at,
            // Wider than a byte, so that the registers hold nothing else.
            found = inout(reg) u64::from($old) => found,
            new = in(reg) u64::from($new),
            there = out(reg) _,
            failed = out(reg) _,
            cap = const ext::HAS_LSE_ATOMICS,
            options(nostack, preserves_flags)
        );
        found as Self
    }};
}

/// The body of [`Word::fetch_add`], as of [`cmpxchg`].
macro_rules! fetch_add {
    ($al:literal, $l:literal, $dmb:literal, $b:literal, $r:literal, $at:expr, $n:expr) => {{
        let old: u64;
        asm!(
            lse_or_loop!(["ldadd", $al, $b, " {n:", $r, "}, {old:", $r, "}, [{at}]"], [
                ["ldxr", $b, " {old:", $r, "}, [{at}]"],
                ["add {sum:", $r, "}, {old:", $r, "}, {n:", $r, "}"],
                ["st", $l, "xr", $b, " {failed:w}, {sum:", $r, "}, [{at}]"],
                ["cbnz {failed:w}, 4b"],
                [$dmb],
            ]),
            at = in(reg) $at,
            n = in(reg) u64::from($n),
            old = out(reg) old,
            sum = out(reg) _,
            failed = out(reg) _,
            cap = const ext::HAS_LSE_ATOMICS,
            options(nostack, preserves_flags)
        );
        old as Self
    }};
}

macro_rules! impl_word {
    ($($word:ty, $b:literal, $r:literal;)*) => {$(
        // SAFETY: The instructions are those of the word's size. The loops have no other access
        // between the exclusive load and store. An `asm!` block is a compiler barrier by default.
        unsafe impl Word for $word {
            #[inline(always)]
            unsafe fn load_acquire(at: *mut Self) -> Self {
                let value: u64;
                // SAFETY: By the function's contract.
                unsafe {
                    asm!(concat!("ldar", $b, " {value:", $r, "}, [{at}]"), at = in(reg) at,
                        value = lateout(reg) value, options(nostack, preserves_flags));
                }
                value as Self
            }

            #[inline(always)]
            unsafe fn store_release(at: *mut Self, value: Self) {
                // SAFETY: By the function's contract.
                unsafe {
                    asm!(concat!("stlr", $b, " {value:", $r, "}, [{at}]"), at = in(reg) at,
                        value = in(reg) u64::from(value), options(nostack, preserves_flags));
                }
            }

            #[inline(always)]
            unsafe fn xchg(at: *mut Self, new: Self) -> Self {
                // SAFETY: By the function's contract.
                unsafe { xchg!($b, $r, at, new) }
            }

            #[inline(always)]
            unsafe fn cmpxchg(at: *mut Self, old: Self, new: Self, full: bool) -> Self {
                // SAFETY: By the function's contract.
                unsafe {
                    if full {
                        cmpxchg!("al", "l", "dmb ish", $b, $r, at, old, new)
                    } else {
                        cmpxchg!("", "", "", $b, $r, at, old, new)
                    }
                }
            }

            #[inline(always)]
            unsafe fn fetch_add(at: *mut Self, n: Self, full: bool) -> Self {
                // SAFETY: By the function's contract.
                unsafe {
                    if full {
                        fetch_add!("al", "l", "dmb ish", $b, $r, at, n)
                    } else {
                        fetch_add!("", "", "", $b, $r, at, n)
                    }
                }
            }
        }
    )*};
}

impl_word! {
    u8, "b", "w";
    u32, "", "w";
    u64, "", "x";
}
