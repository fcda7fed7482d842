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
//! wake-up, which comes after its push, makes that good: whoever pushes must wake. A consumer that does
//! not sleep finds nothing, as if it had come before the first producer's event, though it may know of the
//! second one's.
//!
//! A consumer that wants to queue an item anew, and finds its bit set, must not take that for "it is in
//! the queue" while the producer is in that gap: the word would be zero though an item is ready. So
//! it waits for the push ([`Consumer::await_push`]). The consumer may wait, the producer never does:
//! it is on another CPU, a few instructions from its push, and, while it is traced, the records that it
//! makes there; none of that waits for us.
//!
//! The producer can't be preempted in the gap, so the wait ends, and soon. A callback holds a wait
//! queue's spinlock. On a PREEMPT_RT kernel that is not enough: a consumer of a higher priority would
//! spin for as long as its producer has no CPU, or for ever on the producer's own. So the exchange is
//! made, there, by one who holds an [`Unpreempted`], until after the push. An interrupt may still come
//! into the gap, on either kernel; it waits for no consumer.
//!
//! # Ownership
//!
//! The queue owns a reference to each item that is *enrolled*, from [`Consumer::enrol`] to
//! [`Consumer::remove`], be it queued or not: so neither a push nor a scan counts references. An item
//! that is not enrolled has its bit set, by nobody who will push it, and so can't be queued.
//!
//! The links of an enrolled item belong to whoever set its bit, up to the push; then to the consumer.

use super::ready_sync::{
    relax,
    unique_number,
    Arc,
    Flag,
    Slot,
    Unpreempted,
    Word, //
};
use core::{
    marker::PhantomData,
    ptr, //
};

/// In the queue's word: the consumer is scanning, or has items in its list.
const BUSY: usize = 1;

/// The name of a queue, which no other has, ever: so many have 48 bits that a million queues a second
/// use them up in nine years. In halfwords, to be small where it is kept in each item.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Number([u16; 3]);

impl Number {
    /// That of no queue.
    const NONE: Self = Self([0; 3]);

    fn new() -> Self {
        let number = unique_number();
        Self([number as u16, (number >> 16) as u16, (number >> 32) as u16])
    }
}

/// Where an item is, as far as the consumer knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
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
/// `queued` is set while the item is not enrolled, and from before it enters the queue of the number
/// `queue` until after it left it. `next` and `prev` belong to whoever changed `queued` from clear to
/// set, until the item is on the stack; from then on to the consumer. `place` is the consumer's. Unless
/// it is `Out`, the queue owns a reference to the item.
pub(crate) struct Links<T> {
    next: Slot<*const T>,
    prev: Slot<*const T>,
    queue: Number,
    queued: Flag,
    place: Slot<Place>,
}

// SAFETY: The links are accessed by one thread at a time, by the type's invariants, and the
// references that they own are those of `T`s that may be used and dropped anywhere.
unsafe impl<T: Send + Sync> Send for Links<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for Links<T> {}

impl<T: HasLinks> Links<T> {
    /// Links of an item that is to be queued on `queue`, and on no other.
    pub(crate) fn new(queue: &ReadyQueue<T>) -> Self {
        // INVARIANT: Not enrolled.
        Self {
            next: Slot::new(ptr::null()),
            prev: Slot::new(ptr::null()),
            queue: queue.number,
            queued: Flag::new(true),
            place: Slot::new(Place::Out),
        }
    }
}

impl<T> Links<T> {
    /// Sets the bit, and returns whether it was set. If it was not, the caller must push the item while
    /// `_unpreempted` is there.
    #[inline(always)]
    fn claim_for_push(&self, _unpreempted: &Unpreempted) -> bool {
        self.queued.exchange(true)
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
    /// It was in the queue, and will be polled after this; or it is not enrolled.
    Already,
}

/// The producers' side; see the [module](self).
///
/// # Invariants
///
/// `head` without [`BUSY`] is null or the first item of a stack, linked through `next`, of items that
/// are enrolled and whose `queued` bit is set. All were made for this queue, whose `number` no other
/// has. `claimed` is set when it has its one consumer.
pub(crate) struct ReadyQueue<T: HasLinks> {
    head: Word,
    number: Number,
    claimed: Flag,
    _items: PhantomData<Arc<T>>,
}

impl<T: HasLinks> ReadyQueue<T> {
    /// An empty queue.
    pub(crate) fn new() -> Self {
        Self {
            head: Word::new(),
            number: Number::new(),
            claimed: Flag::new(false),
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
    /// `queued` is called if it is not, before anybody can take the item from the queue: so what it
    /// records comes before what the consumer records of the item. The consumer may wait for it: it must
    /// be short, not sleep, take no lock, and not wait for the consumer. Preemption may be off.
    ///
    /// In either case it ends with a full barrier; the caller must then wake whoever waits for the
    /// queue. An item of another queue is refused, as if it were there already: that is a bug of the caller.
    #[inline]
    pub(crate) fn push(&self, item: &T, queued: impl FnOnce()) -> Push {
        let links = item.links();
        if !self.owns(item) {
            return Push::Already;
        }
        let unpreempted = Unpreempted::new();
        if links.claim_for_push(&unpreempted) {
            return Push::Already;
        }
        queued();
        let mut head = self.head.load();
        loop {
            // SAFETY: The item is enrolled, since its bit was clear, and this thread has set it: so
            // nobody else accesses the links before the item is on the stack.
            unsafe { links.next.set((head & !BUSY) as *const T) };
            // INVARIANT: The item is enrolled, and stays so until the consumer has it: `remove` waits
            // for this.
            match self
                .head
                .compare_exchange(head, ptr::from_ref(item) as usize | (head & BUSY))
            {
                Ok(_) => return Push::Queued,
                Err(now) => head = now,
            }
        }
    }

    fn owns(&self, item: &T) -> bool {
        item.links().queue == self.number
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
            // SAFETY: The stack's items are valid, since the queue owns a reference to each, and
            // theirs is the bit. The exchange made us the only one to access their links, and it saw all that
            // was published by their pushes.
            next = unsafe { (*item).links().next.get() };
            // SAFETY: The item is enrolled, and its links are ours, as above.
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

/// The consumer's side: what it took off the stack and has not dealt with yet.
///
/// A queue's only one, kept under the lock that makes the consumer unique.
///
/// # Invariants
///
/// `queue` is none, and the lists are empty; or it is the number of the queue that this is the only
/// consumer of, to which all items of the lists belong. The queue's [`BUSY`] is set while the lists are
/// not all empty.
pub(crate) struct Consumer<T: HasLinks> {
    /// What was there when the scan began, and has not been taken.
    list: List<T>,
    /// What came during the scan.
    late: List<T>,
    /// What the scan queues again.
    level: List<T>,
    queue: Number,
}

// SAFETY: The consumer has items that may be used and dropped on any thread.
unsafe impl<T: HasLinks> Send for Consumer<T> {}

impl<T: HasLinks> Consumer<T> {
    /// The consumer of the queue that it is first used with, if that has no other.
    pub(crate) fn new() -> Self {
        Self {
            list: List::new(),
            late: List::new(),
            level: List::new(),
            queue: Number::NONE,
        }
    }

    /// Ties the consumer to its queue. False for a second queue, or a second consumer.
    fn is_of(&mut self, queue: &ReadyQueue<T>) -> bool {
        if self.queue == Number::NONE && !queue.claimed.exchange(true) {
            self.queue = queue.number;
        }
        self.queue == queue.number
    }

    /// Has the queue own a reference to `item`, which may be queued from now on, until
    /// [`Consumer::remove`]; an item that is never removed is never freed. An item of another queue, or
    /// one that is enrolled, is refused: a bug of the caller.
    pub(crate) fn enrol(&mut self, queue: &ReadyQueue<T>, item: Arc<T>) {
        if !self.is_of(queue) || !queue.owns(&item) {
            return;
        }
        // SAFETY: `place` is the consumer's, which we are: the item is of our queue.
        unsafe {
            if item.links().place.get() != Place::Out {
                return;
            }
            item.links().place.set(Place::Enrolled);
        }
        // INVARIANT: The queue owns the reference from now on. `remove` makes it of the item's
        // address.
        let item = Arc::into_raw(item);
        let _ = item.expose_provenance();
        // SAFETY: So it is valid.
        unsafe { (*item).links().queued.exchange(false) };
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

    /// Ends what [`Consumer::enrol`] began: takes `item` out of the queue, wherever it is in it, and
    /// gives back the reference. From now on the item can't be queued. `None` if it is not enrolled.
    pub(crate) fn remove(&mut self, queue: &ReadyQueue<T>, item: &T) -> Option<Arc<T>> {
        if !self.is_enrolled(queue, item) {
            return None;
        }
        if item.links().queued.exchange(true) {
            // It is in the queue, or a producer is about to push it.
            self.await_listed(queue, item);
            self.gather(queue);
            // SAFETY: It is in one of our lists, and after `gather` all that is in them is in this
            // one.
            unsafe { self.list.unlink(item) };
            self.settle(queue);
        }
        // INVARIANT: The bit is set, and the queue gives its reference away.
        // SAFETY: `place` is the consumer's, which we are; the queue owned this reference.
        unsafe {
            item.links().place.set(Place::Out);
            let address = ptr::from_ref(item).addr();
            Some(Arc::from_raw(ptr::with_exposed_provenance(address)))
        }
    }

    fn is_enrolled(&mut self, queue: &ReadyQueue<T>, item: &T) -> bool {
        // SAFETY: `place` is the consumer's, which we are: the item is of our queue.
        self.is_of(queue) && queue.owns(item) && unsafe { item.links().place.get() } != Place::Out
    }

    /// Waits until an `item` whose bit was found set is in the queue for all to see, should its
    /// producer be between setting the bit and the push.
    #[cold]
    pub(crate) fn await_push(&mut self, queue: &ReadyQueue<T>, item: &T) {
        if self.is_enrolled(queue, item) && item.links().queued.get() {
            self.await_listed(queue, item);
        }
    }

    /// Waits until `item`, of our queue and enrolled, whose bit is set, is in one of our lists. It will
    /// be: nobody else clears the bit.
    fn await_listed(&mut self, queue: &ReadyQueue<T>, item: &T) {
        loop {
            self.late.append(&mut queue.take());
            // SAFETY: `place` is the consumer's, which we are: the item is of our queue.
            if unsafe { item.links().place.get() } == Place::Listed {
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

impl<'a, T: HasLinks> Scan<'a, T> {
    /// Takes the next item out of the queue, with a full barrier: an event that the caller's poll of
    /// the item does not find queues the item anew.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<&'a T> {
        let item = self.consumer.list.pop_front();
        // SAFETY: The item is enrolled, so the queue owns a reference to it, until `remove` is called
        // with the consumer, which is borrowed for `'a`.
        unsafe { item.as_ref() }
    }

    /// Whether `item` is to be put into one of our lists: its bit was clear, and is ours now. Else it
    /// is in the queue when this returns, if it is enrolled.
    #[inline]
    fn claim(&mut self, item: &T) -> bool {
        if !self.queue.owns(item) {
            return false;
        }
        if !item.links().queued.exchange(true) {
            return true;
        }
        self.consumer.await_push(self.queue, item);
        false
    }

    /// Queues `item` again behind all others, for the next scan, unless a producer has queued it. Returns
    /// whether it did.
    #[inline]
    pub(crate) fn requeue(&mut self, item: &T) -> bool {
        let is_ours = self.claim(item);
        if is_ours {
            // SAFETY: The bit was clear, so the item is enrolled; it is set, so the links are ours.
            unsafe { self.consumer.level.push_back(item) };
        }
        is_ours
    }

    /// Puts `item` back to the front, as if it had not been taken, unless a producer has queued it. Returns
    /// whether it did.
    pub(crate) fn put_back(&mut self, item: &T) -> bool {
        let is_ours = self.claim(item);
        if is_ours {
            // SAFETY: The bit was clear, so the item is enrolled; it is set, so the links are ours.
            unsafe { self.consumer.list.push_front(item) };
        }
        is_ours
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
/// nulls at the ends, of enrolled items. Each has its `queued` bit set, and is `Listed`. Nobody else
/// accesses their links.
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
    /// `item` is enrolled, its bit is set, and its links are the caller's.
    unsafe fn push_front(&mut self, item: *const T) {
        // SAFETY: `item` and the list's first item are valid, and their links are ours, by the
        // contract and the type's invariants.
        unsafe {
            (*item).links().prev.set(ptr::null());
            (*item).links().next.set(self.first);
            (*item).links().place.set(Place::Listed);
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
            (*item).links().place.set(Place::Listed);
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
        // INVARIANT: `other` is empty now.
        other.first = ptr::null();
        other.last = ptr::null();
    }

    /// Takes the first item, and clears its bit, with a full barrier. Null if there is none.
    #[inline]
    fn pop_front(&mut self) -> *const T {
        let first = self.first;
        // SAFETY: Items of the list are valid, and their links are ours, by the invariants.
        unsafe {
            let Some(item) = first.as_ref() else {
                return first;
            };
            item.links().place.set(Place::Enrolled);
            self.first = item.links().next.get();
            match self.first.as_ref() {
                Some(first) => first.links().prev.set(ptr::null()),
                None => self.last = ptr::null(),
            }
            // From here on the links are those of whoever sets the bit next.
            item.links().queued.exchange(false);
        }
        first
    }

    /// Takes `item` out. Its bit stays set.
    ///
    /// # Safety
    ///
    /// It is in this list.
    unsafe fn unlink(&mut self, item: &T) {
        let links = item.links();
        // SAFETY: The item's links are ours, by the invariants, and its neighbours are valid.
        unsafe {
            links.place.set(Place::Enrolled);
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
