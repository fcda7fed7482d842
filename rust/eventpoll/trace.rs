// SPDX-License-Identifier: GPL-2.0

//! The values that the multiplexer's tracepoints record. No other file of the multiplexer names the
//! constants of `trace/repoll_trace.h`.

use super::{
    Eventpoll,
    Item, //
};
use crate::kernel_ext::{
    signal,
    wait_queue::WakeUp, //
};
use crate::trace::{
    constants::*,
    trace, //
};
use kernel::prelude::*;

/// The outcome of a wake-up in the callback.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum Outcome {
    /// It queued the item.
    Queued = REPOLL_CB_QUEUED,
    /// The item was in the ready queue, or on its way there.
    Already = REPOLL_CB_ALREADY,
    /// No event is of interest.
    Mismatch = REPOLL_CB_MISMATCH,
    /// `EPOLLONESHOT` has fired, and no MOD came since.
    Disarmed = REPOLL_CB_DISARMED,
}

/// Why an item enters the ready queue.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum QueueReason {
    Callback = REPOLL_QUEUE_CALLBACK,
    Add = REPOLL_QUEUE_ADD,
    Mod = REPOLL_QUEUE_MOD,
    /// Level-triggered, after its delivery.
    Level = REPOLL_QUEUE_LEVEL,
    /// Its event could not be written to user memory.
    Back = REPOLL_QUEUE_BACK,
}

/// Why waiters or pollers are woken.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum WakeReason {
    Event = REPOLL_WAKE_EVENT,
    /// A WAIT has left items in the ready queue.
    Left = REPOLL_WAKE_LEFT,
    LastClose = REPOLL_WAKE_RELEASE,
}

/// The caller that scans the ready queue.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum Scanner {
    Wait = REPOLL_SCAN_WAIT,
    /// A poller of the instance.
    Poll = REPOLL_SCAN_POLL,
}

/// Which limit was hit.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum LimitKind {
    /// The watches of a user.
    User = REPOLL_LIMIT_USER,
    /// The watches of a file.
    File = REPOLL_LIMIT_FILE,
    /// The levels of instances.
    Depth = REPOLL_LIMIT_DEPTH,
    /// The paths from a file to outermost instances.
    Paths = REPOLL_LIMIT_PATHS,
    /// The pollers of an instance.
    Pollers = REPOLL_LIMIT_POLLERS,
}

impl Eventpoll {
    /// At most one of the waiters, or all pollers, or both are about to be woken.
    pub(super) fn trace_wake(&self, waiters: bool, pollers: bool, reason: WakeReason) {
        trace!(wake(self.id, waiters.into(), pollers.into(), reason as u32));
    }

    /// A waiter is awake.
    pub(super) fn trace_wait_wake(&self, timed_out: bool) {
        trace!(wait_wake(self.id, self.why_awake(timed_out)));
    }

    /// A wait returns.
    #[inline]
    pub(super) fn trace_wait_exit(&self, result: Result<usize>) {
        trace!(wait_exit(
            self.id,
            result.map_or_else(|e| e.to_errno(), |n| n as i32)
        ));
    }

    fn why_awake(&self, timed_out: bool) -> u32 {
        if !self.ready.is_empty() {
            REPOLL_WOKEN_EVENT
        } else if timed_out {
            REPOLL_WOKEN_TIMEOUT
        } else if signal::signal_pending() {
            REPOLL_WOKEN_SIGNAL
        } else {
            REPOLL_WOKEN_NOTHING
        }
    }

    /// A scan of the ready queue begins.
    pub(super) fn trace_scan_begin(&self, by: Scanner) {
        trace!(scan_begin(self.id, by as u32));
    }

    /// A scan has ended: it polled `polled` items, of which `ready` had events.
    pub(super) fn trace_scan_end(&self, polled: u32, ready: u32) {
        trace!(scan_end(self.id, polled, ready));
    }

    /// A limit was hit; `error` refuses an ADD of `fd`. Without `error`, a poller was refused.
    pub(super) fn trace_limit(&self, fd: i32, kind: LimitKind, error: Option<Error>) {
        trace!(limit(
            self.id,
            fd,
            kind as u32,
            error.map_or(0, |e| e.to_errno())
        ));
    }
}

impl Item {
    /// The item is in the interest list.
    pub(super) fn trace_add(&self) {
        trace!(add(
            self.ep.id,
            self.id,
            self.fd,
            self.events(),
            self.data(),
            self.file.to_bits(),
            self.inner().map_or(0, |inner| inner.id)
        ));
    }

    /// DEL removed the item.
    pub(super) fn trace_deleted(&self) {
        self.trace_remove(REPOLL_REMOVE_DEL);
    }

    /// The last close of the file removed the item.
    pub(super) fn trace_closed(&self) {
        self.trace_remove(REPOLL_REMOVE_CLOSED);
    }

    /// The last close of the instance removed the item.
    pub(super) fn trace_released(&self) {
        self.trace_remove(REPOLL_REMOVE_RELEASE);
    }

    fn trace_remove(&self, reason: u32) {
        trace!(remove(self.ep.id, self.id, self.fd, reason));
    }

    /// The file was polled.
    pub(super) fn trace_poll(&self, ready: u32) {
        trace!(poll(self.ep.id, self.id, self.fd, self.events(), ready));
    }

    /// A callback has a result.
    pub(super) fn trace_callback(&self, wake: WakeUp, outcome: Outcome) {
        trace!(callback(
            self.ep.id,
            self.id,
            self.fd,
            wake.events,
            outcome as u32
        ));
    }

    /// A callback returns.
    pub(super) fn trace_callback_exit(&self, woken: bool, used: bool) {
        trace!(callback_exit(
            self.ep.id,
            self.id,
            self.fd,
            woken.into(),
            used.into()
        ));
    }

    /// The item enters the ready queue.
    pub(super) fn trace_queue(&self, reason: QueueReason) {
        trace!(queue(self.ep.id, self.id, self.fd, reason as u32));
    }

    /// An event was copied to the caller.
    pub(super) fn trace_deliver(&self, events: u32, data: u64) {
        trace!(deliver(self.ep.id, self.id, self.fd, events, data));
    }
}
