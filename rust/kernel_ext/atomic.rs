// SPDX-License-Identifier: GPL-2.0

//! Atomic variables, inline.
//!
//! C header: [`include/linux/atomic.h`](srctree/include/linux/atomic.h)
//!
//! The operations of `kernel::sync::atomic` are C functions. A module calls one even for a relaxed
//! load: some six instructions instead of one. Here are the operations that the module needs, as
//! the kernel's own macros expand on x86-64 and arm64, with the names of the kernel crate. On other
//! architectures they *are* the kernel crate's.
//!
//! # The memory model
//!
//! It is the kernel's (`tools/memory-model`), not that of `core::sync::atomic`; the two must not be
//! mixed. `READ_ONCE()` and `WRITE_ONCE()`, here the relaxed loads and stores, are volatile
//! accesses on both architectures (with LTO arm64 has stronger ones; a kernel with LTO must not be
//! used). The architectures' files have the other operations, and argue that they follow the model.
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::atomic::{
//!     ordering::{Acquire, Relaxed, Release},
//!     Atomic,
//! };
//!
//! struct Mailbox {
//!     message: Atomic<u64>,
//!     is_full: Atomic<bool>,
//! }
//!
//! impl Mailbox {
//!     fn put(&self, message: u64) {
//!         self.message.store(message, Relaxed);
//!         self.is_full.store(true, Release);
//!     }
//!
//!     fn get(&self) -> Option<u64> {
//!         self.is_full.load(Acquire).then(|| self.message.load(Relaxed))
//!     }
//! }
//! ```

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
