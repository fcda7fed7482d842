// SPDX-License-Identifier: GPL-2.0
//! epoll_wait.

use crate::claims::scanning;
use crate::prelude::*;
use crate::rare_calls::sleeps;
use repoll::Event;
use repoll_testkit::memory::Mapping;
use repoll_testkit::signals::{handle_signal, kill_thread};
use repoll_trace::record::{Context, Trace};
use std::collections::HashSet;
use std::time::Duration;

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "epoll_wait",
        text:
            "If the ready list is not empty, epoll_wait polls its items and copies the events of \
               the ready ones to the program at once. Otherwise the caller puts an entry for \
               itself into the instance's wait queue (wq), sets its state to TASK_INTERRUPTIBLE, \
               checks the list once more, and gives up the CPU (schedule), with an hrtimer for the \
               timeout. When it is woken it checks again: the event can be gone, and then it \
               sleeps on.",
        sample: Some("multiplexed"),
        claims: vec![
            Claim {
                text: "if something is ready, epoll_wait returns at once",
                expected: Verdict::Holds,
                because: "",
                source: "fs/eventpoll.c:2289, ep_poll(); rust/eventpoll/wait.rs, wait()",
                experiment: at_once,
            },
            Claim {
                text: "otherwise the caller sleeps in TASK_INTERRUPTIBLE: a signal ends the wait",
                expected: Verdict::Holds,
                because: "It fails with EINTR, even with SA_RESTART.",
                source: "fs/eventpoll.c:2330, ep_poll(); rust/kernel_ext/wait_queue.rs, \
                         sleep_exclusive()",
                experiment: interruptible,
            },
            Claim {
                text: "the timeout of epoll_wait is an hrtimer, which wakes the caller from its \
                       interrupt",
                expected: Verdict::Holds,
                because: "",
                source:
                    "fs/eventpoll.c:2349, schedule_hrtimeout_range(); rust/kernel_ext/hrtimeout.rs",
                experiment: by_timer,
            },
            Claim {
                text: "a caller that is woken checks again, and sleeps on if the event is gone",
                expected: Verdict::Holds,
                because: "A wake-up does not reserve the event.",
                source: "fs/eventpoll.c:2289, ep_poll(), the loop; rust/eventpoll/wait.rs, \
                         sleep_and_deliver()",
                experiment: looks_again,
            },
            Claim {
                text:
                    "epoll polls and returns only what is ready: its cost does not grow with the \
                       number of watched files",
                expected: Verdict::Holds,
                because: "",
                source: "fs/eventpoll.c:2128, ep_send_events(); rust/eventpoll/wait.rs, drain()",
                experiment: scanning::instance_is_flat,
            },
            Claim {
                text: "epoll copies only the events of ready files",
                expected: Verdict::Holds,
                because: "Neither the size of the buffer nor the number of watched files matters.",
                source: "fs/eventpoll.c:2099, epoll_put_uevent(); rust/uapi/args.rs, \
                         EventWriter",
                experiment: copies_little,
            },
        ],
    }
}

fn at_once() -> Result<Finding> {
    Finding::of_calls(|side| {
        let m = Multiplexer::new(side)?;
        let fd = eventfd_of(1)?;
        m.add(&fd, EventFlags::IN)?;
        let before = sleeps()?;
        let events = m.wait(FOR_EVER)?;
        let slept = sleeps()? - before;
        let seen = format!("a wait without limit: {events} event, {slept} sleeps");
        Ok((Verdict::holds(events == 1 && slept == 0), seen))
    })
}

fn interruptible() -> Result<Finding> {
    handle_signal(libc::SIGUSR1, 0)?;
    Finding::of_calls(|side| {
        let m = Multiplexer::new(side)?;
        let fd = eventfd()?;
        m.add(&fd, EventFlags::IN)?;
        scope(|threads| {
            let waiter = start(threads, "waiter", || Ok(m.wait(FOR_EVER)))?;
            waiter.until_asleep()?;
            let place = waiter.sleeps_in()?;
            kill_thread(waiter.tid, libc::SIGUSR1)?;
            let result = waiter.end()?;
            let ended = matches!(&result, Err(error) if error.kind() == ErrorKind::Interrupted);
            let said =
                result.map_or_else(|error| error.to_string(), |count| format!("{count} events"));
            let seen = format!(
                "it sleeps in {place}, in state S of proc(5); a signal with a handler: {said}"
            );
            Ok((Verdict::holds(ended), seen))
        })
    })
}

fn by_timer() -> Result<Finding> {
    Finding::of_calls(|side| {
        let ((tid, events), trace) = record_story(|| {
            let m = Multiplexer::new(side)?;
            let fd = eventfd()?;
            m.add(&fd, EventFlags::IN)?;
            scope(|threads| {
                let waiter = start(threads, "waiter", || {
                    Ok(m.wait(Some(Duration::from_millis(200)))?)
                })?;
                let tid = waiter.tid;
                Ok((tid, waiter.end()?))
            })
        })?;
        let by_timer = last_waking_is_by_timer(&trace, tid);
        let seen = format!(
            "{events} events after the timeout; a timer's interrupt made it runnable: {by_timer}"
        );
        Ok((Verdict::holds(events == 0 && by_timer), seen, trace))
    })
}

/// Whether the last wake-up of a thread came from an interrupt in which an hrtimer had expired on
/// that CPU.
fn last_waking_is_by_timer(trace: &Trace, tid: i32) -> bool {
    let mut expired = HashSet::new();
    let mut by_timer = false;
    for record in &trace.records {
        if record.is("hrtimer_expire_entry") {
            expired.insert(record.cpu);
        } else if record.is("sched_waking") && record.number("pid") == Some(tid.into()) {
            by_timer = record.context != Context::Task && expired.contains(&record.cpu);
        } else if record.context == Context::Task {
            expired.remove(&record.cpu);
        }
    }
    by_timer
}

fn looks_again() -> Result<Finding> {
    const TRIES: usize = 200;
    Finding::of_calls(|side| {
        for tries in 1..=TRIES {
            let m = Multiplexer::new(side)?;
            let fd = eventfd()?;
            m.add(&fd, EventFlags::IN)?;
            let (sleeps_on, events, slept) = scope(|threads| {
                let waiter = start(threads, "waiter", || {
                    let before = sleeps()?;
                    let events = m.wait(FOR_EVER)?;
                    Ok((events, sleeps()? - before))
                })?;
                waiter.until_asleep()?;
                // The event is taken away after the wake-up, most often before the waiter checks.
                signal(&fd)?;
                read(&fd, &mut [0; 8])?;
                let sleeps_on = waiter.until_asleep().is_ok();
                if sleeps_on {
                    signal(&fd)?;
                }
                let (events, slept) = waiter.end()?;
                Ok::<_, anyhow::Error>((sleeps_on, events, slept))
            })?;
            if events == 0 {
                let seen = format!("a wait without limit returned no event (at try {tries})");
                return Ok((Verdict::Fails, seen));
            }
            // Otherwise the waiter was quicker and has the event.
            if sleeps_on && slept >= 2 {
                let seen = format!(
                    "one wait slept {slept} times, and returned the event that stayed (at try \
                     {tries})"
                );
                return Ok((Verdict::Holds, seen));
            }
        }
        bail!("in {TRIES} tries the waiter always took the event before it was taken away");
    })
}

fn copies_little() -> Result<Finding> {
    const ROOM: i32 = 64;
    Finding::of_calls(|side| {
        let m = Multiplexer::new(side)?;
        let files = [eventfd_of(1)?, eventfd()?, eventfd()?];
        for fd in &files {
            m.add(fd, EventFlags::IN)?;
        }
        let memory = Mapping::new(size_of::<Event>())?;
        let run = |there| {
            let room = memory.before_end(there * size_of::<Event>());
            m.raw().wait_at(room, ROOM, NOW)
        };
        let one = run(1);
        read(&files[0], &mut [0; 8])?;
        let none = run(0);
        let seen = format!(
            "a buffer of {ROOM} events: with memory for 1 and one ready it returns {one:?}, \
             without memory and none ready {none:?}"
        );
        let holds = matches!((&one, &none), (Ok(1), Ok(0)));
        Ok((Verdict::holds(holds), seen))
    })
}
