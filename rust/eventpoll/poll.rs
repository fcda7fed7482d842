// SPDX-License-Identifier: GPL-2.0

//! An instance that is polled itself, as a file: by poll(2), another instance, the C epoll.
//!
//! The C side is `__ep_eventpoll_poll()` in `fs/eventpoll.c`.

use super::{
    trace::{
        LimitKind, //
        Scanner,
    },
    Eventpoll, //
};
use crate::kernel_ext::{
    atomic::ordering::Relaxed,
    miscdevice::register,
    mutex::lock_nested,
    poll_table::PollTable, //
};
use crate::uapi::epoll::{
    EPOLLERR,
    EPOLLIN,
    EPOLLRDNORM, //
};

impl Eventpoll {
    /// Polls the instance for an outsider: poll(2), select(2), the C epoll, io_uring; not for
    /// another instance of ours. Process context, sleeps.
    ///
    /// After an outsider was refused ([`fanout`](super::fanout)), the instance is in error for
    /// good.
    pub(super) fn poll(&self, table: &PollTable<'_>) -> u32 {
        if table.waits() && !self.register_outsider(table) {
            self.trace_limit(-1, LimitKind::Pollers, None);
        }
        if self.poller_limit_hit.load(Relaxed) {
            return EPOLLERR;
        }
        self.ready_events(0)
    }

    /// Registers the poller of `table`, to be woken with the instance's events. Does not sleep.
    pub(super) fn register(&self, table: &PollTable<'_>) {
        register(table, self, |ep| &ep.pollers);
    }

    /// The instance's own events: readable if WAIT would deliver an event now.
    ///
    /// Items that turn out not to be ready leave the ready queue, as in the C epoll: else poll(2)
    /// would report the instance readable, and WAIT would find nothing, forever.
    ///
    /// `depth` is the number of instances whose mutexes the caller holds: a chain of instances,
    /// each of which watches the next, down to this one. Process context, sleeps.
    pub(super) fn ready_events(&self, depth: u32) -> u32 {
        let mut locked = lock_nested(&self.locked, depth);
        locked.reap(self);
        let Some(mut scan) = locked.consumer.scan(&self.ready) else {
            return 0;
        };
        self.trace_scan_begin(Scanner::Poll);
        let mut polled = 0;
        let mut ready = 0;
        while let Some(item) = scan.next() {
            polled += 1;
            if item.poll(depth + 1) != 0 {
                scan.put_back(item);
                ready = EPOLLIN | EPOLLRDNORM;
                break;
            }
        }
        self.trace_scan_end(polled, (ready != 0).into());
        ready
    }
}
