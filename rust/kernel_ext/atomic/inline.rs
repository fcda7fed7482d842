// SPDX-License-Identifier: GPL-2.0

//! [`Atomic`], of the instructions of [`arch`](super::arch).

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

/// Loads and stores are not moved across it by the compiler.
#[inline(always)]
pub(super) fn compiler_barrier() {
    // SAFETY: No instruction; as far as the compiler knows it accesses any memory.
    unsafe { asm!("", options(nostack, preserves_flags)) };
}

/// Whether an operation that is ordered as `O` is done as a full barrier: all are that are ordered
/// at all, since acquire and release alone are not worth a third form.
#[inline(always)]
const fn is_full<O: Ordering>() -> bool {
    !matches!(O::TYPE, OrderingType::Relaxed)
}

/// The words that the architecture's instructions work on.
///
/// # Safety
///
/// Each function must access all bytes of the word as one, atomically. The compiler must not move
/// other accesses across it.
pub(crate) unsafe trait Word: Copy + Eq {
    /// Loads, before whatever comes after it.
    ///
    /// # Safety
    ///
    /// `at` is valid, aligned, and accessed atomically by others.
    unsafe fn load_acquire(at: *mut Self) -> Self;

    /// Stores `value`, after whatever comes before it.
    ///
    /// # Safety
    ///
    /// As [`Word::load_acquire`].
    unsafe fn store_release(at: *mut Self, value: Self);

    /// Stores `new`, and returns what was there; a full barrier.
    ///
    /// # Safety
    ///
    /// As [`Word::load_acquire`].
    unsafe fn xchg(at: *mut Self, new: Self) -> Self;

    /// Stores `new` if there is `old`, and returns what was there. If it stores, and `full`, a full
    /// barrier.
    ///
    /// # Safety
    ///
    /// As [`Word::load_acquire`].
    unsafe fn cmpxchg(at: *mut Self, old: Self, new: Self, full: bool) -> Self;

    /// Adds `n`, wrapping, and returns what was there. If `full`, a full barrier.
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
/// It has the size and the alignment of its `Word`. `from_word` gives back what `to_word` was
/// given.
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
/// While it is shared, it is accessed by volatile loads and stores of the whole, and by the
/// functions of its [`Word`].
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
        let found = unsafe { T::Word::cmpxchg(self.word(), old, new.to_word(), is_full::<O>()) };
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
        unsafe { T::fetch_add(self.word(), n, is_full::<O>()) }
    }
}
