// SPDX-License-Identifier: GPL-2.0

//! The callbacks of a watched file: a wake-up of its wait queue, and its last close.
//!
//! A wake-up does all its work here: it *matches* the events with the item's interest, *queues* the
//! item, *wakes* a waiter and the pollers of the instance, and returns whether that used up an
//! *exclusive* wake-up. The C side is `ep_poll_callback()` in `fs/eventpoll.c`.

use super::{
    fanout,
    trace::{
        LimitKind,
        Outcome,
        QueueReason,
        WakeReason, //
    },
    Epitem,
    Eventpoll,
    Item,
    Key, //
};
use crate::kernel_ext::{
    atomic::{
        ordering::Full,
        smp_mb, //
    },
    wait_queue::WakeUp,
};
use crate::uapi::epoll::{
    EPOLLEXCLUSIVE,
    EPOLLIN,
    EPOLLINOUT_BITS,
    EPOLLOUT,
    EPOLL_URING_WAKE,
    EP_PRIVATE_BITS, //
};
use crate::watch::{
    ready_queue::Push,
    Closed,
    Others,
    WatchOps, //
};
use core::ops::ControlFlow;
use kernel::{
    prelude::*,
    sync::ArcBorrow, //
};

impl WatchOps for Item {
    type Key = Key;

    #[inline]
    fn key(&self) -> Key {
        Item::key(self)
    }

    fn admit(&self, others: Others<'_, Self>) -> Result {
        fanout::admit(&self.ep, others).inspect_err(|e| {
            self.ep.trace_limit(self.fd, LimitKind::File, Some(*e));
        })
    }

    /// The file woke its wait queue. Any context, under that queue's lock. Of our locks it takes
    /// only those of the wait queues that it wakes.
    #[inline]
    fn poll_callback(this: ArcBorrow<'_, Epitem>, wake: WakeUp) -> bool {
        let mut events = this.events();
        if why_ignored(events, wake.events).is_some() {
            match this.match_again(wake) {
                ControlFlow::Continue(now) => events = now,
                ControlFlow::Break(used) => return used,
            }
        }
        let push = this.ep.ready.push(&this, || {
            this.trace_callback(wake, Outcome::Queued);
            this.trace_queue(QueueReason::Callback);
        });
        if push == Push::Already {
            this.trace_callback(wake, Outcome::Already);
        }
        // An item that was queued already wakes too: a second event may take a second waiter.
        if this.ep.has_sleepers() {
            this.wake_up(wake, events)
        } else {
            this.trace_callback_exit(false, false);
            events & EPOLLEXCLUSIVE == 0
        }
    }

    /// The file was closed for the last time. Called by the hook, under the bucket's lock: must not
    /// sleep. [`Locked::reap`](super::Locked::reap) does the rest.
    fn closed(this: Closed<Self>) {
        this.trace_closed();
        // Once the item is in the list, another thread may reap it, and with it the item's
        // reference to the instance: so take one. Dropping it does not sleep, even if it is the
        // last one.
        let ep = this.ep.clone();
        ep.closed.push(this);
    }
}

/// The reason why a wake-up for `events` does not concern an item with this `interest`, if it does
/// not. A waker that passes no events has `events` 0.
#[inline]
fn why_ignored(interest: u32, events: u32) -> Option<Outcome> {
    if interest & !EP_PRIVATE_BITS == 0 {
        Some(Outcome::Disarmed)
    } else if events != 0 && events & interest == 0 {
        Some(Outcome::Mismatch)
    } else {
        None
    }
}

/// Whether an `EPOLLEXCLUSIVE` item with this `interest`, for which a waiter was woken, uses up a
/// wake-up for `events`. As in `ep_poll_callback()`, it does not if the wake-up is for readers and
/// writers at once, since another item may want the other half.
fn uses_up(interest: u32, events: u32) -> bool {
    match events & EPOLLINOUT_BITS {
        0 => true,
        EPOLLIN => interest & EPOLLIN != 0,
        EPOLLOUT => interest & EPOLLOUT != 0,
        _ => false,
    }
}

// Rare halves of the callback, out of line to keep the common path short.
impl Item {
    /// Matches a wake-up again that seems not to concern the item. Continues with the interest if
    /// the wake-up concerns it after all; breaks with the return value of the callback if not.
    #[cold]
    fn match_again(&self, wake: WakeUp) -> ControlFlow<bool, u32> {
        // The interest may have changed just now. Pairs with the barrier in `Item::set_interest`.
        smp_mb(Full);
        let events = self.events();
        match why_ignored(events, wake.events) {
            None => ControlFlow::Continue(events),
            Some(outcome) => {
                self.trace_callback(wake, outcome);
                self.trace_callback_exit(false, false);
                ControlFlow::Break(events & EPOLLEXCLUSIVE == 0)
            }
        }
    }

    /// Wakes those that sleep on the instance, and returns the callback's return value.
    #[inline(never)]
    fn wake_up(&self, wake: WakeUp, events: u32) -> bool {
        // The caller holds the lock of a wait queue: a file's, or that of the pollers of an
        // instance.
        let depth = self.inner().map_or(1, |inner| inner.pollers.depth());
        let woken = self
            .ep
            .wake_up(wake.sync, wake.events & EPOLL_URING_WAKE, depth);
        let shared = events & EPOLLEXCLUSIVE == 0;
        let used = !shared && woken && !wake.last && uses_up(events, wake.events);
        self.trace_callback_exit(woken, used);
        shared || used
    }
}

impl Eventpoll {
    /// Whether [`Eventpoll::wake_up`] would find a waiter or poller. Comes right after a push,
    /// which is the full barrier between the queue and this look. Any context.
    #[inline]
    fn has_sleepers(&self) -> bool {
        self.waiters.has_entries() || self.pollers.has_entries()
    }

    /// Wakes a waiter and the pollers: the ready queue has an item. Returns whether it woke a
    /// waiter.
    ///
    /// Each push, of a new item or of one that was queued already, is followed by this. The push is
    /// the full barrier between the queue and the look for sleepers. `events` is passed on to
    /// pollers besides `EPOLLIN`; `depth` is that of [`WaitQueue::wake_up_poll`]. Any context.
    ///
    /// [`WaitQueue::wake_up_poll`]: crate::kernel_ext::wait_queue::WaitQueue::wake_up_poll
    #[inline]
    pub(super) fn wake_up(&self, sync: bool, events: u32, depth: u32) -> bool {
        let waiters = self.waiters.has_entries();
        let pollers = self.pollers.has_entries();
        if waiters || pollers {
            self.trace_wake(waiters, pollers, WakeReason::Event);
        }
        let woken = waiters && self.waiters.wake_up(sync);
        if pollers {
            self.pollers.wake_up_poll(EPOLLIN | events, depth);
        }
        woken
    }

    /// Wakes one more waiter for the items that a WAIT leaves in the ready queue: the wake-up that
    /// brought this WAIT may have been the only one. So a level-triggered item wakes waiter after
    /// waiter. Process context.
    #[inline]
    pub(super) fn wake_up_next(&self) {
        if self.ready.is_empty() {
            return;
        }
        smp_mb(Full);
        if self.waiters.has_entries() {
            self.trace_wake(true, false, WakeReason::Left);
            self.waiters.wake_up(false);
        }
    }

    /// Wakes the pollers of an instance that is being released.
    pub(super) fn wake_up_released(&self) {
        if self.pollers.has_entries() {
            self.trace_wake(false, true, WakeReason::LastClose);
            self.pollers.wake_up_poll(EPOLLIN, 0);
        }
    }
}
