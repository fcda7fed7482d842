// SPDX-License-Identifier: GPL-2.0

//! Waiting for events and delivering them, as epoll_wait(2).

use super::{
    item::Reason,
    Eventpoll, //
};

use crate::trace::{
    constants,
    trace, //
};
use crate::uapi::counts::Counts;
use crate::uapi::epoll::{
    EPOLLET,
    EPOLLONESHOT, //
};
use crate::{
    kernel_ext::{
        atomic::{
            ordering::Full,
            smp_mb, //
        },
        hrtimeout::Deadline,
        signal, //
    },
    uapi::args::EventWriter, //
};
use kernel::{
    bindings::epoll_event,
    prelude::*, //
};

/// Delivers up to as many events as `out` has room for; waits for the first one, `timeout`
/// nanoseconds at the most, without limit if that is negative. Returns how many.
///
/// EINTR on a signal, EFAULT if `out` can't be written. Process context, sleeps.
///
/// `counts` is told of each pass and each sleep.
#[inline]
pub(crate) fn wait(
    ep: &Eventpoll,
    out: EventWriter,
    timeout: i64,
    mut counts: Option<&mut Counts>,
) -> Result<usize> {
    if !ep.ready.is_empty() {
        match deliver(ep, out, counts.as_deref_mut()) {
            Ok(0) => (),
            result => return result,
        }
    }
    if timeout == 0 {
        return Ok(0);
    }
    sleep_and_deliver(ep, out, timeout, counts)
}

/// The rest of [`wait`], when nothing was ready.
#[inline(never)]
fn sleep_and_deliver(
    ep: &Eventpoll,
    out: EventWriter,
    timeout: i64,
    mut counts: Option<&mut Counts>,
) -> Result<usize> {
    let deadline = (timeout > 0).then(|| Deadline::after(timeout));
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
        trace!(wait_wake(ep.id, why_awake(ep, timed_out)));
        // A wake-up may have been for us alone, and may come together with the time-out or a
        // signal. So look at the queue again before either is told.
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

/// For the tracepoint.
fn why_awake(ep: &Eventpoll, timed_out: bool) -> u32 {
    if !ep.ready.is_empty() {
        constants::REPOLL_WOKEN_EVENT
    } else if timed_out {
        constants::REPOLL_WOKEN_TIMEOUT
    } else if signal::signal_pending() {
        constants::REPOLL_WOKEN_SIGNAL
    } else {
        constants::REPOLL_WOKEN_NOTHING
    }
}

/// One pass over the ready queue. 0 if it turned out that nothing is ready.
#[inline(never)]
fn deliver(ep: &Eventpoll, out: EventWriter, counts: Option<&mut Counts>) -> Result<usize> {
    let mut polled = 0;
    let result = if signal::fatal_signal_pending() {
        // So that a task can be killed that never runs out of events.
        Err(EINTR)
    } else {
        scan(ep, out, &mut polled)
    };
    if let Some(counts) = counts {
        let delivered = result.unwrap_or(0);
        counts.passed(polled, delivered * size_of::<epoll_event>());
    }
    // What we leave is for the next one: the wake-up that brought us here may have been the only
    // one. This is also what wakes the others for a level-triggered item.
    if !ep.ready.is_empty() {
        smp_mb(Full);
        if ep.waiters.has_entries() {
            trace!(wake(ep.id, 1, 0, constants::REPOLL_WAKE_LEFT));
            ep.waiters.wake_up(false);
        }
    }
    result
}

/// `polled` counts the items that it takes.
#[inline]
fn scan(ep: &Eventpoll, mut out: EventWriter, polled: &mut usize) -> Result<usize> {
    let mut locked = ep.locked.lock();
    locked.reap(ep);
    let Some(mut scan) = locked.consumer.scan(&ep.ready) else {
        return Ok(0);
    };
    trace!(scan_begin(ep.id, constants::REPOLL_SCAN_WAIT));
    let mut result = Ok(());
    while !out.is_full() {
        let Some(item) = scan.next() else { break };
        *polled += 1;
        // What called back need not be ready any more, or may be closed: then it leaves the queue.
        let ready = item.poll_now(1);
        if ready == 0 {
            continue;
        }
        let data = item.data();
        if let Err(e) = out.write(ready, data) {
            if scan.put_back(item) {
                item.trace_queue(Reason::Back);
            }
            result = Err(e);
            break;
        }
        item.trace_deliver(ready, data);
        let wanted = item.events();
        if wanted & EPOLLONESHOT != 0 {
            item.disarm();
        } else if wanted & EPOLLET == 0 {
            if scan.requeue(item) {
                item.trace_queue(Reason::Level);
            }
        }
    }
    trace!(scan_end(ep.id, *polled as u32, out.written() as u32));
    match result {
        Err(e) if out.written() == 0 => Err(e),
        _ => Ok(out.written()),
    }
}
