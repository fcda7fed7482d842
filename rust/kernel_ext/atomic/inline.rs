// SPDX-License-Identifier: GPL-2.0

//! [`Atomic`], by the instructions of [`arch`](super::arch).

use core::{
    arch::asm,
    cell::UnsafeCell, //
};
use kernel::sync::atomic::ordering::{
    AcquireOrRelaxed,
    Ordering,
    OrderingType,
    ReleaseOrRelaxed, //
};

/// The compiler moves no loads and stores across it.
#[inline(always)]
pub(super) fn compiler_barrier() {
    // SAFETY: No instruction. The compiler must assume that it accesses any memory.
    unsafe { asm!("", options(nostack, preserves_flags)) };
}

/// Whether an operation with the ordering `O` is a full barrier. All orderings but relaxed are:
/// acquire and release alone are not worth a third form.
#[inline(always)]
const fn is_full<O: Ordering>() -> bool {
    !matches!(O::TYPE, OrderingType::Relaxed)
}

/// A word that the architecture's instructions operate on.
///
/// # Safety
///
/// Each function must access all bytes of the word as one, atomically. The compiler must not move
/// other accesses across it.
pub(crate) unsafe trait Word: Copy + Eq {
    /// Loads, before all later accesses.
    ///
    /// # Safety
    ///
    /// `at` is valid, aligned, and accessed atomically by others.
    unsafe fn load_acquire(at: *mut Self) -> Self;

    /// Stores `value`, after all earlier accesses.
    ///
    /// # Safety
    ///
    /// As [`Word::load_acquire`].
    unsafe fn store_release(at: *mut Self, value: Self);

    /// Stores `new`, and returns the old value; a full barrier.
    ///
    /// # Safety
    ///
    /// As [`Word::load_acquire`].
    unsafe fn xchg(at: *mut Self, new: Self) -> Self;

    /// Stores `new` if the old value is `old`, and returns the old value. If it stores, and `full`,
    /// a full barrier.
    ///
    /// # Safety
    ///
    /// As [`Word::load_acquire`].
    unsafe fn cmpxchg(at: *mut Self, old: Self, new: Self, full: bool) -> Self;

    /// Adds `n`, wrapping, and returns the old value. If `full`, a full barrier.
    ///
    /// # Safety
    ///
    /// As [`Word::load_acquire`].
    unsafe fn fetch_add(at: *mut Self, n: Self, full: bool) -> Self;
}

/// A type of values that an [`Atomic`] can hold.
///
/// # Safety
///
/// `from_word` returns a valid value for each result of `to_word`, and for each pattern of bits
/// that a value has in memory. ([`Atomic::new`] checks that the type has the size and the alignment
/// of its `Word`.)
pub(crate) unsafe trait Value: Copy {
    type Word: Word;
    fn to_word(self) -> Self::Word;
    fn from_word(word: Self::Word) -> Self;
}

macro_rules! impl_value {
    ($([$($generic:tt)*] $type:ty, $word:ty, |$to:ident| $as_word:expr, |$from:ident| $value:expr;)*) => {$(
        // SAFETY: The conversions are inverse to each other; a pointer and its address are
        // equivalent here.
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
/// While it is shared, it is accessed by volatile loads and stores of the whole, and by the
/// functions of its [`Word`].
#[repr(transparent)]
pub(crate) struct Atomic<T: Value>(UnsafeCell<T>);

// SAFETY: All accesses are atomic, by the type's invariants. A pointer is a plain value here: to
// dereference it is unsafe, and needs an argument of its own.
unsafe impl<T: Value> Send for Atomic<T> {}
// SAFETY: As above.
unsafe impl<T: Value> Sync for Atomic<T> {}

impl<T: Value> Atomic<T> {
    /// A variable with the value `value`.
    #[inline(always)]
    pub(crate) const fn new(value: T) -> Self {
        const {
            assert!(size_of::<T>() == size_of::<T::Word>());
            assert!(align_of::<T>() == align_of::<T::Word>());
        }
        Self(UnsafeCell::new(value))
    }

    /// For atomic accesses by C.
    #[inline(always)]
    pub(crate) const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }

    #[inline(always)]
    fn word(&self) -> *mut T::Word {
        self.0.get().cast()
    }

    #[inline(always)]
    pub(crate) fn load<O: AcquireOrRelaxed>(&self, _: O) -> T {
        let value = match O::TYPE {
            // SAFETY: Valid; the access is volatile, of an aligned word.
            OrderingType::Relaxed => unsafe { self.0.get().read_volatile() },
            // SAFETY: As in `xchg`.
            _ => T::from_word(unsafe { T::Word::load_acquire(self.word()) }),
        };
        compiler_barrier();
        value
    }

    #[inline(always)]
    pub(crate) fn store<O: ReleaseOrRelaxed>(&self, value: T, _: O) {
        compiler_barrier();
        match O::TYPE {
            // SAFETY: Valid; the access is volatile, of an aligned word.
            OrderingType::Relaxed => unsafe { self.0.get().write_volatile(value) },
            // SAFETY: As in `xchg`.
            _ => unsafe { T::Word::store_release(self.word(), value.to_word()) },
        }
    }

    /// Stores `new`, and returns the old value.
    #[inline(always)]
    pub(crate) fn xchg<O: Ordering>(&self, new: T, _: O) -> T {
        // SAFETY: Valid, by the type's invariants accessed atomically, and of the word's layout.
        T::from_word(unsafe { T::Word::xchg(self.word(), new.to_word()) })
    }

    /// Stores `new` if the old value is `old`. Returns the old value, as an error if it is another.
    #[inline(always)]
    pub(crate) fn cmpxchg<O: Ordering>(&self, old: T, new: T, _: O) -> Result<T, T> {
        let old = old.to_word();
        // SAFETY: As in `xchg`.
        let found = unsafe { T::Word::cmpxchg(self.word(), old, new.to_word(), is_full::<O>()) };
        if found == old {
            Ok(T::from_word(found))
        } else {
            Err(T::from_word(found))
        }
    }
}

impl<T: Value<Word = T> + Word> Atomic<T> {
    /// Adds `n`, wrapping, and returns the old value.
    #[inline(always)]
    pub(crate) fn fetch_add<O: Ordering>(&self, n: T, _: O) -> T {
        // SAFETY: As in `xchg`.
        unsafe { T::fetch_add(self.word(), n, is_full::<O>()) }
    }
}
