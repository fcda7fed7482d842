// SPDX-License-Identifier: GPL-2.0
//! EPOLLEXCLUSIVE: of the instances that watch a file, an event wakes one.

use crate::prelude::*;
use crate::support::Sleeper;
use repoll_testkit::file_kinds::{Source, KINDS};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

pub fn tests() -> Vec<Test> {
    both!("exclusive":
        an_exclusive_watch_is_a_watch,
        one_event_wakes_one_instance_of_several,
        one_event_wakes_all_shared_instances_and_one_exclusive,
        a_shared_watch_beside_exclusive_ones_is_woken_too,
        it_is_given_at_add_only,
        it_goes_with_no_oneshot,
        an_instance_is_not_watched_exclusively,
    )
}

const EXCLUSIVE: EventFlags = EventFlags::IN.union(EventFlags::EXCLUSIVE);
const STOP: u64 = u64::MAX;
const INSTANCES: usize = 4;

fn an_exclusive_watch_is_a_watch<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EXCLUSIVE, 1)?;
    for _ in 0..3 {
        signal(&fd)?;
        ensure!(expect_one(&m, 1)? == EventFlags::IN);
        ensure!(expect_one(&m, 1)? == EventFlags::IN);
        read_all(&fd)?;
        ensure!(m.ready()?.is_empty());
    }
    m.delete(&fd)?;
    signal(&fd)?;
    ensure!(m.ready()?.is_empty());
    Ok(())
}

/// Lets a waiter sit in each of several instances, and triggers the file that all of them watch, as
/// `events` says for each. Returns how many waiters have had each of the triggers.
fn woken<M: Multiplexer>(
    source: &Source,
    watches: [EventFlags; INSTANCES],
    least: usize,
) -> Result<Vec<usize>> {
    let stop = files::eventfd()?;
    let mut instances = Vec::new();
    for events in watches {
        let m = M::new()?;
        m.add(&source.fd, events, 1)?;
        m.add(&stop, EventFlags::IN, STOP)?;
        instances.push((m, Sleeper::default()));
    }
    let had = AtomicUsize::new(0);
    scope(|threads| {
        for (m, sleeper) in &instances {
            threads.spawn(|| {
                sleeper.is_this_thread();
                loop {
                    match m.wait(1, None) {
                        Ok(events) if events.iter().all(|event| event.data() == 1) => {
                            had.fetch_add(events.len(), SeqCst);
                        }
                        _ => return,
                    }
                }
            });
        }
        let all_wait = || instances.iter().try_for_each(|(_, s)| s.eventually_waits());
        let rounds = || -> Result<Vec<usize>> {
            let mut counts = Vec::new();
            for _ in 0..5 {
                all_wait()?;
                let before = had.load(SeqCst);
                source.means.trigger(source.number())?;
                eventually(
                    "someone is woken",
                    || Ok(had.load(SeqCst) >= before + least),
                )?;
                // Other waiters that were woken have gone back to sleep.
                sleep(MOMENT);
                all_wait()?;
                counts.push(had.load(SeqCst) - before);
                // An inotify says the same thing once only, until it is read.
                source.drain()?;
            }
            Ok(counts)
        };
        let counts = rounds();
        signal(&stop)?;
        counts
    })
}

/// Exactly one, as there is a waiter in each. An inotify wakes without saying what there is.
fn one_event_wakes_one_instance_of_several<M: Multiplexer>() -> Result<()> {
    let mut seen = 0;
    for kind in KINDS {
        if ["eventfd", "inotify"].contains(&kind.name) {
            let watches = [EXCLUSIVE | EventFlags::ET; INSTANCES];
            let counts = woken::<M>(&kind.make()?, watches, 1)?;
            ensure!(counts == [1; 5], "{}: {counts:?}", kind.name);
            seen += 1;
        }
    }
    ensure!(seen == 2);
    Ok(())
}

/// All that are shared, and one of the others.
fn one_event_wakes_all_shared_instances_and_one_exclusive<M: Multiplexer>() -> Result<()> {
    let (exclusive, shared) = (EXCLUSIVE | EventFlags::ET, EventFlags::IN | EventFlags::ET);
    let source = KINDS[0].make()?;
    let watches = [exclusive, shared, exclusive, shared];
    let counts = woken::<M>(&source, watches, 3)?;
    ensure!(counts == [3; 5], "{counts:?}");
    Ok(())
}

fn a_shared_watch_beside_exclusive_ones_is_woken_too<M: Multiplexer>() -> Result<()> {
    let exclusive = EXCLUSIVE | EventFlags::ET;
    let shared = EventFlags::IN | EventFlags::ET;
    let m = M::new()?;
    let others = [M::new()?, M::new()?];
    let fd = files::eventfd()?;
    m.add(&fd, shared, 1)?;
    for other in &others {
        other.add(&fd, exclusive, 2)?;
    }
    // Nobody sleeps, so none of the exclusive ones counts as woken: all have the event.
    signal(&fd)?;
    expect_one(&m, 1)?;
    for other in &others {
        expect_one(other, 2)?;
    }
    Ok(())
}

fn it_is_given_at_add_only<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    expect_error(m.modify(&fd, EXCLUSIVE, 2), libc::EINVAL)?;
    m.delete(&fd)?;
    m.add(&fd, EXCLUSIVE, 1)?;
    expect_error(m.modify(&fd, EventFlags::IN, 2), libc::EINVAL)?;
    expect_error(m.modify(&fd, EXCLUSIVE, 2), libc::EINVAL)?;
    signal(&fd)?;
    expect_one(&m, 1)?;
    m.wait(1, Some(LONG))?;
    m.delete(&fd)?;
    expect_error(m.delete(&fd), libc::ENOENT)
}

fn it_goes_with_no_oneshot<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = files::eventfd()?;
    for more in [
        EventFlags::ONESHOT,
        EventFlags::PRI,
        EventFlags::RDHUP,
        EventFlags::RDNORM,
    ] {
        expect_error(m.add(&fd, EXCLUSIVE | more, 1), libc::EINVAL)?;
    }
    m.add(
        &fd,
        EXCLUSIVE | EventFlags::OUT | EventFlags::ET | EventFlags::WAKEUP | EventFlags::ERR,
        1,
    )?;
    Ok(())
}

fn an_instance_is_not_watched_exclusively<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let other = M::new()?;
    expect_error(m.add(&other, EXCLUSIVE, 1), libc::EINVAL)?;
    let c = repoll_testkit::multiplexer::Epoll::new()?;
    expect_error(m.add(&c, EXCLUSIVE, 1), libc::EINVAL)
}
