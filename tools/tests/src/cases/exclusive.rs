// SPDX-License-Identifier: GPL-2.0
//! EPOLLEXCLUSIVE: of the instances that watch a file, an event wakes one.

use crate::both;
use crate::files::{read_all, signal};
use crate::multiplexer::Multiplexer;
use crate::registry::Test;
use crate::support::{eventually, expect_error, expect_one, LONG, MOMENT};
use crate::sys;
use anyhow::{ensure, Result};
use repoll::Events;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{scope, sleep};

pub fn tests() -> Vec<Test> {
    both!("exclusive":
        an_exclusive_watch_is_a_watch,
        one_event_wakes_one_instance_of_several,
        a_shared_watch_beside_exclusive_ones_is_woken_too,
        it_is_given_at_add_only,
        it_goes_with_no_oneshot,
        an_instance_is_not_watched_exclusively,
    )
}

const EXCLUSIVE: Events = Events::IN.union(Events::EXCLUSIVE);
const STOP: u64 = u64::MAX;
const INSTANCES: usize = 4;

fn an_exclusive_watch_is_a_watch<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = sys::eventfd()?;
    m.add(&fd, EXCLUSIVE, 1)?;
    for _ in 0..3 {
        signal(&fd)?;
        ensure!(expect_one(&m, 1)? == Events::IN);
        ensure!(expect_one(&m, 1)? == Events::IN);
        read_all(fd.as_raw_fd())?;
        ensure!(m.ready()?.is_empty());
    }
    m.delete(&fd)?;
    signal(&fd)?;
    ensure!(m.ready()?.is_empty());
    Ok(())
}

/// Lets a waiter sit in each of several instances, and triggers the file that all of them watch, as
/// `events` says for each. Returns how many waiters have had each of the triggers.
fn woken<M: Multiplexer>(watches: [Events; INSTANCES], least: usize) -> Result<Vec<usize>> {
    let fd = sys::eventfd()?;
    let stop = sys::eventfd()?;
    let mut instances = Vec::new();
    for events in watches {
        let m = M::new()?;
        m.add(&fd, events, 1)?;
        m.add(&stop, Events::IN, STOP)?;
        instances.push(m);
    }
    let had = AtomicUsize::new(0);
    scope(|threads| {
        for m in &instances {
            threads.spawn(|| loop {
                match m.wait(1, None) {
                    Ok(events) if events.iter().all(|event| event.data() == 1) => {
                        had.fetch_add(events.len(), SeqCst);
                        // Back to sleep before the next trigger.
                        let _ = read_all(fd.as_raw_fd());
                    }
                    _ => return,
                }
            });
        }
        let mut counts = Vec::new();
        let mut result = Ok(());
        for _ in 0..5 {
            sleep(2 * MOMENT);
            let before = had.load(SeqCst);
            signal(&fd)?;
            result = eventually(
                "someone is woken",
                || Ok(had.load(SeqCst) >= before + least),
            );
            if result.is_err() {
                break;
            }
            sleep(2 * MOMENT);
            counts.push(had.load(SeqCst) - before);
        }
        signal(&stop)?;
        result.map(|()| counts)
    })
}

/// Exactly one, as there is a waiter in each.
fn one_event_wakes_one_instance_of_several<M: Multiplexer>() -> Result<()> {
    let counts = woken::<M>([EXCLUSIVE | Events::ET; INSTANCES], 1)?;
    ensure!(counts == [1; 5], "{counts:?}");
    Ok(())
}

fn a_shared_watch_beside_exclusive_ones_is_woken_too<M: Multiplexer>() -> Result<()> {
    let exclusive = EXCLUSIVE | Events::ET;
    let shared = Events::IN | Events::ET;
    let m = M::new()?;
    let others = [M::new()?, M::new()?];
    let fd = sys::eventfd()?;
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
    let m = M::new()?;
    let fd = sys::eventfd()?;
    m.add(&fd, Events::IN, 1)?;
    expect_error(m.modify(&fd, EXCLUSIVE, 2), libc::EINVAL)?;
    m.delete(&fd)?;
    m.add(&fd, EXCLUSIVE, 1)?;
    expect_error(m.modify(&fd, Events::IN, 2), libc::EINVAL)?;
    expect_error(m.modify(&fd, EXCLUSIVE, 2), libc::EINVAL)?;
    signal(&fd)?;
    expect_one(&m, 1)?;
    m.wait(1, Some(LONG))?;
    m.delete(&fd)?;
    expect_error(m.delete(&fd), libc::ENOENT)
}

fn it_goes_with_no_oneshot<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = sys::eventfd()?;
    for more in [Events::ONESHOT, Events::PRI, Events::RDHUP, Events::RDNORM] {
        expect_error(m.add(&fd, EXCLUSIVE | more, 1), libc::EINVAL)?;
    }
    m.add(
        &fd,
        EXCLUSIVE | Events::OUT | Events::ET | Events::WAKEUP | Events::ERR,
        1,
    )?;
    Ok(())
}

fn an_instance_is_not_watched_exclusively<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let other = M::new()?;
    expect_error(m.add(&other, EXCLUSIVE, 1), libc::EINVAL)?;
    let c = crate::multiplexer::Epoll::new()?;
    expect_error(m.add(&c, EXCLUSIVE, 1), libc::EINVAL)
}
