// SPDX-License-Identifier: GPL-2.0

//! The multiplexer: what epoll(7) does, over a device.
//!
//! An [`Eventpoll`] is one instance: an interest list, and a ready queue. [`ctl`] changes the
//! former, the watched files' callbacks ([`item`]) fill the latter, [`wait`] empties it.
//!
//! The locks, who may touch what, and why nothing is lost are told in the opening comment of
//! `repoll_main.rs`.

#![forbid(unsafe_code)]

pub(crate) mod crowd;
pub(crate) mod ctl;
pub(crate) mod ioctl;
pub(crate) mod item;
pub(crate) mod nesting;
pub(crate) mod wait;

use crate::kernel_ext::{
    atomic::{
        ordering::Relaxed, //
        Atomic,
    },
    miscdevice::register,
    mutex::lock_nested,
    poll_table::PollTable,
    rbtree::{
        HasNode,
        Tree, //
    },
    user::User,
    wait_queue::{
        new_wait_queue,
        WaitQueue, //
    }, //
};
use crate::trace::{
    constants,
    trace, //
};
use crate::watch::ready_queue::{
    Consumer,
    ReadyQueue, //
};
use crate::watch::ClosedList;
use crate::watch::FileId;

use crate::uapi::epoll::{
    EPOLLERR,
    EPOLLIN,
    EPOLLRDNORM, //
};
use crowd::Crowd;
use item::{
    Epitem, //
    Item,
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

/// What an item is found by, as in epoll: the file, and the descriptor that it was added with. So
/// two descriptors of one file can be watched, each with its own events.
///
/// A file's identity is used again after its last close, when the item that has it is on
/// [`Eventpoll::closed`], or done with: so [`Locked::reap`] comes before each look-up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    file: FileId,
    fd: i32,
}

/// One instance: the private data of an open `/dev/repoll`.
#[pin_data]
pub(crate) struct Eventpoll {
    /// For the tracepoints. Does not change.
    pub(crate) id: u32,
    /// Whose watches they are. Does not change.
    pub(crate) user: User,
    /// What only one task at a time may do.
    #[pin]
    pub(crate) locked: Mutex<Locked>,
    /// Items that may have events. Any context; the consumer is in `locked`.
    pub(crate) ready: ReadyQueue<Epitem>,
    /// Items whose files have been closed. Filled by the last-close hook, emptied under `locked`.
    pub(crate) closed: ClosedList<Item>,
    /// Tasks in WAIT.
    #[pin]
    pub(crate) waiters: WaitQueue,
    /// Those who poll the instance: poll(2), select(2), the C epoll, io_uring.
    #[pin]
    pub(crate) pollers: WaitQueue,
    /// Limits the outsiders that poll the instance. Any context.
    #[pin]
    pub(crate) crowd: Crowd,
    /// Where it is among instances that watch each other.
    pub(crate) place: nesting::Place,
}

/// The part of an instance that [`Eventpoll::locked`] protects.
pub(crate) struct Locked {
    /// The interest list.
    pub(crate) interest: Tree<Epitem>,
    /// Takes items from [`Eventpoll::ready`].
    pub(crate) consumer: Consumer<Epitem>,
}

/// Numbers instances, for the tracepoints.
static INSTANCES: Atomic<u32> = Atomic::new(0);

impl Eventpoll {
    /// An instance that watches nothing, of the current user.
    pub(crate) fn new() -> Result<Arc<Self>> {
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
                crowd <- Crowd::new(),
                place: nesting::Place::new(),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        trace!(create(ep.id));
        Ok(ep)
    }

    /// Whether [`Eventpoll::wake`] would find anyone to wake. To be asked right after a push, which is
    /// the full barrier between the queue and this look. Any context.
    #[inline]
    pub(crate) fn has_sleepers(&self) -> bool {
        self.waiters.has_entries() || self.pollers.has_entries()
    }

    /// Tells waiters and pollers that the ready queue has something. Whoever queued an item, or found
    /// it queued, must call this after: a push is the full barrier between the queue and the look for
    /// sleepers. Any context.
    ///
    /// `events` is what a poller may want to know of the event besides `EPOLLIN`; `depth` is as for
    /// [`WaitQueue::wake_up_poll`]. Returns whether a waiter was woken.
    #[inline]
    pub(crate) fn wake(&self, sync: bool, events: u32, depth: u32) -> bool {
        let waiters = self.waiters.has_entries();
        let pollers = self.pollers.has_entries();
        if waiters || pollers {
            trace!(wake(
                self.id,
                waiters.into(),
                pollers.into(),
                constants::REPOLL_WAKE_EVENT
            ));
        }
        let woken = waiters && self.waiters.wake_up(sync);
        if pollers {
            self.pollers.wake_up_poll(EPOLLIN | events, depth);
        }
        woken
    }

    /// Polls the instance for an outsider: poll(2), select(2), the C epoll, io_uring.
    ///
    /// Once one outsider too many has come ([`Crowd`]), the instance stays in error, to all.
    pub(crate) fn poll(&self, table: &PollTable<'_>) -> u32 {
        if table.waits() && !self.crowd.register(self, table) {
            trace!(limit(self.id, -1, constants::REPOLL_LIMIT_POLLERS, 0));
        }
        if self.crowd.has_refused() {
            return EPOLLERR;
        }
        self.ready_events(0)
    }

    /// Registers the poller of `table`, to be woken by the instance's events. Does not sleep.
    pub(crate) fn register(&self, table: &PollTable<'_>) {
        register(table, self, |ep| &ep.pollers);
    }

    /// The instance as a watched file: readable while WAIT would deliver something.
    ///
    /// Items that turn out not to be ready leave the ready queue, as in `__ep_eventpoll_poll()`: else
    /// poll(2) would say "ready", and WAIT would find nothing, for ever.
    ///
    /// `depth` is the number of instances whose mutexes the caller holds: those that watch this one,
    /// and each other. Process context, sleeps.
    pub(crate) fn ready_events(&self, depth: u32) -> u32 {
        let mut locked = lock_nested(&self.locked, depth);
        locked.reap(self);
        let Some(mut scan) = locked.consumer.scan(&self.ready) else {
            return 0;
        };
        trace!(scan_begin(self.id, constants::REPOLL_SCAN_POLL));
        let mut taken = 0;
        let mut ready = 0;
        while let Some(item) = scan.next() {
            taken += 1;
            if item.poll_now(depth + 1) != 0 {
                scan.put_back(item);
                ready = EPOLLIN | EPOLLRDNORM;
                break;
            }
        }
        trace!(scan_end(self.id, taken, (ready != 0).into()));
        ready
    }

    /// The interest list, in the format of the C epoll's.
    pub(crate) fn show_fdinfo(&self, out: &SeqFile) {
        let mut locked = self.locked.lock();
        locked.reap(self);
        for watched in locked.interest.iter() {
            let Some(file) = watched.file_info() else {
                continue;
            };
            seq_print!(
                out,
                "tfd: {:8} events: {:8x} data: {:16x}  pos:{} ino:{:x} sdev:{:x}\n",
                watched.key().fd,
                watched.events(),
                watched.data(),
                file.pos,
                file.ino,
                file.dev,
            );
        }
    }

    /// Ends all watches. The instance's file has been closed for the last time: nobody waits, polls
    /// or controls it any more.
    pub(crate) fn release(&self) {
        trace!(release(self.id));
        if self.pollers.has_entries() {
            trace!(wake(self.id, 0, 1, constants::REPOLL_WAKE_RELEASE));
            self.pollers.wake_up_poll(EPOLLIN, 0);
        }
        self.place.set_file(FileId::NONE);
        let mut locked = self.locked.lock();
        // First end all callbacks, then take the items out of the queue and the list.
        for watched in locked.interest.iter() {
            // False: the hook has ended it, and has put it on `closed` by now.
            if watched.detach() {
                watched.trace_remove(item::Removal::Release);
            }
        }
        locked.reap(self);
        let Locked { interest, consumer } = &mut *locked;
        for watched in interest.iter() {
            consumer.remove(&self.ready, watched);
        }
        *interest = Tree::new();
    }
}

impl Locked {
    /// Deals with items whose files have been closed, before anything else is done.
    #[inline]
    pub(crate) fn reap(&mut self, ep: &Eventpoll) {
        if !ep.closed.is_empty() {
            self.reap_closed(ep);
        }
    }

    #[cold]
    fn reap_closed(&mut self, ep: &Eventpoll) {
        for watched in ep.closed.take() {
            self.interest.remove(&watched.key());
            self.consumer.remove(&ep.ready, &watched);
        }
    }
}
