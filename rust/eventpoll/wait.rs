// SPDX-License-Identifier: GPL-2.0

//! WAIT: waits for events and delivers them, as epoll_wait(2).

use super::{
    trace::{
        QueueReason, //
        Scanner,
    },
    Eventpoll, //
};
use crate::kernel_ext::{
    hrtimeout::Timeout,
    signal, //
};
use crate::trace::trace;
use crate::uapi::{
    args::EventWriter,
    counts::Counts,
    epoll::{
        EPOLLET,
        EPOLLONESHOT, //
    }, //
};
use kernel::prelude::*;

/// As [`wait`], for the system call: `events` is the address of an array of `maxevents` events.
/// EINVAL and EFAULT for an array that can't be.
pub(crate) fn epoll_wait(
    ep: &Eventpoll,
    events: usize,
    maxevents: i32,
    timeout: Timeout,
) -> Result<usize> {
    trace!(wait_enter(ep.id, maxevents, timeout.left()));
    let result =
        EventWriter::new(events as u64, maxevents).and_then(|out| wait(ep, out, timeout, None));
    ep.trace_wait_exit(result);
    result
}

/// Delivers as many events as there are, up to the room in `out`. Waits for the first one, up to
/// `timeout`. Returns the number of events.
///
/// EINTR on a signal, EFAULT if `out` can't be written. Process context, sleeps.
///
/// `counts` gets each pass over the ready queue and each sleep.
#[inline]
pub(super) fn wait(
    ep: &Eventpoll,
    out: EventWriter,
    timeout: Timeout,
    mut counts: Option<&mut Counts>,
) -> Result<usize> {
    if !ep.ready.is_empty() {
        match deliver(ep, out, counts.as_deref_mut()) {
            Ok(0) => (),
            result => return result,
        }
    }
    if let Timeout::Zero = timeout {
        return Ok(0);
    }
    sleep_and_deliver(ep, out, timeout, counts)
}

/// The second half of [`wait`]: nothing was ready.
#[inline(never)]
fn sleep_and_deliver(
    ep: &Eventpoll,
    out: EventWriter,
    timeout: Timeout,
    mut counts: Option<&mut Counts>,
) -> Result<usize> {
    let deadline = timeout.deadline();
    loop {
        if signal::signal_pending() {
            return Err(EINTR);
        }
        trace!(wait_sleep(ep.id));
        let timed_out = ep
            .waiters
            .sleep_exclusive(deadline.as_ref(), || !ep.ready.is_empty());
        if let Some(counts) = &mut counts {
            counts.slept(!timed_out);
        }
        ep.trace_wait_wake(timed_out);
        // A wake-up may have been for this waiter alone, and may come together with the time-out or
        // a signal. So the queue comes before both.
        if !ep.ready.is_empty() {
            match deliver(ep, out, counts.as_deref_mut()) {
                Ok(0) => (),
                result => return result,
            }
        }
        if timed_out {
            return Ok(0);
        }
    }
}

/// Makes one pass over the ready queue. Returns 0 if no item turns out to be ready.
#[inline(never)]
fn deliver(ep: &Eventpoll, out: EventWriter, counts: Option<&mut Counts>) -> Result<usize> {
    let mut polled = 0;
    let result = if signal::fatal_signal_pending() {
        // So that a task whose events never end can be killed.
        Err(EINTR)
    } else {
        drain(ep, out, &mut polled)
    };
    if let Some(counts) = counts {
        let delivered = result.unwrap_or(0);
        counts.passed(polled, delivered * EventWriter::EVENT_SIZE);
    }
    ep.wake_up_next();
    result
}

/// Drains the ready queue into `out`. Adds the number of items that it takes to `polled`.
#[inline]
fn drain(ep: &Eventpoll, mut out: EventWriter, polled: &mut usize) -> Result<usize> {
    let mut locked = ep.locked.lock();
    locked.reap(ep);
    let Some(mut scan) = locked.consumer.scan(&ep.ready) else {
        return Ok(0);
    };
    ep.trace_scan_begin(Scanner::Wait);
    let mut result = Ok(());
    while !out.is_full() {
        let Some(item) = scan.next() else { break };
        *polled += 1;
        // The file may not be ready any more, or may be closed: then the item leaves the queue.
        let ready = item.poll(1);
        if ready == 0 {
            continue;
        }
        let data = item.data();
        if let Err(e) = out.write(ready, data) {
            if scan.put_back(item) {
                item.trace_queue(QueueReason::Back);
            }
            result = Err(e);
            break;
        }
        item.trace_deliver(ready, data);
        let events = item.events();
        if events & EPOLLONESHOT != 0 {
            item.disarm();
        } else if events & EPOLLET == 0 {
            if scan.requeue(item) {
                item.trace_queue(QueueReason::Level);
            }
        }
    }
    ep.trace_scan_end(*polled as u32, out.written() as u32);
    match result {
        Err(e) if out.written() == 0 => Err(e),
        _ => Ok(out.written()),
    }
}
