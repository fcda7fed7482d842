// SPDX-License-Identifier: GPL-2.0

//! Atomic variables, inline.
//!
//! C header: [`include/linux/atomic.h`](srctree/include/linux/atomic.h)
//!
//! `kernel::sync::atomic` is made of C functions, which a module calls one by one, even for a relaxed
//! load: some six instructions instead of one, and most of what an event would cost. Here are the
//! operations that the module needs, as the kernel's own macros expand to on x86-64, behind the
//! names of the kernel crate. Elsewhere they *are* the kernel crate's.
//!
//! # The memory model
//!
//! It is the kernel's (`tools/memory-model`), not that of `core::sync::atomic`, which does not mix
//! with it. On x86-64:
//!
//! - `READ_ONCE()`, `WRITE_ONCE()` are volatile accesses. `smp_load_acquire()` and
//!   `smp_store_release()` are those and a compiler barrier after or before, since the processor
//!   reorders neither loads with later accesses, nor stores with earlier ones;
//! - `xchg()` and a `cmpxchg()` that succeeds are locked instructions, hence full barriers, whatever
//!   the ordering that was asked for; an `asm!` block is a compiler barrier by default;
//! - `smp_mb()` is a locked addition of 0 to the stack; `smp_wmb()` is a compiler barrier, since the
//!   processor does not reorder stores.

#[cfg(not(CONFIG_X86_64))]
pub(crate) use self::called::{
    smp_mb,
    smp_wmb,
    Atomic, //
};

#[cfg(CONFIG_X86_64)]
pub(crate) use self::x86::{
    smp_mb,
    smp_wmb,
    Atomic, //
};

pub(crate) use kernel::sync::atomic::ordering;

#[cfg(not(CONFIG_X86_64))]
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

#[cfg(CONFIG_X86_64)]
mod x86 {
    use core::{
        arch::asm,
        cell::UnsafeCell, //
    };
    use kernel::sync::atomic::ordering::{
        AcquireOrRelaxed,
        Full,
        Ordering,
        ReleaseOrRelaxed, //
    };

    fn compiler_barrier() {
        // SAFETY: No instruction; as far as the compiler knows it accesses any memory.
        unsafe { asm!("", options(nostack, preserves_flags)) };
    }

    /// A full memory barrier.
    #[inline(always)]
    pub(crate) fn smp_mb(_: Full) {
        // SAFETY: Adds nothing to a word below the stack's end, which nobody uses: as the kernel's
        // own, which is built without a red zone.
        unsafe { asm!("lock add dword ptr [rsp - 4], 0", options(nostack)) };
    }

    /// A write barrier: stores before it come before stores after it.
    #[inline(always)]
    pub(crate) fn smp_wmb() {
        compiler_barrier();
    }

    /// The words that the instructions below work on.
    ///
    /// # Safety
    ///
    /// Each function must be one locked instruction on all bytes of the word.
    pub(crate) unsafe trait Word: Copy + Eq {
        /// Stores `new`, and returns what was there.
        ///
        /// # Safety
        ///
        /// `at` is valid, and accessed atomically by others.
        unsafe fn xchg(at: *mut Self, new: Self) -> Self;

        /// Stores `new` if there is `old`, and returns what was there.
        ///
        /// # Safety
        ///
        /// As [`Word::xchg`].
        unsafe fn cmpxchg(at: *mut Self, old: Self, new: Self) -> Self;

        /// Adds `n`, wrapping, and returns what was there.
        ///
        /// # Safety
        ///
        /// As [`Word::xchg`].
        unsafe fn xadd(at: *mut Self, n: Self) -> Self;
    }

    macro_rules! impl_word {
        ($($word:ty, $class:ident, $operand:literal, $a:tt;)*) => {$(
            // SAFETY: The operand's name says its size. `xchg` with memory locks by itself.
            unsafe impl Word for $word {
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
                unsafe fn cmpxchg(at: *mut Self, mut old: Self, new: Self) -> Self {
                    // SAFETY: By the function's contract.
                    unsafe {
                        asm!(concat!("lock cmpxchg [{}], ", $operand), in(reg) at, in($class) new,
                            inout($a) old, options(nostack));
                    }
                    old
                }

                #[inline(always)]
                unsafe fn xadd(at: *mut Self, mut n: Self) -> Self {
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

    /// What can be in an [`Atomic`].
    ///
    /// # Safety
    ///
    /// It has the size and the alignment of its `Word`. `from_word` gives back what `to_word` was given.
    pub(crate) unsafe trait Value: Copy {
        type Word: Word;
        fn to_word(self) -> Self::Word;
        fn from_word(word: Self::Word) -> Self;
    }

    macro_rules! impl_value {
        ($([$($generic:tt)*] $type:ty, $word:ty, |$to:ident| $as_word:expr, |$from:ident| $value:expr;)*) => {$(
            // SAFETY: As stated; an address and its pointer are taken for the same.
            unsafe impl<$($generic)*> Value for $type {
                type Word = $word;
                #[inline(always)]
                fn to_word(self) -> $word {
                    let $to = self;
                    $as_word
                }
                #[inline(always)]
                fn from_word($from: $word) -> Self {
                    $value
                }
            }
        )*};
    }

    impl_value! {
        [] bool, u8, |value| value.into(), |word| word != 0;
        [] u32, u32, |value| value, |word| word;
        [] u64, u64, |value| value, |word| word;
        [] i64, u64, |value| value as u64, |word| word as i64;
        [] usize, u64, |value| value as u64, |word| word as usize;
        [T] *mut T, u64, |value| value as u64, |word| word as *mut T;
    }

    /// A variable that is shared without a lock.
    ///
    /// # Invariants
    ///
    /// While it is shared, it is accessed by volatile loads and stores of the whole, and by locked
    /// instructions.
    #[repr(transparent)]
    pub(crate) struct Atomic<T: Value>(UnsafeCell<T>);

    // SAFETY: All access is atomic, by the type's invariants. A pointer is a value here: to follow it
    // is unsafe, and needs an argument of its own.
    unsafe impl<T: Value> Send for Atomic<T> {}
    // SAFETY: As above.
    unsafe impl<T: Value> Sync for Atomic<T> {}

    impl<T: Value> Atomic<T> {
        /// A variable that is `value`.
        #[inline(always)]
        pub(crate) const fn new(value: T) -> Self {
            Self(UnsafeCell::new(value))
        }

        /// For atomic accesses by C.
        #[inline(always)]
        pub(crate) const fn as_ptr(&self) -> *mut T {
            self.0.get()
        }

        fn word(&self) -> *mut T::Word {
            self.0.get().cast()
        }

        #[inline(always)]
        pub(crate) fn load<O: AcquireOrRelaxed>(&self, _: O) -> T {
            // SAFETY: Valid; the access is volatile, of an aligned word.
            let value = unsafe { self.0.get().read_volatile() };
            compiler_barrier();
            value
        }

        #[inline(always)]
        pub(crate) fn store<O: ReleaseOrRelaxed>(&self, value: T, _: O) {
            compiler_barrier();
            // SAFETY: Valid; the access is volatile, of an aligned word.
            unsafe { self.0.get().write_volatile(value) };
        }

        /// Stores `new`, and returns what was there.
        #[inline(always)]
        pub(crate) fn xchg<O: Ordering>(&self, new: T, _: O) -> T {
            // SAFETY: Valid, by the type's invariants accessed atomically, and of the word's layout.
            T::from_word(unsafe { T::Word::xchg(self.word(), new.to_word()) })
        }

        /// Stores `new` if there is `old`. Returns what was there, as an error if it was not `old`.
        #[inline(always)]
        pub(crate) fn cmpxchg<O: Ordering>(&self, old: T, new: T, _: O) -> Result<T, T> {
            let old = old.to_word();
            // SAFETY: As in `xchg`.
            let found = unsafe { T::Word::cmpxchg(self.word(), old, new.to_word()) };
            if found == old {
                Ok(T::from_word(found))
            } else {
                Err(T::from_word(found))
            }
        }
    }

    impl<T: Value<Word = T> + Word> Atomic<T> {
        /// Adds `n`, wrapping, and returns what was there.
        #[inline(always)]
        pub(crate) fn fetch_add<O: Ordering>(&self, n: T, _: O) -> T {
            // SAFETY: As in `xchg`.
            unsafe { T::xadd(self.word(), n) }
        }
    }
}
