// SPDX-License-Identifier: GPL-2.0

//! The watches whose files have been closed, until a task takes them that may sleep.

use crate::kernel_ext::llist::{
    HasLink,
    LList,
    Taken, //
};
use core::{
    marker::PhantomData,
    ops::Deref, //
};
use kernel::sync::Arc;

/// A watch whose file has been closed for the last time, and the reference that it owned.
///
/// # Invariants
///
/// Nobody else accesses the watch's link.
pub(crate) struct Closed<W: HasLink>(Arc<W>);

impl<W: HasLink> Closed<W> {
    /// # Safety
    ///
    /// Nobody else accesses the watch's link.
    pub(super) unsafe fn new(watch: Arc<W>) -> Self {
        // INVARIANT: By the contract.
        Self(watch)
    }
}

impl<W: HasLink> Deref for Closed<W> {
    type Target = W;
    fn deref(&self) -> &W {
        &self.0
    }
}

/// A list that any CPU may add to, in any context, and that is taken whole.
///
/// # Invariants
///
/// The list owns a reference to each watch in it. The pointer is that of [`Arc::into_raw`].
pub(crate) struct ClosedList<W: HasLink> {
    list: LList<W>,
    _watches: PhantomData<Arc<W>>,
}

impl<W: HasLink> ClosedList<W> {
    /// An empty list.
    pub(crate) fn new() -> Self {
        Self {
            list: LList::new(),
            _watches: PhantomData,
        }
    }

    /// Whether the list is empty. A push that is under way on another CPU may not be seen. Any
    /// context.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Puts `watch` into the list. Any context.
    pub(crate) fn push(&self, watch: Closed<W>) {
        // INVARIANT: The list owns the reference.
        let watch = Arc::into_raw(watch.0).cast_mut();
        // SAFETY: The watch is valid while the list owns the reference. Nobody else accesses its
        // link, by the invariants of `Closed`.
        unsafe { self.list.push(watch) };
    }

    /// Takes all watches out of the list, the latest one first. Process context.
    pub(crate) fn take(&self) -> ClosedIter<W> {
        ClosedIter {
            taken: self.list.take(),
            _watches: PhantomData,
        }
    }
}

impl<W: HasLink> Drop for ClosedList<W> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// The watches that were in a [`ClosedList`].
///
/// # Invariants
///
/// As [`ClosedList`].
pub(crate) struct ClosedIter<W: HasLink> {
    taken: Taken<W>,
    _watches: PhantomData<Arc<W>>,
}

impl<W: HasLink> Iterator for ClosedIter<W> {
    type Item = Arc<W>;

    fn next(&mut self) -> Option<Arc<W>> {
        let watch = self.taken.next()?;
        // SAFETY: The list owned a reference to the watch, which is handed out.
        Some(unsafe { Arc::from_raw(watch) })
    }
}

impl<W: HasLink> Drop for ClosedIter<W> {
    fn drop(&mut self) {
        for watch in self {
            drop(watch);
        }
    }
}
