// SPDX-License-Identifier: GPL-2.0

//! A lock-free list that any CPU may push to, in any context, and that is taken whole.
//!
//! As [`include/linux/llist.h`](srctree/include/linux/llist.h), with the link anywhere in the
//! element.
//!
//! # Ordering
//!
//! A push writes the element's link, then is a `cmpxchg()` with release. [`LList::take`] is an
//! `xchg()` with acquire, which reads what the last push stored: so it sees that push's element.
//! The elements below were pushed earlier. Each later push read the word and wrote it in one step,
//! so the release of the earlier one reaches the take through them (a release sequence in C11,
//! `rmw-sequence` in the kernel's model). Two accesses need no order. A push compares the first
//! element and does not follow it. [`LList::is_empty`] is a hint: a caller that must not miss an
//! element that was pushed before is ordered after that push by a lock.
//!
//! The model checker compiles this file over loom's atomics (`tools/model/src/closed.rs`).
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::llist::{HasLink, LList};
//! use core::{cell::UnsafeCell, ptr};
//!
//! struct Job {
//!     number: u32,
//!     next: UnsafeCell<*mut Job>,
//! }
//!
//! // SAFETY: It is a field of the job.
//! unsafe impl HasLink for Job {
//!     fn link(&self) -> *mut *mut Self {
//!         self.next.get()
//!     }
//! }
//!
//! fn push(jobs: &LList<Job>, number: u32) -> Result {
//!     let next = UnsafeCell::new(ptr::null_mut());
//!     let job = KBox::new(Job { number, next }, GFP_KERNEL)?;
//!     // SAFETY: The job is valid, and nobody else has it.
//!     unsafe { jobs.push(KBox::into_raw(job)) };
//!     Ok(())
//! }
//!
//! fn drop_all(jobs: &LList<Job>) {
//!     for job in jobs.take() {
//!         // SAFETY: The list has given the job away, which was made by `push`.
//!         drop(unsafe { KBox::from_raw(job) });
//!     }
//! }
//! ```

use super::atomic::{
    ordering::{Acquire, Relaxed, Release},
    Atomic, //
};
use core::ptr;

/// An element of a [`LList`].
///
/// # Safety
///
/// `link()` always returns the same pointer, to a part of `self` that is initialised and may be
/// written through a shared reference, as the content of an `UnsafeCell`.
pub(crate) unsafe trait HasLink: Sized {
    /// The place of the next element's address.
    fn link(&self) -> *mut *mut Self;
}

/// See the [module](self).
///
/// # Invariants
///
/// `first` is null or the first of a list, through the links, of elements that are valid until they
/// are taken. Their links are the list's.
pub(crate) struct LList<T: HasLink> {
    first: Atomic<*mut T>,
}

impl<T: HasLink> LList<T> {
    /// An empty list.
    pub(crate) fn new() -> Self {
        Self {
            first: Atomic::new(ptr::null_mut()),
        }
    }

    /// Whether the list is empty. A push that is under way on another CPU may not be seen. Any
    /// context.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.load(Relaxed).is_null()
    }

    /// Puts `element` before the first element. Any context.
    ///
    /// # Safety
    ///
    /// `element` is valid, and its link is the caller's. Both are given away until it is taken.
    pub(crate) unsafe fn push(&self, element: *mut T) {
        let mut first = self.first.load(Relaxed);
        loop {
            // SAFETY: The element is valid and its link is ours, by the contract.
            unsafe { *(*element).link() = first };
            // INVARIANT: On success the element and its link are the list's.
            match self.first.cmpxchg(first, element, Release) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    /// Takes all elements, the latest one first. Any context.
    pub(crate) fn take(&self) -> Taken<T> {
        // INVARIANT: The elements were the list's. Each was pushed once.
        Taken(if self.is_empty() {
            ptr::null_mut()
        } else {
            self.first.xchg(ptr::null_mut(), Acquire)
        })
    }
}

/// The elements that were in a [`LList`]. The iterator gives each to the caller.
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
