// SPDX-License-Identifier: GPL-2.0

//! An item of the interest list, and the callback that queues it.

use super::{
    crowd,
    nesting::Inner,
    Eventpoll,
    Key, //
};

use crate::kernel_ext::{
    atomic::{
        ordering::{
            Full,
            Relaxed, //
        },
        smp_mb, //
        Atomic,
    },
    poll_table::poll_now,
    wait_queue::WakeUp, //
};
use crate::trace::{
    constants,
    trace, //
};
use crate::uapi::epoll::{
    EPOLLEXCLUSIVE,
    EPOLLIN,
    EPOLLINOUT_BITS,
    EPOLLOUT,
    EPOLL_URING_WAKE,
    EP_PRIVATE_BITS, //
};
use crate::watch::ready_queue::Push;
use crate::watch::FileId;
use crate::watch::{
    Closed,
    Others,
    Watch,
    WatchOps, //
};
use kernel::{
    fs::LocalFile,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

/// An item together with its watch of the file.
pub(crate) type Epitem = Watch<Item>;

/// A file descriptor of interest, and what is wanted of it.
///
/// It holds a reference to its instance, and the instance's interest list one to it: a cycle, which
/// ends when the item is removed; at the latest when the instance is released.
pub(crate) struct Item {
    /// Does not change.
    pub(crate) ep: Arc<Eventpoll>,
    /// Unique; for the tracepoints. Does not change.
    id: u64,
    /// Does not change.
    file: FileId,
    /// Does not change.
    fd: i32,
    /// The instance that is watched, if the file is one. Does not change.
    target: Option<Inner>,
    /// Written under the instance's lock. The callback reads it without: [`Item::set_interest`] tells
    /// why it misses nothing.
    events: Atomic<u32>,
    /// Accessed under the instance's lock only.
    data: Atomic<u64>,
}

/// Why an item is removed.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Removal {
    Del = constants::REPOLL_REMOVE_DEL,
    Closed = constants::REPOLL_REMOVE_CLOSED,
    Release = constants::REPOLL_REMOVE_RELEASE,
}

/// Why an item enters the ready queue.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Reason {
    Callback = constants::REPOLL_QUEUE_CALLBACK,
    Add = constants::REPOLL_QUEUE_ADD,
    Mod = constants::REPOLL_QUEUE_MOD,
    Level = constants::REPOLL_QUEUE_LEVEL,
    Back = constants::REPOLL_QUEUE_BACK,
}

/// Numbers items, for the tracepoints. One word, so relaxed additions give each number once.
static ITEMS: Atomic<u64> = Atomic::new(0);

impl Item {
    /// An item of `ep`, counted as a watch of its user, of which there may be `max`.
    pub(crate) fn new(
        ep: Arc<Eventpoll>,
        max: i64,
        key: Key,
        target: Option<Inner>,
        events: u32,
        data: u64,
    ) -> Result<Self> {
        ep.user.charge_watch(max).inspect_err(|e| {
            trace!(limit(
                ep.id,
                key.fd,
                constants::REPOLL_LIMIT_USER,
                e.to_errno()
            ));
        })?;
        Ok(Self {
            ep,
            id: ITEMS.fetch_add(1, Relaxed).wrapping_add(1),
            file: key.file,
            fd: key.fd,
            target,
            events: Atomic::new(events),
            data: Atomic::new(data),
        })
    }

    pub(crate) fn target(&self) -> Option<&Arc<Eventpoll>> {
        self.target.as_deref()
    }

    pub(crate) fn events(&self) -> u32 {
        self.events.load(Relaxed)
    }

    pub(crate) fn data(&self) -> u64 {
        self.data.load(Relaxed)
    }

    /// Changes what is wanted. Under the instance's lock; the caller must poll the file after this.
    ///
    /// An event that comes now is seen by the callback, with the new events, or by the caller's poll,
    /// or by both. Here the events are changed, then, after a full barrier, the file's state is looked
    /// at. On the other side the file's state is changed, then, after a full barrier, the events are
    /// looked at. That barrier is the callback's own: some files, eventfd among them, change their
    /// state under the lock of the wait queue, so there is none between that and the callback, and
    /// are polled without the lock. It is only needed where the callback would throw the event away.
    /// `tools/model/src/rearm.rs` is a twin of the two: change both.
    pub(crate) fn set_interest(&self, events: u32, data: u64) {
        self.events.store(events, Relaxed);
        self.data.store(data, Relaxed);
        smp_mb(Full);
        trace!(modify(self.ep.id, self.id, self.fd, events, data));
    }

    /// ONESHOT has fired: nothing is wanted until MOD. Under the instance's lock. A callback that still
    /// sees the old events queues the item in vain; MOD makes up for one that throws its event away.
    pub(crate) fn disarm(&self) {
        self.events.store(self.events() & EP_PRIVATE_BITS, Relaxed);
        trace!(disarm(self.ep.id, self.id, self.fd));
    }

    pub(crate) fn trace_queue(&self, reason: Reason) {
        trace!(queue(self.ep.id, self.id, self.fd, reason as u32));
    }

    pub(crate) fn trace_remove(&self, reason: Removal) {
        trace!(remove(self.ep.id, self.id, self.fd, reason as u32));
    }

    pub(crate) fn trace_deliver(&self, events: u32, data: u64) {
        trace!(deliver(self.ep.id, self.id, self.fd, events, data));
    }

    pub(crate) fn trace_add(&self) {
        trace!(add(
            self.ep.id,
            self.id,
            self.fd,
            self.events(),
            self.data(),
            self.file.to_bits(),
            self.target().map_or(0, |inner| inner.id)
        ));
    }

    pub(crate) fn trace_poll(&self, ready: u32) {
        trace!(poll(self.ep.id, self.id, self.fd, self.events(), ready));
    }

    fn trace_callback_exit(&self, woken: bool, used: bool) {
        trace!(callback_exit(
            self.ep.id,
            self.id,
            self.fd,
            woken.into(),
            used.into()
        ));
    }

    fn trace_callback(&self, wake: WakeUp, outcome: u32) {
        trace!(callback(self.ep.id, self.id, self.fd, wake.events, outcome));
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.ep.user.uncharge_watch();
    }
}

impl Epitem {
    /// What of the wanted events the file is ready for now: 0 if none, or if it is closed.
    ///
    /// `depth` is the number of instances whose mutexes the caller holds, in a chain that ends with
    /// this item's.
    #[inline]
    pub(crate) fn poll_now(&self, depth: u32) -> u32 {
        match self.file() {
            None => {
                self.trace_poll(0);
                0
            }
            Some(file) => self.poll_file(&file, depth),
        }
    }

    /// The same, for a caller who holds the item's file.
    #[inline]
    pub(crate) fn poll_file(&self, file: &LocalFile, depth: u32) -> u32 {
        let events = self.events();
        let ready = match self.target() {
            None => poll_now(file, events),
            Some(inner) => inner.ready_events(depth),
        };
        self.trace_poll(ready);
        ready & events
    }
}

// What a callback seldom does, apart: its usual way is short.
impl Item {
    /// The events that are wanted now, if the wake-up concerns them after all; else what the callback
    /// returns.
    #[cold]
    fn look_again(&self, wake: WakeUp) -> Result<u32, bool> {
        // Before the event is thrown away: has it become of interest just now? See
        // `Item::set_interest`, with whose barrier this one pairs.
        smp_mb(Full);
        let events = self.events();
        match match_wake(events, wake.events) {
            Ok(()) => Ok(events),
            Err(outcome) => {
                self.trace_callback(wake, outcome);
                self.trace_callback_exit(false, false);
                Err(events & EPOLLEXCLUSIVE == 0)
            }
        }
    }

    /// Wakes those who sleep on the instance, and returns what the callback does.
    #[inline(never)]
    fn wake_sleepers(&self, wake: WakeUp, events: u32) -> bool {
        // We are under the lock of a wait queue: some file's, or that of an instance's pollers.
        let depth = self.target().map_or(1, |inner| inner.pollers.depth());
        let woken = self
            .ep
            .wake(wake.sync, wake.events & EPOLL_URING_WAKE, depth);
        let shared = events & EPOLLEXCLUSIVE == 0;
        let used = !shared && woken && !wake.last && uses_up(events, wake.events);
        self.trace_callback_exit(woken, used);
        shared || used
    }
}

impl WatchOps for Item {
    type Key = Key;

    #[inline]
    fn key(&self) -> Key {
        Key {
            file: self.file,
            fd: self.fd,
        }
    }

    fn admit(&self, others: Others<'_, Self>) -> Result {
        crowd::admit(&self.ep, others).inspect_err(|e| {
            trace!(limit(
                self.ep.id,
                self.fd,
                constants::REPOLL_LIMIT_FILE,
                e.to_errno()
            ));
        })
    }

    /// The callback. Any context, under the lock of the file's wait queue. Takes no lock of ours but
    /// those of the wait queues that it wakes.
    #[inline]
    fn poll_callback(this: ArcBorrow<'_, Epitem>, wake: WakeUp) -> bool {
        let mut events = this.events();
        if match_wake(events, wake.events).is_err() {
            match this.look_again(wake) {
                Ok(now) => events = now,
                Err(used) => return used,
            }
        }
        let push = this.ep.ready.push(&this, || {
            this.trace_callback(wake, constants::REPOLL_CB_QUEUED);
            this.trace_queue(Reason::Callback);
        });
        if push == Push::Already {
            this.trace_callback(wake, constants::REPOLL_CB_ALREADY);
        }
        // Also if it was queued already: a second event may take a second waiter.
        if this.ep.has_sleepers() {
            this.wake_sleepers(wake, events)
        } else {
            this.trace_callback_exit(false, false);
            events & EPOLLEXCLUSIVE == 0
        }
    }

    /// The last close. In the hook, under a bucket's lock: must not sleep. All else is done by the
    /// next one to take the instance's lock.
    fn closed(this: Closed<Self>) {
        this.trace_remove(Removal::Closed);
        // Once it is in the list, a reaper may drop the item, and with it the item's reference to
        // the instance, so take one. To drop it, even as the last one, does not sleep.
        let ep = this.ep.clone();
        ep.closed.push(this);
    }
}

/// Whether a wake-up for the events `woken` concerns an item that wants `wanted`; else the outcome for
/// the tracepoint. 0: the waker did not say what there is.
#[inline]
fn match_wake(wanted: u32, woken: u32) -> Result<(), u32> {
    if wanted & !EP_PRIVATE_BITS == 0 {
        return Err(constants::REPOLL_CB_DISARMED);
    }
    if woken != 0 && woken & wanted == 0 {
        return Err(constants::REPOLL_CB_MISMATCH);
    }
    Ok(())
}

/// Whether a wake-up for the events `woken` is used up by an exclusive item that wants `wanted`, given
/// that a waiter was woken for it. As `ep_poll_callback()`: not if it is for readers and writers at
/// once, since others may want the other half.
fn uses_up(wanted: u32, woken: u32) -> bool {
    match woken & EPOLLINOUT_BITS {
        0 => true,
        EPOLLIN => wanted & EPOLLIN != 0,
        EPOLLOUT => wanted & EPOLLOUT != 0,
        _ => false,
    }
}
