// SPDX-License-Identifier: GPL-2.0
//! The callback that runs when a watched file becomes ready.

use crate::prelude::*;
use repoll_testkit::threads::this_thread;
use repoll_trace::record::{Record, Trace};

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "The callback",
        text: "The code that makes a file ready wakes its wait queue: a softirq with a packet, a \
               timer's interrupt, or a process that writes. The callback (ep_poll_callback) finds \
               the item through the entry. If the event is requested and the item is not in the \
               ready list, the callback puts it there and wakes one waiter. It runs in the context \
               of the waker, where it must not sleep, and needs no process of the instance.",
        sample: None,
        claims: vec![
            Claim {
                text: "the callback needs no process: the item becomes ready with no thread in a \
                       wait",
                expected: Verdict::Holds,
                because: "It runs in the thread that writes.",
                source: "fs/eventpoll.c:1491, ep_poll_callback(); rust/eventpoll/callback.rs",
                experiment: without_process,
            },
            Claim {
                text: "the callback adds the item to the ready list if it is not there",
                expected: Verdict::Holds,
                because: "Several events of one file become one report.",
                source: "fs/eventpoll.c:1534, ep_poll_callback(); rust/watch/ready_queue.rs",
                experiment: once_in_list,
            },
            Claim {
                text: "the callback wakes a waiter, in the context of the code that made the file \
                       ready",
                expected: Verdict::Holds,
                because: "The function of the waiter's entry in the instance's wait queue calls \
                          default_wake_function.",
                source: "fs/eventpoll.c:2201, ep_autoremove_wake_function(); \
                         rust/kernel_ext/wait_queue.rs",
                experiment: wakes_a_waiter,
            },
            Claim {
                text: "the callback ignores events that are not requested",
                expected: Verdict::Holds,
                because: "The wake-up carries the events as a key. The file is not polled.",
                source: "fs/eventpoll.c:1519, ep_poll_callback(); rust/eventpoll/callback.rs",
                experiment: only_wanted,
            },
        ],
    }
}

fn own<'a>(trace: &'a Trace, event: &'a str) -> impl Iterator<Item = &'a Record> {
    trace.records.iter().filter(move |record| record.is(event))
}

/// Counts the records of callbacks with this outcome.
fn callbacks<'a>(records: impl Iterator<Item = &'a Record>, outcome: &str) -> usize {
    records
        .filter(|record| record.is("repoll_callback") && record.field("outcome") == Some(outcome))
        .count()
}

fn without_process() -> Result<Finding> {
    Finding::of_calls(|side| {
        let ((writer, later), trace) = record_story(|| {
            let m = Multiplexer::new(side)?;
            let (reader, writer) = pipe()?;
            m.add(&reader, EventFlags::IN | EventFlags::ET)?;
            let tid = scope(|threads| {
                let act = start(threads, "writer", || {
                    write(&writer, b"x")?;
                    Ok(this_thread())
                })?;
                act.end()
            })?;
            Ok((tid, m.wait(NOW)?))
        })?;
        let mut seen = format!("a wait after the write returns {later} event without sleeping");
        let mut by_writer = true;
        if side != Side::Kernel {
            by_writer = own(&trace, "repoll_callback").any(|record| record.pid == writer);
            seen += &format!("; the callback ran in the thread that wrote: {by_writer}");
        }
        Ok((Verdict::holds(later == 1 && by_writer), seen, trace))
    })
}

fn once_in_list() -> Result<Finding> {
    const WRITES: usize = 3;
    Finding::of_calls(|side| {
        let (events, trace) = record_story(|| {
            let m = Multiplexer::new(side)?;
            let (reader, writer) = pipe()?;
            m.add(&reader, EventFlags::IN | EventFlags::ET)?;
            for _ in 0..WRITES {
                write(&writer, b"x")?;
            }
            Ok(m.wait(NOW)?)
        })?;
        let mut seen = format!("{WRITES} writes, {events} event");
        let mut once = true;
        if side != Side::Kernel {
            // The close of the pipe calls back once more.
            let before = || {
                let records = trace.records.iter();
                records.take_while(|record| !record.is("repoll_deliver"))
            };
            let queued = callbacks(before(), "queued");
            let already = callbacks(before(), "already-queued");
            seen += &format!(": {queued} callback queued the item, {already} found it queued");
            once = (queued, already) == (1, WRITES - 1);
        }
        Ok((Verdict::holds(events == 1 && once), seen))
    })
}

fn wakes_a_waiter() -> Result<Finding> {
    Finding::of_calls(|side| {
        let ((waiter, writer), trace) = record_story(|| {
            let m = Multiplexer::new(side)?;
            let (reader, writer) = pipe()?;
            m.add(&reader, EventFlags::IN)?;
            scope(|threads| {
                let waiter = start(threads, "waiter", || Ok(m.wait(FOR_EVER)?))?;
                waiter.until_asleep()?;
                let act = start(threads, "writer", || {
                    write(&writer, b"x")?;
                    Ok(this_thread())
                })?;
                let writer = act.end()?;
                let tid = waiter.tid;
                ensure!(waiter.end()? == 1);
                Ok((tid, writer))
            })
        })?;
        // More than once if both then contend for the lock of their memory, as the writer ends.
        let by_writer = own(&trace, "sched_waking")
            .any(|record| record.pid == writer && record.number("pid") == Some(waiter.into()));
        let seen = format!("a waiter slept; the thread that wrote made it runnable: {by_writer}");
        Ok((Verdict::holds(by_writer), seen, trace))
    })
}

fn only_wanted() -> Result<Finding> {
    Finding::of_calls(|side| {
        let (events, trace) = record_story(|| {
            let m = Multiplexer::new(side)?;
            let (reader, writer) = pipe()?;
            // A read makes room, which is an event for the writing end.
            while write(&writer, &[0; 4096]).is_ok() {}
            m.add(&writer, EventFlags::PRI)?;
            read(&reader, &mut [0; 16384])?;
            Ok(m.wait(NOW)?)
        })?;
        let mut seen =
            format!("room in a pipe whose writing end is watched for PRI: {events} events");
        let mut ignored = true;
        if side != Side::Kernel {
            let mismatches = callbacks(trace.records.iter(), "mismatch");
            let asked = own(&trace, "repoll_poll").count();
            seen += &format!(
                "; {mismatches} callback did not match, and the file was polled {asked} time in \
                 all, by ADD"
            );
            ignored = mismatches > 0 && asked == 1;
        }
        Ok((Verdict::holds(events == 0 && ignored), seen))
    })
}
