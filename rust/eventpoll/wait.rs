// SPDX-License-Identifier: GPL-2.0

//! Waiting for events and delivering them, as epoll_wait(2).

use super::{
    events,
    item::Reason,
    Eventpoll, //
};
use crate::counts::Counts;
use crate::kernel_ext::{
    task,
    time::Deadline,
    user_args::EventWriter, //
};
use kernel::{
    bindings::epoll_event,
    prelude::*, //
};

/// Delivers up to as many events as `out` has room for; waits for the first one, `timeout`
/// nanoseconds at the most, without limit if that is negative. Returns how many.
///
/// EINTR on a signal, EFAULT if `out` can't be written. Process context, sleeps.
pub(crate) fn wait(
    ep: &Eventpoll,
    mut out: EventWriter,
    timeout: i64,
    mut counts: Option<&mut Counts>,
) -> Result<usize> {
    let deadline = (timeout > 0).then(|| Deadline::after(timeout));
    let mut timed_out = timeout == 0;
    loop {
        if !ep.ready.is_empty() {
            match deliver(ep, &mut out, counts.as_deref_mut()) {
                Ok(0) => (),
                result => return result,
            }
        }
        if timed_out {
            return Ok(0);
        }
        if task::signal_pending() {
            return Err(EINTR);
        }
        // A wake-up may have been for us alone, and may come together with the time-out or a
        // signal. So look at the queue again before either is told.
        timed_out = ep
            .waiters
            .sleep_exclusive(deadline.as_ref(), || !ep.ready.is_empty());
        if let Some(counts) = &mut counts {
            counts.slept(!timed_out);
        }
    }
}

/// One pass over the ready queue. 0 if it turned out that nothing is ready.
fn deliver(ep: &Eventpoll, out: &mut EventWriter, counts: Option<&mut Counts>) -> Result<usize> {
    let mut stale = 0;
    let result = if task::fatal_signal_pending() {
        // So that a task can be killed that never runs out of events.
        Err(EINTR)
    } else {
        scan(ep, out, &mut stale)
    };
    if let Some(counts) = counts {
        let delivered = result.unwrap_or(0);
        counts.passed(delivered + stale, delivered * size_of::<epoll_event>());
    }
    // What we leave is for the next one: the wake-up that brought us here may have been the only
    // one. This is also what wakes the others for a level-triggered item.
    if !ep.ready.is_empty() && ep.waiters.has_sleepers() {
        ep.waiters.wake_one(false);
    }
    result
}

/// `stale` counts the items that are polled, and not delivered.
fn scan(ep: &Eventpoll, out: &mut EventWriter, stale: &mut usize) -> Result<usize> {
    let mut locked = ep.locked.lock();
    locked.reap(ep);
    let mut scan = locked.consumer.scan(&ep.ready);
    let mut delivered = 0;
    while !out.is_full() {
        let Some(item) = scan.next() else { break };
        // What called back need not be ready any more, or may be closed: then it leaves the queue.
        let ready = item.poll_now(1);
        if ready == 0 {
            *stale += 1;
            continue;
        }
        let data = item.data();
        if let Err(e) = out.write(ready, data) {
            *stale += 1;
            scan.put_back(item);
            if delivered == 0 {
                return Err(e);
            }
            break;
        }
        delivered += 1;
        item.trace_deliver(ready, data);
        let wanted = item.events();
        if wanted & events::ONESHOT != 0 {
            item.disarm();
        } else if wanted & events::ET == 0 {
            item.trace_queue(Reason::Level);
            scan.requeue(item);
        }
    }
    Ok(delivered)
}
