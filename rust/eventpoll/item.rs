// SPDX-License-Identifier: GPL-2.0

//! An item of the interest list: its interest, and the poll of its file.

use super::{
    trace::LimitKind,
    Epitem,
    Eventpoll,
    Inner,
    Item,
    Key, //
};
use crate::kernel_ext::{
    atomic::{
        ordering::{Full, Relaxed},
        smp_mb,
        Atomic, //
    },
    poll_table::poll_now, //
};
use crate::trace::trace;
use crate::uapi::epoll::EP_PRIVATE_BITS;
use kernel::{
    fs::LocalFile,
    prelude::*,
    sync::Arc, //
};

/// Numbers the items. Relaxed additions to one word give each number once.
static ITEMS: Atomic<u64> = Atomic::new(0);

impl Item {
    /// Makes an item of `ep`, charged to its user; ENOSPC if that user has too many.
    pub(super) fn new(
        ep: Arc<Eventpoll>,
        key: Key,
        inner: Option<Inner>,
        events: u32,
        data: u64,
    ) -> Result<Self> {
        ep.user
            .charge_watch()
            .inspect_err(|e| ep.trace_limit(key.fd, LimitKind::User, Some(*e)))?;
        Ok(Self {
            ep,
            id: ITEMS.fetch_add(1, Relaxed).wrapping_add(1),
            file: key.file,
            fd: key.fd,
            inner,
            events: Atomic::new(events),
            data: Atomic::new(data),
        })
    }

    #[inline]
    pub(super) fn key(&self) -> Key {
        Key {
            file: self.file,
            fd: self.fd,
        }
    }

    /// The watched instance, if the file is one.
    pub(super) fn inner(&self) -> Option<&Arc<Eventpoll>> {
        self.inner.as_deref()
    }

    /// The bits of interest: events and flags.
    pub(super) fn events(&self) -> u32 {
        self.events.load(Relaxed)
    }

    /// The caller's word.
    pub(super) fn data(&self) -> u64 {
        self.data.load(Relaxed)
    }

    /// Disarms an `EPOLLONESHOT` item that has fired, until MOD. Under the instance's lock.
    ///
    /// A callback that still sees the old events queues the item in vain. MOD makes up for a
    /// callback that drops its event.
    pub(super) fn disarm(&self) {
        self.events.store(self.events() & EP_PRIVATE_BITS, Relaxed);
        trace!(disarm(self.ep.id, self.id, self.fd));
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.ep.user.uncharge_watch();
    }
}

/// An item with a new interest: the file must be polled with it.
#[must_use = "an event from before the change may be seen by this poll only"]
pub(super) struct Rearmed<'a>(&'a Epitem);

impl Rearmed<'_> {
    /// Polls `file`, which is the item's, as [`Item::poll_file`].
    pub(super) fn poll_file(self, file: &LocalFile, depth: u32) -> u32 {
        self.0.poll_file(file, depth)
    }
}

impl Item {
    /// Changes the interest. Under the instance's lock.
    ///
    /// An event that comes now is seen by the callback, with the new interest, or by the poll that
    /// the result asks for, or by both. This side changes the interest, then, after a full barrier,
    /// looks at the file's state. The other side changes the file's state, then, after a full
    /// barrier, looks at the interest. The second barrier is in the callback: some files, eventfd
    /// among them, change their state under the lock of the wait queue, so no barrier comes between
    /// that and the callback; and they are polled without the lock. The callback needs the barrier
    /// only where it would drop the event. `tools/model/src/rearm.rs` is a twin: change both.
    pub(super) fn set_interest(this: &Epitem, events: u32, data: u64) -> Rearmed<'_> {
        this.events.store(events, Relaxed);
        this.data.store(data, Relaxed);
        smp_mb(Full);
        trace!(modify(this.ep.id, this.id, this.fd, events, data));
        Rearmed(this)
    }
}

impl Epitem {
    /// Polls the item's file: the events of interest that it has, 0 if the file is closed.
    ///
    /// `depth` is the number of instances whose mutexes the caller holds, in a chain that ends with
    /// this item's. Process context, sleeps.
    #[inline]
    pub(super) fn poll(&self, depth: u32) -> u32 {
        match self.file() {
            None => {
                self.trace_poll(0);
                0
            }
            Some(file) => self.poll_file(&file, depth),
        }
    }

    /// As [`Epitem::poll`], for a caller that holds the item's file.
    #[inline]
    pub(super) fn poll_file(&self, file: &LocalFile, depth: u32) -> u32 {
        let events = self.events();
        let ready = match self.inner() {
            None => poll_now(file, events),
            Some(inner) => inner.ready_events(depth),
        };
        self.trace_poll(ready);
        ready & events
    }
}
