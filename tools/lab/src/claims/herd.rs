// SPDX-License-Identifier: GPL-2.0
//! Many waiters for one event.

use crate::prelude::*;
use crate::threads::{A_MOMENT, PATIENCE};
use std::sync::mpsc::channel;

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "The herd, and EXCLUSIVE",
        text: "If several processes each have an instance that watches the same file, such as a \
               listener, each instance has an entry in the file's wait queue, and one event calls \
               all entries: a herd runs, and one process gets the event. With EPOLLEXCLUSIVE the \
               entries are exclusive: the wake-up walks the queue until one entry has woken a \
               waiter. If several threads wait in one instance, one is woken for an item; but a \
               level-triggered item is still in the list afterwards, so the next thread is woken \
               too.",
        sample: None,
        claims: vec![
            Claim {
                text: "one event wakes a herd: all instances that watch the file",
                expected: Verdict::OnlyIf("they do not use EXCLUSIVE"),
                because: "",
                source: "fs/eventpoll.c:1629, add_wait_queue_exclusive(); :1544, \
                         ep_poll_callback(); rust/eventpoll/callback.rs",
                experiment: herd,
            },
            Claim {
                text:
                    "level-triggered with several waiters wakes a herd: all threads that wait in \
                       one instance",
                expected: Verdict::OnlyIf("it is level-triggered, and no thread has read yet"),
                because: "If it is edge-triggered or ONESHOT, one thread gets it.",
                source: "fs/eventpoll.c:1028, ep_done_scan(); rust/eventpoll/wait.rs, deliver()",
                experiment: threads_of_one,
            },
        ],
    }
}

const WAITERS: usize = 4;

/// Starts a thread that waits in each of `instances`, and counts the threads that report one event
/// of `fd`.
///
/// After `first` threads have returned, another event that all receive ends the others. So no
/// timeout is needed to see that a thread sleeps on.
fn woken(instances: &[&Multiplexer], fd: &OwnedFd, first: usize) -> Result<usize> {
    let home = eventfd()?;
    let datum = fd.as_raw_fd() as u64;
    let (sender, returned) = channel();
    scope(|threads| {
        let mut waiters = Vec::new();
        for m in instances {
            match m.add(&home, EventFlags::IN) {
                // Several threads wait in one instance.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                added => added?,
            }
            let sender = sender.clone();
            let waiter = start(threads, "waiter", move || {
                let events = m.events(FOR_EVER)?;
                sender.send(())?;
                Ok(events.iter().any(|event| event.data() == datum))
            })?;
            waiters.push(waiter);
        }
        for waiter in &waiters {
            waiter.until_asleep()?;
        }
        signal(fd)?;
        // If they do not return, that is the finding.
        let mut back = (0..first)
            .filter(|_| returned.recv_timeout(PATIENCE).is_ok())
            .count();
        while back < waiters.len() {
            // More than once: a changed module may wake one thread only.
            signal(&home)?;
            back += usize::from(returned.recv_timeout(A_MOMENT).is_ok());
        }
        let reports: Vec<_> = waiters
            .into_iter()
            .map(|waiter| waiter.end())
            .collect::<Result<_>>()?;
        Ok(reports.into_iter().filter(|report| *report).count())
    })
}

/// Counts woken instances, with a waiter each. The write wakes them before it returns.
fn instances_woken(side: Side, events: EventFlags) -> Result<usize> {
    let fd = eventfd()?;
    let instances: Vec<_> = (0..WAITERS)
        .map(|_| Multiplexer::new(side))
        .collect::<Result<_, _>>()?;
    for m in &instances {
        m.add(&fd, events)?;
    }
    woken(&instances.iter().collect::<Vec<_>>(), &fd, 0)
}

fn herd() -> Result<Finding> {
    Finding::of_calls(recorded(|side| {
        let shared = instances_woken(side, EventFlags::IN)?;
        let exclusive = instances_woken(side, EventFlags::IN | EventFlags::EXCLUSIVE)?;
        let seen = format!(
            "of {WAITERS} instances with a waiter each, one event woke {shared}, with \
                 EXCLUSIVE {exclusive}"
        );
        let verdict = Verdict::only_if(
            "they do not use EXCLUSIVE",
            shared == WAITERS,
            exclusive != 1,
        );
        Ok((verdict, seen))
    }))
}

/// Counts woken threads that wait in one instance, for an event that none of them reads.
fn threads_woken(side: Side, events: EventFlags) -> Result<usize> {
    let fd = eventfd()?;
    let m = Multiplexer::new(side)?;
    m.add(&fd, events)?;
    let first = if events.intersects(EventFlags::ET | EventFlags::ONESHOT) {
        1
    } else {
        WAITERS
    };
    woken(&[&m; WAITERS], &fd, first)
}

fn threads_of_one() -> Result<Finding> {
    Finding::of_calls(recorded(|side| {
        let level = threads_woken(side, EventFlags::IN)?;
        let edge = threads_woken(side, EventFlags::IN | EventFlags::ET)?;
        let oneshot = threads_woken(side, EventFlags::IN | EventFlags::ONESHOT)?;
        let seen = format!(
            "of {WAITERS} threads in one instance, one event woke {level} if level-triggered, \
                 {edge} if edge-triggered, {oneshot} with ONESHOT"
        );
        let verdict = Verdict::only_if(
            "it is level-triggered, and no thread has read yet",
            level == WAITERS,
            edge != 1 || oneshot != 1,
        );
        Ok((verdict, seen))
    }))
}
