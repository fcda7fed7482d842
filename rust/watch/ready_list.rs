// SPDX-License-Identifier: GPL-2.0

//! The links of the items of a [`ready_queue`](super), and the consumer's lists of
//! them.

use super::super::ready_sync::{
    unique_number,
    Flag,
    Slot, //
};
use core::ptr;

/// Identifies a queue; never reused (48 bits last nine years at a million queues a second).
///
/// In halfwords, to be small where each item keeps it. The address of the queue can't serve: a
/// queue moves, and its address is reused while items and a consumer of it may still exist.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueId([u16; 3]);

impl QueueId {
    /// No queue.
    pub(super) const NONE: Self = Self([0; 3]);

    /// The identity of a new queue.
    pub(super) fn new() -> Self {
        let number = unique_number();
        Self([number as u16, (number >> 16) as u16, (number >> 32) as u16])
    }
}

/// The state of an item in the queue, as far as the consumer knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueState {
    /// Not enrolled.
    Out,
    /// Enrolled; perhaps on the stack.
    Enrolled,
    /// Enrolled, and in one of the consumer's lists.
    Listed,
}

/// The part of an item that the queue uses.
///
/// # Invariants
///
/// - `queued` is set while the item is not enrolled, and from before it enters the queue `queue`
///   until after it left it.
/// - `next` and `prev` belong to the thread that changed `queued` from clear to set, until the item
///   is on the stack; from then on to the consumer.
/// - `state` is the consumer's. Unless it is `Out`, the queue owns a reference to the item.
pub(crate) struct Links<T> {
    pub(super) next: Slot<*const T>,
    pub(super) prev: Slot<*const T>,
    pub(super) queue: QueueId,
    pub(super) queued: Flag,
    pub(super) state: Slot<QueueState>,
}

// SAFETY: The links are accessed by one thread at a time, by the type's invariants, and the
// references that they own are those of `T`s that may be used and dropped anywhere.
unsafe impl<T: Send + Sync> Send for Links<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for Links<T> {}

impl<T> Links<T> {
    /// Links of an item that may be queued on `queue`, and on no other.
    pub(super) fn new(queue: QueueId) -> Self {
        // INVARIANT: Not enrolled.
        Self {
            next: Slot::new(ptr::null()),
            prev: Slot::new(ptr::null()),
            queue,
            queued: Flag::new(true),
            state: Slot::new(QueueState::Out),
        }
    }
}

/// An item that can be in a ready queue.
///
/// # Safety
///
/// `links()` must always return the same links, which are a part of `self`.
pub(crate) unsafe trait HasLinks: Sized + Send + Sync {
    /// The item's links.
    fn links(&self) -> &Links<Self>;
}

/// A doubly linked list of items of one queue, owned by its consumer.
///
/// # Invariants
///
/// `first` and `last` are both null, or the ends of a list, linked through `next` and `prev` with
/// nulls at the ends, of enrolled items. Each has its `queued` bit set, and is `Listed`. Nobody
/// else accesses their links.
pub(super) struct List<T: HasLinks> {
    first: *const T,
    last: *const T,
}

impl<T: HasLinks> List<T> {
    /// An empty list.
    pub(super) fn new() -> Self {
        Self {
            first: ptr::null(),
            last: ptr::null(),
        }
    }

    /// Whether the list is empty.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Inserts `item` before the first item.
    ///
    /// # Safety
    ///
    /// `item` is enrolled, its bit is set, and its links are the caller's.
    pub(super) unsafe fn push_front(&mut self, item: *const T) {
        // SAFETY: `item` and the list's first item are valid, and their links are ours, by the
        // contract and the type's invariants.
        unsafe {
            (*item).links().prev.set(ptr::null());
            (*item).links().next.set(self.first);
            (*item).links().state.set(QueueState::Listed);
            match self.first.as_ref() {
                Some(first) => first.links().prev.set(item),
                None => self.last = item,
            }
        }
        self.first = item;
    }

    /// Inserts `item` after the last item.
    ///
    /// # Safety
    ///
    /// As [`List::push_front`].
    pub(super) unsafe fn push_back(&mut self, item: *const T) {
        // SAFETY: As in `push_front`, for the last item.
        unsafe {
            (*item).links().next.set(ptr::null());
            (*item).links().prev.set(self.last);
            (*item).links().state.set(QueueState::Listed);
            match self.last.as_ref() {
                Some(last) => last.links().next.set(item),
                None => self.first = item,
            }
        }
        self.last = item;
    }

    /// Moves all items of `other` behind the last item.
    #[inline]
    pub(super) fn append(&mut self, other: &mut List<T>) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            self.first = other.first;
        } else {
            // SAFETY: The ends of both lists are valid and their links are ours, by the invariants.
            unsafe {
                (*self.last).links().next.set(other.first);
                (*other.first).links().prev.set(self.last);
            }
        }
        self.last = other.last;
        // INVARIANT: `other` is empty now.
        other.first = ptr::null();
        other.last = ptr::null();
    }

    /// Takes the first item, whose bit stays set. Null if there is none.
    #[inline]
    pub(super) fn pop_front(&mut self) -> *const T {
        let first = self.first;
        // SAFETY: Items of the list are valid, and their links are ours, by the invariants.
        unsafe {
            let Some(item) = first.as_ref() else {
                return first;
            };
            item.links().state.set(QueueState::Enrolled);
            self.first = item.links().next.get();
            match self.first.as_ref() {
                Some(first) => first.links().prev.set(ptr::null()),
                None => self.last = ptr::null(),
            }
        }
        first
    }

    /// Takes `item` out. Its bit stays set.
    ///
    /// # Safety
    ///
    /// It is in this list.
    pub(super) unsafe fn unlink(&mut self, item: &T) {
        let links = item.links();
        // SAFETY: The item's links are ours, by the invariants, and its neighbours are valid.
        unsafe {
            links.state.set(QueueState::Enrolled);
            let (prev, next) = (links.prev.get(), links.next.get());
            match prev.as_ref() {
                Some(prev) => prev.links().next.set(next),
                None => self.first = next,
            }
            match next.as_ref() {
                Some(next) => next.links().prev.set(prev),
                None => self.last = prev,
            }
        }
    }
}
