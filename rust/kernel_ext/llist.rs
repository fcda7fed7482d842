// SPDX-License-Identifier: GPL-2.0

//! A stack that any CPU may push to, in any context, and that is taken whole.
//!
//! # Ordering
//!
//! A push writes the element's link, then is a `cmpxchg()` with release. [`LList::take`] is an
//! `xchg()` with acquire, which reads what the last push stored: so it sees that push's element. The
//! elements below were pushed earlier. Each later push read the word and wrote it in one step, so
//! the release of the earlier one reaches the take through them (a release sequence in C11,
//! `rmw-sequence` in the kernel's model). Two things need no order. A push compares the first element
//! and does not follow it. [`LList::is_empty`] is a hint: a caller that must not miss an element
//! that was pushed before is ordered after that push by a lock.
//!
//! The model checker compiles this file over loom's atomics (`tools/model/src/closed.rs`).

use super::atomic::{
    ordering::{Acquire, Relaxed, Release},
    Atomic, //
};
use core::ptr;

/// An element of a [`LList`].
///
/// # Safety
///
/// `link()` always returns the same pointer, to a part of `self` that is initialised.
pub(crate) unsafe trait HasLink: Sized {
    /// Where the next element's address is kept.
    fn link(&self) -> *mut *mut Self;
}

/// See the [module](self).
///
/// # Invariants
///
/// `first` is null or the first of a list, through the links, of elements that are valid until they
/// are taken. Their links are the stack's.
pub(crate) struct LList<T: HasLink> {
    first: Atomic<*mut T>,
}

impl<T: HasLink> LList<T> {
    /// An empty stack.
    pub(crate) fn new() -> Self {
        Self {
            first: Atomic::new(ptr::null_mut()),
        }
    }

    /// Whether there is nothing; a push that is under way on another CPU may not be seen. Any context.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.load(Relaxed).is_null()
    }

    /// Puts `element` on the stack. Any context.
    ///
    /// # Safety
    ///
    /// `element` is valid, and its link is the caller's. Both are given away until it is taken.
    pub(crate) unsafe fn push(&self, element: *mut T) {
        let mut first = self.first.load(Relaxed);
        loop {
            // SAFETY: The element is valid and its link is ours, by the contract.
            unsafe { *(*element).link() = first };
            // INVARIANT: On success the element and its link are the stack's.
            match self.first.cmpxchg(first, element, Release) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    /// Takes all elements, the last one that came first. Any context.
    pub(crate) fn take(&self) -> Taken<T> {
        // INVARIANT: The elements were the stack's. They are pushed no more than once before this.
        Taken(if self.is_empty() {
            ptr::null_mut()
        } else {
            self.first.xchg(ptr::null_mut(), Acquire)
        })
    }
}

/// The elements that were on a [`LList`]. Each that comes out of the iterator is the caller's.
///
/// # Invariants
///
/// As those of [`LList`]. No other thread accesses the links.
pub(crate) struct Taken<T: HasLink>(*mut T);

impl<T: HasLink> Iterator for Taken<T> {
    type Item = *mut T;

    fn next(&mut self) -> Option<*mut T> {
        let element = self.0;
        // SAFETY: The element is null or valid, and its link is ours, by the type's invariants.
        self.0 = unsafe { *element.as_ref()?.link() };
        Some(element)
    }
}
