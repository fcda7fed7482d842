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

fn without_process() -> Result<Finding> {
    let experiment = || {
        let mut writer_of_repoll = 0;
        let finding = Finding::both(|side| {
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
            if side == Side::Repoll {
                writer_of_repoll = tid;
            }
            let later = m.wait(NOW)?;
            let seen = format!("a wait after the write returns {later} event without sleeping");
            Ok((Verdict::holds(later == 1), seen))
        })?;
        Ok((finding, writer_of_repoll))
    };
    let ((mut finding, writer), trace) = record_story(experiment)?;
    let by_writer = own(&trace, "repoll_callback").any(|record| record.pid == writer);
    ensure!(finding.seen.len() == 2);
    finding.seen[1].1 += &format!("; the callback ran in the thread that wrote: {by_writer}");
    if !by_writer {
        finding.verdict = Verdict::Fails;
    }
    Ok(finding.with(trace))
}

fn once_in_list() -> Result<Finding> {
    let ((finding, writes), trace) = record_story(|| {
        const WRITES: usize = 3;
        let finding = Finding::both(|side| {
            let m = Multiplexer::new(side)?;
            let (reader, writer) = pipe()?;
            m.add(&reader, EventFlags::IN | EventFlags::ET)?;
            for _ in 0..WRITES {
                write(&writer, b"x")?;
            }
            let events = m.wait(NOW)?;
            Ok((
                Verdict::holds(events == 1),
                format!("{WRITES} writes, {events} event"),
            ))
        })?;
        Ok((finding, WRITES))
    })?;
    let mut finding = finding;
    // The close of the pipe calls back once more.
    let before = || {
        trace
            .records
            .iter()
            .take_while(|record| !record.is("repoll_deliver"))
    };
    let outcome = |name: &str| {
        before()
            .filter(|record| record.is("repoll_callback") && record.field("outcome") == Some(name))
            .count()
    };
    let (queued, already) = (outcome("queued"), outcome("already-queued"));
    finding.seen[1].1 += &format!(": {queued} callback queued the item, {already} found it queued");
    if (queued, already) != (1, writes - 1) {
        finding.verdict = Verdict::Fails;
    }
    Ok(finding)
}

fn wakes_a_waiter() -> Result<Finding> {
    let experiment = || {
        let mut pairs = Vec::new();
        for side in [Side::Kernel, Side::Repoll] {
            let m = Multiplexer::new(side)?;
            let (reader, writer) = pipe()?;
            m.add(&reader, EventFlags::IN)?;
            let pair = scope(|threads| {
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
            })?;
            pairs.push(pair);
        }
        Ok(pairs)
    };
    let (pairs, trace) = record_story(experiment)?;
    let mut pairs = pairs.into_iter();
    let finding = Finding::both(|_| {
        let (waiter, writer) = pairs.next().unwrap_or_default();
        let by_writer = own(&trace, "sched_waking")
            .filter(|record| record.pid == writer && record.number("pid") == Some(waiter.into()))
            .count();
        // More than once if both then contend for the lock of their memory, as the writer ends.
        let by_writer = by_writer > 0;
        let seen = format!("a waiter slept; the thread that wrote made it runnable: {by_writer}");
        Ok((Verdict::holds(by_writer), seen))
    })?;
    Ok(finding.with(trace))
}

fn only_wanted() -> Result<Finding> {
    let (finding, trace) = record_story(|| {
        Finding::both(|side| {
            let m = Multiplexer::new(side)?;
            let (reader, writer) = pipe()?;
            // A read makes room, which is an event for the writing end.
            while write(&writer, &[0; 4096]).is_ok() {}
            m.add(&writer, EventFlags::PRI)?;
            read(&reader, &mut [0; 16384])?;
            let events = m.wait(NOW)?;
            Ok((
                Verdict::holds(events == 0),
                format!("room in a pipe whose writing end is watched for PRI: {events} events"),
            ))
        })
    })?;
    let mut finding = finding;
    let mismatches = own(&trace, "repoll_callback")
        .filter(|record| record.field("outcome") == Some("mismatch"))
        .count();
    let asked = own(&trace, "repoll_poll").count();
    finding.seen[1].1 += &format!(
        "; {mismatches} callback did not match, and the file was polled {asked} time in all, by ADD"
    );
    if mismatches == 0 || asked != 1 {
        finding.verdict = Verdict::Fails;
    }
    Ok(finding)
}
