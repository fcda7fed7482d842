// SPDX-License-Identifier: GPL-2.0

//! The module's tracepoints: a static branch each while they are off.
//!
//! They are declared in `rust/trace/repoll_trace.h`. All arguments are plain values, or
//! references to structures of them, and all may be called in any context. `kernel::declare_trace!`
//! serves only tracepoints that are in the kernel's own bindings, and evaluates their arguments also
//! while they are off: the branch is opaque to the compiler, which so can't put it before the loads.
//! [`trace!`] evaluates them behind it, as the macros of C do.

use crate::kernel_ext::bindings as ext;
use kernel::bindings;

/// The values of the tracepoints' fields, as `repoll_trace.h` names them.
pub(crate) mod constants {
    pub(crate) use crate::kernel_ext::bindings::{
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

macro_rules! declare_trace {
    (
        $($(#[$attr:meta])* fn $name:ident($($arg:ident : $type:ty),* $(,)?);)*
    ) => {
        /// Whether somebody listens to a tracepoint. For [`trace!`].
        pub(crate) mod is_on {
            use super::*;
            $(
                #[doc = concat!("See [`", stringify!($name), "`](super::record::", stringify!($name), ").")]
                #[inline(always)]
                pub(crate) fn $name() -> bool {
                    kernel::macros::paste! {
                        // SAFETY: The static key is that of a tracepoint of this module.
                        unsafe {
                            kernel::jump_label::static_branch_unlikely!(
                                ext::[< __tracepoint_repoll_ $name >],
                                bindings::tracepoint,
                                key
                            )
                        }
                    }
                }
            )*
        }

        /// What the tracepoints record. For [`trace!`].
        pub(crate) mod record {
            use super::*;
            $(
                $(#[$attr])*
                #[cold]
                pub(crate) fn $name($($arg: $type),*) {
                    kernel::macros::paste! {
                        // SAFETY: The tracepoint takes plain values, or references for the call.
                        unsafe { ext::[< rust_do_trace_repoll_ $name >]($($arg),*) };
                    }
                }
            )*
        }
    }
}

declare_trace! {
    /// There is an instance more.
    fn create(ep: u32);
    /// The last close of an instance.
    fn release(ep: u32);
    /// A change of the interest list was asked for, with its result.
    fn ctl(ep: u32, op: i32, fd: i32, events: u32, data: u64, ret: i32);
    /// An item is in the interest list. `target` is the instance that it watches, or 0.
    fn add(ep: u32, item: u64, fd: i32, events: u32, data: u64, file: usize, target: u32);
    /// What is wanted of an item has changed.
    fn modify(ep: u32, item: u64, fd: i32, events: u32, data: u64);
    /// An item is gone.
    fn remove(ep: u32, item: u64, fd: i32, reason: u32);
    /// One of our limits is the reason why an ADD is refused.
    fn limit(ep: u32, fd: i32, limit: u32, ret: i32);
    /// A watched file was asked what it is ready for.
    fn poll(ep: u32, item: u64, fd: i32, events: u32, ready: u32);
    /// A watched file's wait queue called back. The tracepoint itself looks in which context.
    fn callback(ep: u32, item: u64, fd: i32, key: u32, outcome: u32);
    /// A callback returns: whether it woke a waiter, and whether that used up the wake-up.
    fn callback_exit(ep: u32, item: u64, fd: i32, woken: u32, used: u32);
    /// An item enters the ready queue.
    fn queue(ep: u32, item: u64, fd: i32, reason: u32);
    /// ONESHOT has fired.
    fn disarm(ep: u32, item: u64, fd: i32);
    /// Waiters (at most one of them) or pollers are to be woken.
    fn wake(ep: u32, waiters: u32, pollers: u32, reason: u32);
    /// A wait begins.
    fn wait_enter(ep: u32, maxevents: i32, timeout: i64);
    /// A waiter is about to sleep.
    fn wait_sleep(ep: u32);
    /// A waiter is awake again.
    fn wait_wake(ep: u32, reason: u32);
    /// A wait returns.
    fn wait_exit(ep: u32, ret: i32);
    /// A pass over the ready queue begins.
    fn scan_begin(ep: u32, by: u32);
    /// A pass has ended: how many items were polled, and how many of them had events.
    fn scan_end(ep: u32, taken: u32, ready: u32);
    /// An event was copied to the waiter.
    fn deliver(ep: u32, item: u64, fd: i32, events: u32, data: u64);
    /// A message entered a source's queue.
    fn source_arrive(source: u32, kind: u32, message: u64, length: u32, queued: u32);
    /// A reader has a message, and nobody else.
    fn source_take(source: u32, queued: u32, message: u64);
    /// A message was dropped: `REPOLL_DROP_*`.
    fn source_drop(source: u32, kind: u32, length: u32, reason: u32);
    /// A read returns a length, or a negative errno.
    fn source_read(source: u32, nonblock: u32, ret: i64);
    /// A write returns a length, or a negative errno.
    fn source_write(source: u32, nonblock: u32, ret: i64);
    /// A task goes to sleep in a read (0) or a write (1).
    fn source_sleep(source: u32, writer: u32);
    /// A source was polled, and said for what it is ready.
    fn source_poll(source: u32, events: u32);
    /// Sleepers, pollers and owners of signals are told of events.
    fn source_wake(source: u32, events: u32, sleepers: u32, pollers: u32, signal: u32);
    /// A call of SELECT or POLL has read its sets or array, and begins.
    fn select_setup(task: i32, call: u32, nfds: u32, bytes_in: u64, timeout: i64);
    /// It has asked a file.
    fn select_poll(task: i32, fd: i32, events: u32, ready: u32);
    /// It has gone through its files once.
    fn select_pass(task: i32, pass: u32, polled: u32, entries: u32, ready: u32);
    /// It is about to sleep.
    fn select_sleep(task: i32, sleep: u32, wakeups: u32);
    /// A wait queue called one of its entries. The tracepoint itself looks in which context.
    fn select_wake(task: i32, fd: i32, key: u32, matched: u32);
    /// It returns.
    fn select_result(task: i32, call: u32, ret: i32, counts: &ext::repoll_counts);
}
