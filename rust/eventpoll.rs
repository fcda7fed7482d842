// SPDX-License-Identifier: GPL-2.0

//! The multiplexer: epoll(7) as a device.
//!
//! An open `/dev/repoll` is an [`Eventpoll`]: an interest list of watched files, and a ready queue.
//! ADD puts an entry into each wait queue of a file; the entry has a callback of ours and no
//! process. When the file wakes its queue, the callback (in the context of the wake-up) puts the
//! item into the ready queue and wakes one waiter. WAIT takes items from the ready queue, polls
//! each file again, and copies the events that it finds to userspace.
//!
//! | file | what it does |
//! |---|---|
//! | [`callback`] | a wake-up: match, queue, wake, `EPOLLEXCLUSIVE`; the last close of a file |
//! | [`wait`] | WAIT: sleep, drain the ready queue, copy the events out |
//! | [`ctl`] | ADD, MOD and DEL |
//! | [`poll`] | an instance that is polled itself |
//! | [`item`] | an item: its interest, and the poll of its file |
//! | [`nesting`], [`topology`] | instances that watch instances |
//! | [`fanout`] | limits on the callbacks of one wake-up |
//! | [`ioctl`] | the open file: system calls to the functions above |
//! | [`trace`](mod@trace) | the values that the tracepoints record |
//!
//! This comment follows the opening comment of `fs/eventpoll.c`, which does the same in C.
//!
//! # Locking
//!
//! From the outer to the inner lock:
//!
//! ```text
//!   Eventpoll::locked      mutex, one per instance: interest list, consumer of the ready queue
//!   > Topology             mutex, global, killable: ADD of an instance, or to a nested instance
//!     > bucket             spinlock, process context only: part of the table of watched files
//!       > whead->lock      spinlock of a watched file's wait queue: not ours, any context
//!         > waiters, pollers   locks of our own wait queues: any context
//!
//!   Eventpoll::arrival     mutex, one per instance: an outsider registers, under no lock of ours
//!   > pollers              as above
//! ```
//!
//! - `locked` is a mutex because delivery writes to user memory, and a file's `->poll` may sleep.
//! - Under the topology's lock, mutexes of other instances are only tried ([`nesting`]). Nothing
//!   under it waits for a user.
//! - The callback runs under `whead->lock`, perhaps in a hard interrupt. Of our locks it takes only
//!   those of the wait queues that it wakes: the ready queue has no lock.
//! - A bucket's lock is outside of `whead->lock`, since entries are removed from wait queues under
//!   it. It leaves interrupts on: the last-close hook takes it in process context, and nothing
//!   takes it in an interrupt.
//! - A poller of an instance is woken through `pollers`, under `whead->lock`. If the poller is an
//!   instance too, `pollers` is its `whead->lock`: these locks nest, from the innermost instance to
//!   the outermost. The mutexes nest the other way, when an instance is polled that watches
//!   another. [`nesting`] refuses cycles and more than four levels. lockdep knows the level as a
//!   subclass.
//! - Other pollers of an instance (the C epoll, say) take their own locks below `pollers` and never
//!   call us back: an instance watches no C epoll, and io_uring and aio defer what a wake-up makes
//!   them do with an eventfd.
//! - The last-close hook runs wherever a file is closed for the last time, so under any mutex of
//!   any subsystem. It takes no mutex.
//! - On a PREEMPT_RT kernel all these spinlocks sleep, and "any context" is a task, a softirq, or
//!   an interrupt's thread. The order is the same, and no argument here rests on a context or a
//!   CPU: see Documentation/explanation/architecture.rst, "PREEMPT_RT".
//!
//! # Fields
//!
//! | field | protected by |
//! |---|---|
//! | `Eventpoll::locked` | itself: the interest list, the ready queue's consumer |
//! | `Eventpoll::ready` | no lock: see [`ready_queue`](crate::watch::ready_queue) |
//! | `Eventpoll::closed` | no lock to fill it, `locked` to empty it |
//! | `Eventpoll::waiters`, `pollers` | their own locks |
//! | `Eventpoll::arrival` | itself: no field, but the count of pollers until one is registered |
//! | `Eventpoll::poller_limit`, `poller_limit_hit` | no lock: they change in one direction only |
//! | `Eventpoll::topology`: results of a walk | the topology's lock |
//! | `Item::events` | `locked` to write; the callback reads it without: `Item::set_interest` |
//! | `Item::data` | `locked` |
//! | an item's node in the interest list | `locked` |
//! | a watch's entries | ADD until it returns; then the bucket's lock |
//! | a watch's links in the table of watched files | the bucket's lock |
//! | a watch's file pointer | the bucket's lock to write; RCU to take a reference through it |
//! | an item's links in the ready queue | the thread that set its *queued* bit; then the consumer |
//!
//! # States of an item
//!
//! ```text
//!             callback, ADD or MOD: ready         WAIT takes it, clears the bit, polls
//!   (idle) ---------------------------------> (queued) ----------------------------------> (taken)
//!      ^                                         ^                                            |
//!      |                                         |  level-triggered: queued again, last       |
//!      |                                         |  buffer can't be written: queued again, first
//!      |                                         +--------------------------------------------+
//!      +--------------------------------------------------------------------------------------+
//!                       not ready after all; edge-triggered; ONESHOT: disarmed as well
//! ```
//!
//! The bit is cleared *before* the poll, so an event that the poll misses queues the item again.
//! [`ready_queue`](crate::watch::ready_queue) argues why no event and no wake-up is lost.
//!
//! # Adding
//!
//! ADD, under `locked`, puts the item into the interest list and its watch into the table of
//! watched files, and enrols the item in the ready queue. No callback can come yet, so it checks
//! the item's paths next. Last it polls the file, which puts the entries into the file's wait
//! queues. ADD holds the file meanwhile, so its last close can't come in between. Callbacks may
//! come from the first entry on: they queue the item, and no consumer takes it before `locked` is
//! free. A step that fails undoes the earlier ones in the reverse order.
//!
//! An instance that is added is not polled under the topology's lock: its `pollers` get the entry
//! there, and it is polled after the lock is released.
//!
//! # Removal
//!
//! Three paths remove an item:
//!
//! - **A**, DEL: under `locked`, holding a reference to the file;
//! - **B**, the last close of the instance: [`Eventpoll::release`], when nobody else uses it;
//! - **C**, the last close of the watched file: the hook, which has no reference to anything and
//!   can't sleep ([`last_close`](crate::watch::last_close)).
//!
//! Each path ends the watch under the lock of the file's bucket; the first one does, the others
//! find it ended. An ended watch is off the table, its file pointer is cleared, and its entries are
//! out of the wait queues, so no callback runs any more ([`watch`](crate::watch)). The watch's
//! reference to the item then goes:
//!
//! - A and B drop it: they may sleep. They also remove the item from the ready queue and the
//!   interest list, each of which owns a reference.
//! - C puts it on [`Eventpoll::closed`] before it releases the bucket's lock. The next thread that
//!   takes `locked` removes the item from queue and list ([`Locked::reap`]). B takes each item's
//!   bucket lock before it looks at `closed`, so it leaves no item there.
//!
//! A and C exclude each other, since A holds a reference to the file. WAIT may meet an item whose
//! file C is closing. It polls through a reference that it gets only while the pointer is not
//! cleared and the file's count is not zero; else it skips the item.
//!
//! # POLLFREE
//!
//! Some wait queues go away before their file does (signalfd's, binder's). Their owner wakes the
//! entries with POLLFREE, and frees the queue an RCU grace period later at the earliest. The
//! callback removes its entry from the queue, then stores a null queue with release, and does not
//! touch the entry after that. The thread that ends the watch loads the queue with acquire in an
//! RCU section. See [`Entry`](crate::kernel_ext::wait_queue::Entry).

#![forbid(unsafe_code)]

mod callback;
mod ctl;
mod fanout;
mod ioctl;
mod item;
mod lease;
mod nesting;
mod poll;
mod topology;
mod trace;
mod wait;

use crate::kernel_ext::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    limits::Limit,
    rbtree::Tree,
    user::User,
    wait_queue::{
        new_wait_queue,
        WaitQueue, //
    },
};
use crate::trace::trace;
use crate::watch::{
    ready_queue::{
        Consumer,
        ReadyQueue, //
    },
    ClosedList,
    FileId,
    Watch, //
};
use kernel::{
    new_mutex,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use topology::TopologyState;

pub(crate) use ctl::{
    epoll_ctl,
    Locking, //
};
pub(crate) use ioctl::{
    epoll_create,
    init,
    OPERATIONS, //
};
pub(crate) use lease::{
    Lease,
    Leases, //
};
pub(crate) use wait::epoll_wait;

/// One instance: the private data of an open `/dev/repoll`. The [module](self) has the locks.
#[pin_data]
pub(crate) struct Eventpoll {
    /// Identifies the instance in the tracepoints. Does not change.
    id: u32,
    /// The user whose quota the watches are charged to. Does not change.
    user: User,
    /// The state that one task at a time may use.
    #[pin]
    locked: Mutex<Locked>,
    /// Items that may have events. Any context; its consumer is in `locked`.
    ready: ReadyQueue<Epitem>,
    /// Items whose files were closed. The last-close hook fills it.
    closed: ClosedList<Item>,
    /// Tasks in WAIT.
    #[pin]
    waiters: WaitQueue,
    /// Pollers of the instance: other instances, poll(2), select(2), the C epoll, io_uring.
    #[pin]
    pollers: WaitQueue,
    /// The most *outsiders*: pollers that are no instance of ours ([`fanout`]). Only lowered.
    poller_limit: Limit,
    /// Set when a poller is refused; poll then reports `EPOLLERR` for good, to all pollers.
    /// Relaxed: the refused poller sees its own store, and others may see it late.
    poller_limit_hit: Atomic<bool>,
    /// Held from the count of the pollers until one more is registered, which may sleep.
    #[pin]
    arrival: Mutex<()>,
    /// The instance's place among instances that watch each other.
    topology: TopologyState,
    /// Of an instance that was taken over. Does not change.
    _lease: Option<Lease>,
}

/// The part of an instance that [`Eventpoll::locked`] protects.
struct Locked {
    /// The interest list.
    interest: Tree<Epitem>,
    /// Takes items from [`Eventpoll::ready`].
    consumer: Consumer<Epitem>,
}

/// An item together with its watch of the file.
type Epitem = Watch<Item>;

/// A descriptor in the interest list, with the events of interest.
///
/// The item holds a reference to its instance, and the instance's interest list one to the item: a
/// cycle, which ends when the item is removed, at the latest when the instance is released.
struct Item {
    /// Does not change.
    ep: Arc<Eventpoll>,
    /// Identifies the item in the tracepoints. Unique. Does not change.
    id: u64,
    /// With `fd`, the item's [`Key`]. Does not change.
    file: FileId,
    fd: i32,
    /// The watched instance, if the file is one. Does not change.
    inner: Option<Inner>,
    /// `EPOLL*` bits: events and flags. See [`Item::set_interest`].
    events: Atomic<u32>,
    /// The caller's word, which comes back with each event.
    data: Atomic<u64>,
}

/// Identifies an item, as in epoll: the file, and the descriptor that it was added with. So two
/// descriptors of one file can be watched, each for its own events.
///
/// A file's identity is reused after its last close. The item that has it is on
/// [`Eventpoll::closed`] then, or is removed: so [`Locked::reap`] comes before each look-up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    file: FileId,
    fd: i32,
}

/// A watched instance: while this exists, [`TopologyState`] counts it as nested.
struct Inner(Arc<Eventpoll>);

/// Numbers the instances.
static INSTANCES: Atomic<u32> = Atomic::new(0);

impl Eventpoll {
    /// Makes an instance of the current user that watches nothing, and owns `lease`.
    fn new(lease: Option<Lease>) -> Result<Arc<Self>> {
        let user = User::current()?;
        let ep = Arc::pin_init(
            pin_init!(Self {
                id: INSTANCES.fetch_add(1, Relaxed).wrapping_add(1),
                user,
                locked <- new_mutex!(
                    Locked { interest: Tree::new(), consumer: Consumer::new() },
                    "Eventpoll::locked"
                ),
                ready: ReadyQueue::new(),
                closed: ClosedList::new(),
                waiters <- new_wait_queue!("Eventpoll::waiters"),
                pollers <- new_wait_queue!("Eventpoll::pollers"),
                poller_limit: Limit::new(Self::MAX_OUTSIDERS),
                poller_limit_hit: Atomic::new(false),
                arrival <- new_mutex!((), "Eventpoll::arrival"),
                topology: TopologyState::new(),
                _lease: lease,
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        trace!(create(ep.id));
        Ok(ep)
    }

    /// Ends all watches. The instance's file was closed for the last time: nobody waits on, polls
    /// or changes the instance any more.
    fn release(&self) {
        trace!(release(self.id));
        self.wake_up_released();
        self.topology.set_file(FileId::NONE);
        let mut locked = self.locked.lock();
        // End all callbacks first, then take the items out of queue and list.
        for item in locked.interest.iter() {
            // False: the hook has ended the watch, and has put it on `closed` by now.
            if item.detach() {
                item.trace_released();
            }
        }
        locked.reap(self);
        let Locked { interest, consumer } = &mut *locked;
        for item in interest.iter() {
            consumer.remove(&self.ready, item);
        }
        *interest = Tree::new();
    }

    /// The file of the item number `offset` (from 0) of those that watch descriptor `fd`, as
    /// kcmp(2) names it; ENOENT. Process context, sleeps.
    pub(crate) fn watched_file(&self, fd: i32, offset: usize) -> Result<FileId> {
        let mut locked = self.locked.lock();
        locked.reap(self);
        let mut items = locked.interest.iter().filter(|item| item.fd == fd);
        items.nth(offset).map(|item| item.file).ok_or(ENOENT)
    }

    /// Prints the interest list in the format of the C epoll.
    fn show_fdinfo(&self, out: &SeqFile) {
        let mut locked = self.locked.lock();
        locked.reap(self);
        for item in locked.interest.iter() {
            let Some(file) = item.file_info() else {
                continue;
            };
            seq_print!(
                out,
                "tfd: {:8} events: {:8x} data: {:16x}  pos:{} ino:{:x} sdev:{:x}\n",
                item.fd,
                item.events(),
                item.data(),
                file.pos,
                file.ino,
                file.dev,
            );
        }
    }
}

impl Locked {
    /// Removes the items whose files were closed. Comes before every other use of the lists.
    #[inline]
    fn reap(&mut self, ep: &Eventpoll) {
        if !ep.closed.is_empty() {
            self.reap_closed(ep);
        }
    }

    #[cold]
    fn reap_closed(&mut self, ep: &Eventpoll) {
        for item in ep.closed.take() {
            self.interest.remove(&item.key());
            self.consumer.remove(&ep.ready, &item);
        }
    }
}
