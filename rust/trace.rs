// SPDX-License-Identifier: GPL-2.0

//! The module's tracepoints: a static branch each while they are off.
//!
//! `trace/repoll_trace.h` declares them. All may be called in any context. Logic calls them by
//! [`trace!`].

mod bindings;

use crate::kernel_ext::tracepoint::declare_trace;
use crate::uapi::args::repoll_counts;

/// The values of the tracepoints' fields, as `repoll_trace.h` names them.
pub(crate) mod constants {
    pub(crate) use super::bindings::{
        REPOLL_CALL_POLL,
        REPOLL_CALL_SELECT,
        REPOLL_CB_ALREADY,
        REPOLL_CB_DISARMED,
        REPOLL_CB_MISMATCH,
        REPOLL_CB_QUEUED,
        REPOLL_DROP_FULL,
        REPOLL_DROP_OTHER,
        REPOLL_DROP_TOO_LONG,
        REPOLL_LIMIT_DEPTH,
        REPOLL_LIMIT_FILE,
        REPOLL_LIMIT_PATHS,
        REPOLL_LIMIT_POLLERS,
        REPOLL_LIMIT_USER,
        REPOLL_QUEUE_ADD,
        REPOLL_QUEUE_BACK,
        REPOLL_QUEUE_CALLBACK,
        REPOLL_QUEUE_LEVEL,
        REPOLL_QUEUE_MOD,
        REPOLL_REMOVE_CLOSED,
        REPOLL_REMOVE_DEL,
        REPOLL_REMOVE_RELEASE,
        REPOLL_SCAN_POLL,
        REPOLL_SCAN_WAIT,
        REPOLL_WAKE_EVENT,
        REPOLL_WAKE_LEFT,
        REPOLL_WAKE_RELEASE,
        REPOLL_WOKEN_EVENT,
        REPOLL_WOKEN_NOTHING,
        REPOLL_WOKEN_SIGNAL,
        REPOLL_WOKEN_TIMEOUT, //
    };
}

/// Calls a tracepoint, with arguments that are evaluated only if it is on: `trace!(create(ep.id))`.
macro_rules! trace {
    ($name:ident($($arg:expr),* $(,)?)) => {
        if $crate::trace::is_on::$name() {
            $crate::trace::record::$name($($arg),*);
        }
    };
}
pub(crate) use trace;

declare_trace! {
    system: repoll, bindings: bindings;
    /// An instance was created.
    fn create(ep: u32);
    /// An instance was closed for the last time.
    fn release(ep: u32);
    /// A change of the interest list returns.
    fn ctl(ep: u32, op: i32, fd: i32, events: u32, data: u64, ret: i32);
    /// An item was added to the interest list. `target` is the instance that it watches, or 0.
    fn add(ep: u32, item: u64, fd: i32, events: u32, data: u64, file: usize, target: u32);
    /// The events or the data of an item were changed.
    fn modify(ep: u32, item: u64, fd: i32, events: u32, data: u64);
    /// An item was removed from the interest list.
    fn remove(ep: u32, item: u64, fd: i32, reason: u32);
    /// An ADD is refused by a limit of repoll's own.
    fn limit(ep: u32, fd: i32, limit: u32, ret: i32);
    /// A watched file was polled.
    fn poll(ep: u32, item: u64, fd: i32, events: u32, ready: u32);
    /// A watched file's wait queue called back. The tracepoint records the context itself.
    fn callback(ep: u32, item: u64, fd: i32, key: u32, outcome: u32);
    /// A callback returns: whether it woke a waiter, and whether that used up the wake-up.
    fn callback_exit(ep: u32, item: u64, fd: i32, woken: u32, used: u32);
    /// An item enters the ready queue.
    fn queue(ep: u32, item: u64, fd: i32, reason: u32);
    /// A ONESHOT item has fired.
    fn disarm(ep: u32, item: u64, fd: i32);
    /// Waiters (at most one of them) or pollers are about to be woken.
    fn wake(ep: u32, waiters: u32, pollers: u32, reason: u32);
    /// A wait begins.
    fn wait_enter(ep: u32, maxevents: i32, timeout: i64);
    /// A waiter is about to sleep.
    fn wait_sleep(ep: u32);
    /// A waiter is awake again.
    fn wait_wake(ep: u32, reason: u32);
    /// A wait returns.
    fn wait_exit(ep: u32, ret: i32);
    /// A scan of the ready queue begins.
    fn scan_begin(ep: u32, by: u32);
    /// A scan has ended. `taken` items were polled, `ready` of them had events.
    fn scan_end(ep: u32, taken: u32, ready: u32);
    /// An event was copied to the waiter.
    fn deliver(ep: u32, item: u64, fd: i32, events: u32, data: u64);
    /// A message entered a source's queue.
    fn source_arrive(source: u32, kind: u32, message: u64, length: u32, queued: u32);
    /// A reader took a message from a source's queue.
    fn source_take(source: u32, queued: u32, message: u64);
    /// A message was dropped: `REPOLL_DROP_*`.
    fn source_drop(source: u32, kind: u32, length: u32, reason: u32);
    /// A read returns a length, or a negative errno.
    fn source_read(source: u32, nonblock: u32, ret: i64);
    /// A write returns a length, or a negative errno.
    fn source_write(source: u32, nonblock: u32, ret: i64);
    /// A task goes to sleep in a read (0) or a write (1).
    fn source_sleep(source: u32, writer: u32);
    /// A source was polled, and returned its ready events.
    fn source_poll(source: u32, events: u32);
    /// A source notifies sleepers, pollers and owners of signals.
    fn source_wake(source: u32, events: u32, sleepers: u32, pollers: u32, signal: u32);
    /// A SELECT or POLL has read its sets or its array, and begins.
    fn select_setup(task: i32, call: u32, nfds: u32, bytes_in: u64, timeout: i64);
    /// A SELECT or POLL polled a file.
    fn select_poll(task: i32, fd: i32, events: u32, ready: u32);
    /// A SELECT or POLL has polled all of its files once.
    fn select_pass(task: i32, pass: u32, polled: u32, entries: u32, ready: u32);
    /// A SELECT or POLL is about to sleep.
    fn select_sleep(task: i32, sleep: u32, wakeups: u32);
    /// A wait queue called an entry of a SELECT or POLL. The tracepoint records the context itself.
    fn select_wake(task: i32, fd: i32, key: u32, matched: u32);
    /// A SELECT or POLL returns.
    fn select_result(task: i32, call: u32, ret: i32, counts: &repoll_counts);
}
