// SPDX-License-Identifier: GPL-2.0

//! The ready queue: many producers that must not wait, in any context, and one consumer at a time.
//!
//! # Contract
//!
//! - An item is *enrolled* by the consumer ([`Consumer::enrol`]) before it can be queued, and
//!   removed by it ([`Consumer::remove`]). In between the queue owns a reference to it.
//! - [`ReadyQueue::push`] queues an enrolled item, unless it is queued. It takes no lock, and waits
//!   for nobody.
//! - A caller of `push` must then wake the waiters of the queue, whatever `push` returned.
//! - [`ReadyQueue::is_empty`] is false from the end of a push until a scan has dealt with the item.
//! - [`Consumer::scan`] takes the items in order of arrival. An event that comes after
//!   [`Scan::next`] has returned its item queues the item anew. So no event is lost if the consumer
//!   polls the item after `next`.
//! - An item is in the queue once. An item or a consumer of another queue is refused: a bug of the
//!   caller, but not unsound.
//!
//! # Implementation
//!
//! Each item has a *queued* bit. A producer (a wait-queue callback, perhaps in hard interrupt) that
//! finds it clear sets it and pushes the item on a stack, with one compare-and-exchange loop: a
//! producer that is interrupted half-way stalls nobody. The consumer, who holds the instance's
//! mutex, takes the whole stack with one exchange and reverses it. So it has the items in order of
//! arrival, in a list that is its own. It clears an item's bit *before* it polls the item's file
//! again, so an event that comes during or after the poll queues the item anew. Hence there is no
//! second "overflow" list, as `fs/eventpoll.c` needs, and no lock in the callback.
//!
//! # The word
//!
//! The stack's head is a pointer and one bit, [`BUSY`]: the consumer is scanning, or holds items in
//! its lists. Every move of a ready item is one atomic change of this word:
//!
//! - from the stack to the consumer, the pointer goes and `BUSY` comes in the same exchange;
//! - while the consumer has the item, `BUSY` stays;
//! - if a callback pushed the item anew meanwhile, the pointer is back before `BUSY` goes.
//!
//! So a single load says whether there is anything to wait for ([`ReadyQueue::is_empty`]). With two
//! fields, a reader that loads the mark and then the stack would miss an item that moved from one
//! to the other in between.
//!
//! # No event is lost
//!
//! A producer changes the file's state, then exchanges the bit, which is a full barrier. If the bit
//! was clear, it pushes. If it was set, the consumer has yet to exchange it. That exchange follows
//! the producer's in the order of the bit's changes. So the consumer sees all that the producer did
//! before, and the poll after the exchange finds the event. The exchange must be unconditional: a
//! plain load, or a compare-and-exchange that fails, orders nothing.
//!
//! Between a producer's exchange and its push, a second producer of the same item may find the bit
//! set, and wake a consumer that sees an empty queue and sleeps again. The first producer's own
//! wake-up, which comes after its push, makes up for that. A consumer that does not sleep finds
//! nothing, as if it had come before the first producer's event, though it may know of the second
//! event.
//!
//! A consumer that wants to queue an item anew, and finds its bit set, must not conclude that the
//! item is in the queue while the producer is in that gap: the word would be zero though an item is
//! ready. So it waits for the push ([`Consumer::await_push`]). The consumer may wait, the producer
//! never does. The producer is on another CPU, a few instructions from its push, and its trace
//! records if it is traced; none of that waits for the consumer.
//!
//! The producer can't be preempted in the gap, so the wait ends soon. A callback holds a wait
//! queue's spinlock, which disables preemption, except on a PREEMPT_RT kernel. There a consumer of
//! a higher priority would spin while its producer has no CPU, forever on the producer's own CPU.
//! So on that kernel the producer holds an [`Unpreempted`] from the exchange to the push. An
//! interrupt may still come into the gap, on either kernel; it waits for no consumer.
//!
//! # Ownership
//!
//! The queue owns a reference to each enrolled item, queued or not. So neither a push nor a scan
//! counts references. An item that is not enrolled has its bit set, and nobody will push it: so it
//! can't be queued.
//!
//! The links of an enrolled item belong to the thread that set its bit, up to the push; then to the
//! consumer.

// Part of the queue: nothing else may change the links.
#[path = "ready_list.rs"]
mod ready_list;

use super::ready_sync::{
    relax,
    Arc,
    Flag,
    Unpreempted,
    Word, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use ready_list::{
    List,
    QueueId,
    QueueState, //
};

pub(crate) use ready_list::{
    HasLinks,
    Links, //
};

/// In the queue's word: the consumer is scanning, or has items in its lists.
const BUSY: usize = 1;

/// The result of [`ReadyQueue::push`].
#[must_use = "the caller must wake the waiters of the queue, whatever the result"]
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
/// - `head` without [`BUSY`] is null or the first item of a stack, linked through `next`, of items
///   that are enrolled and whose `queued` bit is set. All were made for this queue.
/// - No other queue has this `id`.
/// - `has_consumer` is set when the queue has its one consumer.
pub(crate) struct ReadyQueue<T: HasLinks> {
    head: Word,
    id: QueueId,
    has_consumer: Flag,
    _items: PhantomData<Arc<T>>,
}

impl<T: HasLinks> ReadyQueue<T> {
    /// An empty queue.
    pub(crate) fn new() -> Self {
        Self {
            head: Word::new(),
            id: QueueId::new(),
            has_consumer: Flag::new(false),
            _items: PhantomData,
        }
    }

    /// Links of an item that may be queued on this queue, and on no other.
    pub(crate) fn new_links(&self) -> Links<T> {
        Links::new(self.id)
    }

    /// Whether no item is ready: none on the stack, none with the consumer. Any context.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load() == 0
    }

    /// Puts `item` into the queue, unless it is there. Any context, no lock.
    ///
    /// `queued` is called if it is not, before the consumer can take the item: so the producer's
    /// records of the item come before the consumer's. The consumer may wait for `queued`: it must
    /// be short, not sleep, take no lock, and not wait for the consumer. Preemption may be off.
    ///
    /// In either case it ends with a full barrier; the caller must then wake those who wait for the
    /// queue. An item of another queue is refused, as if it were there already: a bug of the
    /// caller.
    #[inline]
    pub(crate) fn push(&self, item: &T, queued: impl FnOnce()) -> Push {
        let links = item.links();
        if !self.owns(item) {
            return Push::Already;
        }
        // Lives until the item is pushed.
        let _unpreempted = Unpreempted::new();
        if links.queued.exchange(true) {
            return Push::Already;
        }
        queued();
        let mut head = self.head.load();
        loop {
            // SAFETY: The item is enrolled, since its bit was clear, and this thread has set it: so
            // nobody else accesses the links before the item is on the stack.
            unsafe { links.next.set((head & !BUSY) as *const T) };
            // INVARIANT: The item is enrolled, and stays so until the consumer has it: `remove`
            // waits for this.
            match self
                .head
                .compare_exchange(head, ptr::from_ref(item) as usize | (head & BUSY))
            {
                Ok(_) => return Push::Queued,
                Err(now) => head = now,
            }
        }
    }

    /// Whether `item` was made for this queue.
    fn owns(&self, item: &T) -> bool {
        item.links().queue == self.id
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
            // their bits are set. The exchange made this thread the only one to access their links,
            // and it saw all that was published by their pushes.
            next = unsafe { (*item).links().next.get() };
            // SAFETY: The item is enrolled, and its links are ours, as above.
            unsafe { list.push_front(item) };
        }
        list
    }

    /// Clears [`BUSY`]. Only for the consumer, when its lists are empty.
    fn clear_busy(&self) {
        let mut head = self.head.load();
        while let Err(now) = self.head.compare_exchange(head, head & !BUSY) {
            head = now;
        }
    }
}

/// The consumer's side: the items that it took off the stack and has not dealt with yet.
///
/// A queue has one, kept under the lock that makes the consumer unique.
///
/// # Invariants
///
/// - `queue` is none, and the lists are empty; or this is the only consumer of `queue`, to which
///   all items of the lists belong.
/// - The queue's [`BUSY`] is set while the lists are not all empty.
pub(crate) struct Consumer<T: HasLinks> {
    /// Items that were there when the scan began, and have not been taken.
    scanning: List<T>,
    /// Items that came during the scan.
    arrived: List<T>,
    /// Items that the scan queues for the next scan.
    requeued: List<T>,
    queue: QueueId,
}

// SAFETY: The consumer has items that may be used and dropped on any thread.
unsafe impl<T: HasLinks> Send for Consumer<T> {}

impl<T: HasLinks> Consumer<T> {
    /// The consumer of the queue that it is first used with, if that has no other.
    pub(crate) fn new() -> Self {
        Self {
            scanning: List::new(),
            arrived: List::new(),
            requeued: List::new(),
            queue: QueueId::NONE,
        }
    }

    /// Ties the consumer to its queue. False for a second queue, or a second consumer.
    fn is_of(&mut self, queue: &ReadyQueue<T>) -> bool {
        if self.queue == QueueId::NONE && !queue.has_consumer.exchange(true) {
            self.queue = queue.id;
        }
        self.queue == queue.id
    }

    /// Has the queue own a reference to `item`, which may be queued from now on, until
    /// [`Consumer::remove`]; an item that is never removed is never freed. An item of another
    /// queue, or one that is enrolled, is refused: a bug of the caller.
    #[inline]
    pub(crate) fn enrol(&mut self, queue: &ReadyQueue<T>, item: Arc<T>) {
        if !self.is_of(queue) || !queue.owns(&item) {
            return;
        }
        // SAFETY: `state` is the consumer's, which we are: the item is of our queue.
        unsafe {
            if item.links().state.get() != QueueState::Out {
                return;
            }
            item.links().state.set(QueueState::Enrolled);
        }
        // INVARIANT: The queue owns the reference from now on. `remove` makes it of the item's
        // address.
        let item = Arc::into_raw(item);
        let _ = item.expose_provenance();
        // SAFETY: So it is valid.
        unsafe { (*item).links().queued.exchange(false) };
    }

    /// Begins a scan of all items that are ready now. `None` if `queue` has another consumer.
    #[inline]
    pub(crate) fn scan<'a>(&'a mut self, queue: &'a ReadyQueue<T>) -> Option<Scan<'a, T>> {
        if !self.is_of(queue) {
            return None;
        }
        // A scan that was not ended by its drop may have left something.
        self.merge_lists(queue);
        // INVARIANT: It is the queue's consumer.
        Some(Scan {
            queue,
            consumer: self,
        })
    }

    /// Ends [`Consumer::enrol`]: takes `item` out of the queue, wherever it is in it, and gives the
    /// reference back. From now on the item can't be queued. `None` if it is not enrolled.
    pub(crate) fn remove(&mut self, queue: &ReadyQueue<T>, item: &T) -> Option<Arc<T>> {
        if !self.is_enrolled(queue, item) {
            return None;
        }
        if item.links().queued.exchange(true) {
            // It is in the queue, or a producer is about to push it.
            self.await_listed(queue, item);
            self.merge_lists(queue);
            // SAFETY: It is in one of our lists, and after `merge_lists` all of their items are in
            // this one.
            unsafe { self.scanning.unlink(item) };
            self.clear_busy_if_drained(queue);
        }
        // INVARIANT: The bit is set, and the queue gives its reference away.
        // SAFETY: `state` is the consumer's, which we are; the queue owned this reference.
        unsafe {
            item.links().state.set(QueueState::Out);
            let address = ptr::from_ref(item).addr();
            Some(Arc::from_raw(ptr::with_exposed_provenance(address)))
        }
    }

    fn is_enrolled(&mut self, queue: &ReadyQueue<T>, item: &T) -> bool {
        if !self.is_of(queue) || !queue.owns(item) {
            return false;
        }
        // SAFETY: `state` is the consumer's, which we are: the item is of our queue.
        unsafe { item.links().state.get() != QueueState::Out }
    }

    /// Waits until an `item` whose bit was found set is in the queue for all to see. Its producer
    /// may be between setting the bit and the push.
    #[cold]
    pub(crate) fn await_push(&mut self, queue: &ReadyQueue<T>, item: &T) {
        if self.is_enrolled(queue, item) && item.links().queued.get() {
            self.await_listed(queue, item);
        }
    }

    /// Waits until `item`, of our queue and enrolled, whose bit is set, is in one of our lists. It
    /// will be: nobody else clears the bit.
    fn await_listed(&mut self, queue: &ReadyQueue<T>, item: &T) {
        loop {
            self.arrived.append(&mut queue.take());
            // SAFETY: `state` is the consumer's, which we are: the item is of our queue.
            if unsafe { item.links().state.get() } == QueueState::Listed {
                return;
            }
            relax();
        }
    }

    /// Moves all items into `scanning`, in order: those that were not taken, those that arrived
    /// meanwhile, those that were requeued.
    fn merge_lists(&mut self, queue: &ReadyQueue<T>) {
        self.arrived.append(&mut queue.take());
        self.scanning.append(&mut self.arrived);
        self.scanning.append(&mut self.requeued);
    }

    /// Clears the queue's [`BUSY`] if no item is left. Call it after [`Consumer::merge_lists`].
    fn clear_busy_if_drained(&mut self, queue: &ReadyQueue<T>) {
        if self.scanning.is_empty() {
            queue.clear_busy();
        }
    }
}

/// A pass over the ready items, in order. Ends when it is dropped. Then the queue holds the items
/// that were not taken, those that arrived meanwhile, and those that were requeued, in this order.
///
/// # Invariants
///
/// `consumer` is that of `queue`.
pub(crate) struct Scan<'a, T: HasLinks> {
    queue: &'a ReadyQueue<T>,
    consumer: &'a mut Consumer<T>,
}

impl<'a, T: HasLinks> Scan<'a, T> {
    /// Takes the next item out of the queue, with a full barrier: an event that the caller's poll
    /// of the item does not find queues the item anew.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<&'a T> {
        let item = self.consumer.scanning.pop_front();
        // SAFETY: The item is enrolled, so the queue owns a reference to it, until `remove` is
        // called with the consumer, which is borrowed for `'a`.
        let item = unsafe { item.as_ref() }?;
        // From here on the links belong to the thread that sets the bit next.
        item.links().queued.exchange(false);
        Some(item)
    }

    /// Sets the bit of `item`. Returns whether it was clear: then the caller must put the item into
    /// one of our lists. Else the item is in the queue when this returns, if it is enrolled.
    #[must_use = "the item must be put into a list if the bit was clear"]
    #[inline]
    fn set_queued(&mut self, item: &T) -> bool {
        if !self.queue.owns(item) {
            return false;
        }
        if !item.links().queued.exchange(true) {
            return true;
        }
        self.consumer.await_push(self.queue, item);
        false
    }

    /// Queues `item` again behind all others, for the next scan, unless a producer has queued it.
    /// Returns whether it did.
    #[inline]
    pub(crate) fn requeue(&mut self, item: &T) -> bool {
        let is_ours = self.set_queued(item);
        if is_ours {
            // SAFETY: The bit was clear, so the item is enrolled; it is set, so the links are ours.
            unsafe { self.consumer.requeued.push_back(item) };
        }
        is_ours
    }

    /// Puts `item` back to the front, as if it had not been taken, unless a producer has queued it.
    /// Returns whether it did.
    pub(crate) fn put_back(&mut self, item: &T) -> bool {
        let is_ours = self.set_queued(item);
        if is_ours {
            // SAFETY: The bit was clear, so the item is enrolled; it is set, so the links are ours.
            unsafe { self.consumer.scanning.push_front(item) };
        }
        is_ours
    }
}

impl<T: HasLinks> Drop for Scan<'_, T> {
    fn drop(&mut self) {
        self.consumer.merge_lists(self.queue);
        self.consumer.clear_busy_if_drained(self.queue);
    }
}
