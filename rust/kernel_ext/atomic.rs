// SPDX-License-Identifier: GPL-2.0

//! Atomic variables, inline.
//!
//! C header: [`include/linux/atomic.h`](srctree/include/linux/atomic.h)
//!
//! `kernel::sync::atomic` is made of C functions, which a module calls one by one, even for a relaxed
//! load: some six instructions instead of one, and most of what an event would cost. Here are the
//! operations that the module needs, as the kernel's own macros expand to on x86-64 and arm64, behind
//! the names of the kernel crate. Elsewhere they *are* the kernel crate's.
//!
//! # The memory model
//!
//! It is the kernel's (`tools/memory-model`), not that of `core::sync::atomic`, which does not mix
//! with it. `READ_ONCE()` and `WRITE_ONCE()`, here the relaxed loads and stores, are volatile accesses
//! on both architectures (with LTO arm64 has stronger ones; the module refuses such a kernel). The
//! other operations, and why they are what the model asks for, are in the architectures' files.

#[cfg(CONFIG_ARM64)]
#[path = "atomic/arm64.rs"]
mod arch;
#[cfg(CONFIG_X86_64)]
#[path = "atomic/x86.rs"]
mod arch;
#[cfg(any(CONFIG_ARM64, CONFIG_X86_64))]
mod inline;

#[cfg(any(CONFIG_ARM64, CONFIG_X86_64))]
pub(crate) use self::{
    arch::{
        smp_mb,
        smp_wmb, //
    },
    inline::Atomic,
};

#[cfg(not(any(CONFIG_ARM64, CONFIG_X86_64)))]
pub(crate) use self::called::{
    smp_mb,
    smp_wmb,
    Atomic, //
};

pub(crate) use kernel::sync::atomic::ordering;

#[cfg(not(any(CONFIG_ARM64, CONFIG_X86_64)))]
mod called {
    pub(crate) use kernel::sync::atomic::Atomic;
    use kernel::{
        bindings,
        sync::atomic::ordering::Full, //
    };

    /// A full memory barrier.
    pub(crate) fn smp_mb(_: Full) {
        // SAFETY: Can be called in any context.
        unsafe { bindings::smp_mb() };
    }

    /// A write barrier: stores before it come before stores after it.
    pub(crate) fn smp_wmb() {
        // SAFETY: Can be called in any context.
        unsafe { bindings::smp_wmb() };
    }
}
