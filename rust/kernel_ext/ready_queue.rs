// SPDX-License-Identifier: GPL-2.0

//! The ready queue: many producers that must not wait, in any context, and one consumer at a time.
//!
//! # The idea
//!
//! Each item has a *queued* bit. A producer (a wait-queue callback, perhaps in hard interrupt) that
//! finds it clear sets it and pushes the item on a stack, with one compare-and-exchange loop: a
//! producer that is interrupted half-way stalls nobody. The consumer, who holds the instance's
//! mutex, takes the whole stack with one exchange, reverses it, and so has a queue in order of
//! arrival (the *list*), which is its own. It clears an item's bit *before* it polls the item's file
//! again, so an event that comes during or after the poll queues the item anew. Hence no second
//! "overflow" list, as `fs/eventpoll.c` needs, and no lock in the callback.
//!
//! # The word
//!
//! The stack's head is a pointer and one bit, [`BUSY`]: the consumer is scanning, or holds items in
//! its list. Every move of a ready item is one atomic change of this word: from the stack to the
//! consumer, the pointer goes and `BUSY` comes in the same exchange; while the consumer has the item
//! `BUSY` stays; and if a callback pushed it anew meanwhile, the pointer is back before `BUSY` goes.
//! So a single load tells whether there is anything to wait for ([`ReadyQueue::is_empty`]). With two
//! fields, a reader that looks at the mark and then at the stack would miss an item that went from the
//! one to the other in between.
//!
//! # No event is lost
//!
//! A producer changes the file's state, then exchanges the bit, which is a full barrier. If it found
//! the bit clear, it pushes. If it found it set, then the consumer has yet to exchange it; that
//! exchange follows the producer's in the order of the bit's changes, so it sees all that the
//! producer did before, and the poll that follows it finds the event. An unconditional exchange is
//! needed for that: a plain load, or a compare-and-exchange that fails, orders nothing.
//!
//! Between a producer's exchange and its push, a second producer of the same item may find the bit
//! set and wake a consumer that sees an empty queue and sleeps again. The first producer's own
//! wake-up, which comes after its push, makes that good: whoever pushes must wake.
//!
//! A consumer that wants to queue an item anew, and finds its bit set, must not take that for "it is in
//! the queue" while the producer is in that gap: the word would be zero though an item is ready. So
//! it waits for the push ([`Consumer::await_push`]). The consumer may wait, the producer never does:
//! it is inside of a wake-up, on another CPU, a few instructions from its push.
//!
//! # Ownership
//!
//! The queue owns a reference to each item in it. The links of an item belong to whoever set its
//! bit, up to the push; then to the consumer.

use super::ready_sync::{
    relax,
    unique_number,
    Arc,
    ArcBorrow,
    Flag,
    Slot,
    Word, //
};
use core::{
    marker::PhantomData,
    ptr, //
};

/// In the queue's word: the consumer is scanning, or has items in its list.
const BUSY: usize = 1;

/// The part of an item that the queue uses.
///
/// # Invariants
///
/// `queued` is set from before the item enters the queue of the number `queue` until after it left
/// it; meanwhile the queue owns a reference to the item. `next` and `prev` belong to whoever changed
/// `queued` from clear to set, until the item is on the stack; from then on to the consumer.
/// `listed` is the consumer's: whether the item is in one of its lists.
pub(crate) struct Links<T> {
    queue: u64,
    next: Slot<*const T>,
    prev: Slot<*const T>,
    queued: Flag,
    listed: Slot<bool>,
}

// SAFETY: The links are accessed by one thread at a time, by the type's invariants, and the
// references that they own are those of `T`s that may be used and dropped anywhere.
unsafe impl<T: Send + Sync> Send for Links<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for Links<T> {}

impl<T: HasLinks> Links<T> {
    /// Links of an item that is to be queued on `queue`, and on no other.
    pub(crate) fn new(queue: &ReadyQueue<T>) -> Self {
        // INVARIANT: Not queued.
        Self {
            queue: queue.number,
            next: Slot::new(ptr::null()),
            prev: Slot::new(ptr::null()),
            queued: Flag::new(),
            listed: Slot::new(false),
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

/// What [`ReadyQueue::push`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Push {
    /// The item is in the queue now.
    Queued,
    /// It was in the queue, and will be polled after this.
    Already,
}

/// The producers' side; see the [module](self).
///
/// # Invariants
///
/// `head` without [`BUSY`] is null or the first item of a stack, linked through `next`, of items
/// whose `queued` bit is set and of each of which the stack owns a reference. All were made for this
/// queue, whose `number` no other has. `claimed` is set when it has its one consumer.
pub(crate) struct ReadyQueue<T: HasLinks> {
    head: Word,
    number: u64,
    claimed: Flag,
    _items: PhantomData<Arc<T>>,
}

impl<T: HasLinks> ReadyQueue<T> {
    /// An empty queue.
    pub(crate) fn new() -> Self {
        Self {
            head: Word::new(),
            number: unique_number(),
            claimed: Flag::new(),
            _items: PhantomData,
        }
    }

    /// Whether no item is ready: none on the stack, none with the consumer. Any context.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load() == 0
    }

    /// Puts `item` into the queue, unless it is there. Any context, no lock.
    ///
    /// In either case it ends with a full barrier; the caller must then wake whoever waits for the
    /// queue. An item of another queue is refused, as if it were there already: that is a bug of the caller.
    #[inline]
    pub(crate) fn push(&self, item: ArcBorrow<'_, T>) -> Push {
        let links = item.links();
        if !self.owns(links) || links.queued.exchange(true) {
            return Push::Already;
        }
        // The bit is ours, so the links are.
        let item: *const T = Arc::into_raw(Arc::from(item));
        let mut head = self.head.load();
        loop {
            // SAFETY: `item` is a valid pointer, of which we own a reference, and this thread has
            // set the bit, so nobody else accesses the links before the item is on the stack.
            unsafe { (*item).links().next.set((head & !BUSY) as *const T) };
            // INVARIANT: On success the stack owns the reference, and the bit is set.
            match self
                .head
                .compare_exchange(head, item as usize | (head & BUSY))
            {
                Ok(_) => return Push::Queued,
                Err(now) => head = now,
            }
        }
    }

    fn owns(&self, links: &Links<T>) -> bool {
        links.queue == self.number
    }

    /// Takes all items off the stack, in order of arrival, and sets [`BUSY`] in the same step.
    fn take(&self) -> List<T> {
        let mut list = List::new();
        if self.head.load() == BUSY {
            return list;
        }
        let mut next = (self.head.exchange(BUSY) & !BUSY) as *const T;
        // The stack has the latest arrival first.
        while !next.is_null() {
            let item = next;
            // SAFETY: The stack's items are valid, since it owned a reference to each, and theirs is
            // the bit. The exchange made us the only one to access their links, and it saw all that
            // was published by their pushes.
            next = unsafe { (*item).links().next.get() };
            // SAFETY: The list takes over the stack's reference; the links are ours, as above.
            unsafe { list.push_front(item) };
        }
        list
    }

    /// Clears [`BUSY`]. Only for the consumer, when its list is empty.
    fn rest(&self) {
        let mut head = self.head.load();
        while let Err(now) = self.head.compare_exchange(head, head & !BUSY) {
            head = now;
        }
    }
}

impl<T: HasLinks> Drop for ReadyQueue<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// The consumer's side: what it took off the stack and has not dealt with yet.
///
/// A queue's only one, kept under the lock that makes the consumer unique.
///
/// # Invariants
///
/// `queue` is 0, and the lists are empty; or it is the number of the queue that this is the only
/// consumer of, to which all items of the lists belong. The queue's [`BUSY`] is set while the lists are
/// not all empty.
pub(crate) struct Consumer<T: HasLinks> {
    /// What was there when the scan began, and has not been taken.
    list: List<T>,
    /// What came during the scan.
    late: List<T>,
    /// What the scan queues again.
    level: List<T>,
    queue: u64,
}

// SAFETY: The consumer owns references to `T`s that may be used and dropped on any thread.
unsafe impl<T: HasLinks> Send for Consumer<T> {}

impl<T: HasLinks> Consumer<T> {
    /// The consumer of the queue that it is first used with, if that has no other.
    pub(crate) fn new() -> Self {
        Self {
            list: List::new(),
            late: List::new(),
            level: List::new(),
            queue: 0,
        }
    }

    /// Ties the consumer to its queue. False for a second queue, or a second consumer.
    fn is_of(&mut self, queue: &ReadyQueue<T>) -> bool {
        if self.queue == 0 && !queue.claimed.exchange(true) {
            self.queue = queue.number;
        }
        self.queue == queue.number
    }

    /// Begins a scan of all that is ready now. `None` if `queue` has another consumer.
    #[inline]
    pub(crate) fn scan<'a>(&'a mut self, queue: &'a ReadyQueue<T>) -> Option<Scan<'a, T>> {
        if !self.is_of(queue) {
            return None;
        }
        // A scan that was not ended by its drop may have left something.
        self.gather(queue);
        // INVARIANT: It is the queue's consumer.
        Some(Scan {
            queue,
            consumer: self,
        })
    }

    /// Takes `item` out of the queue, wherever it is in it. False if it was not in it.
    ///
    /// An item that is being pushed at this moment counts as not in it: the caller must have made
    /// sure that no producer is at work, if it wants the item to stay out.
    pub(crate) fn remove(&mut self, queue: &ReadyQueue<T>, item: &T) -> bool {
        if !self.is_of(queue) || !queue.owns(item.links()) || !item.links().queued.get() {
            return false;
        }
        self.gather(queue);
        let found = self.list.remove(item);
        self.settle(queue);
        found
    }

    /// Waits until an `item` whose bit was found set is in the queue for all to see, should its
    /// producer be between setting the bit and the push.
    pub(crate) fn await_push(&mut self, queue: &ReadyQueue<T>, item: &T) {
        if !self.is_of(queue) || !queue.owns(item.links()) {
            return;
        }
        loop {
            self.late.append(&mut queue.take());
            // SAFETY: `listed` is the consumer's, which we are: the item is of our queue.
            if unsafe { item.links().listed.get() } || !item.links().queued.get() {
                return;
            }
            relax();
        }
    }

    /// Puts all that the queue has in order, into `list`: what was not taken, what came meanwhile, and
    /// what was queued again.
    fn gather(&mut self, queue: &ReadyQueue<T>) {
        self.late.append(&mut queue.take());
        self.list.append(&mut self.late);
        self.list.append(&mut self.level);
    }

    /// Ends a change of the lists.
    fn settle(&mut self, queue: &ReadyQueue<T>) {
        if self.list.is_empty() {
            queue.rest();
        }
    }
}

/// A pass over the ready items, in order. Ends when it is dropped: then the queue holds what was not
/// taken, what came meanwhile, and what was put into it again for the next pass, in this order.
///
/// # Invariants
///
/// `consumer` is that of `queue`.
pub(crate) struct Scan<'a, T: HasLinks> {
    queue: &'a ReadyQueue<T>,
    consumer: &'a mut Consumer<T>,
}

impl<T: HasLinks> Scan<'_, T> {
    /// Takes the next item out of the queue, with a full barrier: an event that the caller's poll of
    /// the item does not find queues the item anew.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Arc<T>> {
        self.consumer.list.pop_front()
    }

    /// Whether `item` is to be put into one of our lists: its bit was clear, and is ours now. Else it
    /// is in the queue, when this returns.
    fn claim(&mut self, item: &T) -> bool {
        if !self.queue.owns(item.links()) {
            return false;
        }
        if !item.links().queued.exchange(true) {
            return true;
        }
        self.consumer.await_push(self.queue, item);
        false
    }

    /// Queues `item` again behind all others, for the next scan, unless a producer has queued it.
    #[inline]
    pub(crate) fn requeue(&mut self, item: Arc<T>) {
        if self.claim(&item) {
            // SAFETY: We have set the bit, so the links are ours.
            unsafe { self.consumer.level.push_back(Arc::into_raw(item)) };
        }
    }

    /// Puts `item` back to the front, as if it had not been taken, unless a producer has queued it.
    pub(crate) fn put_back(&mut self, item: Arc<T>) {
        if self.claim(&item) {
            // SAFETY: We have set the bit, so the links are ours.
            unsafe { self.consumer.list.push_front(Arc::into_raw(item)) };
        }
    }
}

impl<T: HasLinks> Drop for Scan<'_, T> {
    fn drop(&mut self) {
        self.consumer.gather(self.queue);
        self.consumer.settle(self.queue);
    }
}

/// A doubly linked list of items.
///
/// # Invariants
///
/// `first` and `last` are both null, or the ends of a list, linked through `next` and `prev` with
/// nulls at the ends, of valid items. Each has its `queued` bit set, and `listed`, and the list owns a
/// reference to it. Nobody else accesses their links.
struct List<T: HasLinks> {
    first: *const T,
    last: *const T,
}

impl<T: HasLinks> List<T> {
    fn new() -> Self {
        Self {
            first: ptr::null(),
            last: ptr::null(),
        }
    }

    fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// # Safety
    ///
    /// `item` is valid, its bit is set, its links are the caller's, and so is a reference, which the
    /// list takes over.
    unsafe fn push_front(&mut self, item: *const T) {
        // SAFETY: `item` and the list's first item are valid, and their links are ours, by the
        // contract and the type's invariants.
        unsafe {
            (*item).links().prev.set(ptr::null());
            (*item).links().next.set(self.first);
            (*item).links().listed.set(true);
            match self.first.as_ref() {
                Some(first) => first.links().prev.set(item),
                None => self.last = item,
            }
        }
        self.first = item;
    }

    /// # Safety
    ///
    /// As [`List::push_front`].
    unsafe fn push_back(&mut self, item: *const T) {
        // SAFETY: As in `push_front`, for the last item.
        unsafe {
            (*item).links().next.set(ptr::null());
            (*item).links().prev.set(self.last);
            (*item).links().listed.set(true);
            match self.last.as_ref() {
                Some(last) => last.links().next.set(item),
                None => self.first = item,
            }
        }
        self.last = item;
    }

    /// Moves all of `other` to our end.
    #[inline]
    fn append(&mut self, other: &mut List<T>) {
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
        // INVARIANT: `other` is empty now; what it owned is ours.
        other.first = ptr::null();
        other.last = ptr::null();
    }

    /// Takes the first item, and clears its bit, with a full barrier.
    #[inline]
    fn pop_front(&mut self) -> Option<Arc<T>> {
        let first = self.first;
        // SAFETY: Items of the list are valid.
        let item = unsafe { first.as_ref() }?;
        // SAFETY: The items' links are ours, by the invariants.
        unsafe {
            item.links().listed.set(false);
            self.first = item.links().next.get();
            match self.first.as_ref() {
                Some(first) => first.links().prev.set(ptr::null()),
                None => self.last = ptr::null(),
            }
        }
        // SAFETY: The list owned a reference to the item, which is not in it any more.
        let item = unsafe { Arc::from_raw(first) };
        // From here on the links are those of whoever sets the bit next.
        item.links().queued.exchange(false);
        Some(item)
    }

    /// Takes `item` out, if it is in the list, and clears its bit. It must be in no other list, and of
    /// the queue whose consumer's list this is.
    fn remove(&mut self, item: &T) -> bool {
        let links = item.links();
        // SAFETY: `listed` is the consumer's. If it is set the item is in this list: its links are
        // ours, and its neighbours are valid.
        unsafe {
            if !links.listed.get() {
                return false;
            }
            links.listed.set(false);
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
        // SAFETY: The list owned a reference to the item, which is not in it any more. The caller's
        // own reference keeps the item alive.
        let owned = unsafe { Arc::from_raw(ptr::from_ref(item)) };
        owned.links().queued.exchange(false);
        true
    }
}

impl<T: HasLinks> Drop for List<T> {
    fn drop(&mut self) {
        while self.pop_front().is_some() {}
    }
}
