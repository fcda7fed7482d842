// SPDX-License-Identifier: GPL-2.0
//! Several threads in WAIT on one instance.

use crate::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

pub fn tests() -> Vec<Test> {
    both!("threads":
        a_level_wakes_all_waiters,
        an_edge_wakes_one_waiter,
        each_event_wakes_someone,
        a_oneshot_is_had_by_one_thread_at_a_time,
        add_while_another_thread_waits,
        mod_while_another_thread_waits,
    )
}

const WAITERS: usize = 4;
const STOP: u64 = u64::MAX;

fn a_level_wakes_all_waiters<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    scope(|threads| {
        let waiters: Vec<_> = (0..WAITERS)
            .map(|_| threads.spawn(|| m.wait(4, None)))
            .collect();
        sleep(3 * MOMENT);
        signal(&fd)?;
        for waiter in waiters {
            let events = join(waiter)??;
            ensure!(events.len() == 1, "{events:?}");
        }
        Ok(())
    })
}

fn an_edge_wakes_one_waiter<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (fd, stop) = (files::eventfd()?, files::eventfd()?);
    m.add(&fd, EventFlags::IN | EventFlags::ET, 1)?;
    m.add(&stop, EventFlags::IN, STOP)?;
    let had = AtomicUsize::new(0);
    scope(|threads| {
        {
            for _ in 0..WAITERS {
                threads.spawn(|| loop {
                    let data: Vec<_> = m
                        .wait(4, None)
                        .into_iter()
                        .flatten()
                        .map(|e| e.data())
                        .collect();
                    had.fetch_add(data.iter().filter(|data| **data == 1).count(), SeqCst);
                    if data.contains(&STOP) {
                        return;
                    }
                });
            }
            for round in 1..=20 {
                sleep(Duration::from_millis(5));
                signal(&fd)?;
                let result = eventually("the edge is delivered", || Ok(had.load(SeqCst) >= round));
                if result.is_err() {
                    signal(&stop)?;
                }
                result?;
            }
            signal(&stop)
        }
        .map_err(anyhow::Error::from)
    })?;
    ensure!(had.load(SeqCst) == 20, "{had:?}");
    Ok(())
}

/// Many edges, several takers: each edge is delivered to exactly one.
fn each_event_wakes_someone<M: Multiplexer>() -> Result<()> {
    const FILES: usize = 16;
    const ROUNDS: u64 = 200;
    let m = M::new()?;
    let fds = eventfds(FILES)?;
    let stop = files::eventfd()?;
    let counts: Vec<_> = (0..FILES).map(|_| AtomicUsize::new(0)).collect();
    for (data, fd) in (0..).zip(&fds) {
        m.add(fd, EventFlags::IN | EventFlags::ET, data)?;
    }
    m.add(&stop, EventFlags::IN, STOP)?;
    scope(|threads| {
        for _ in 0..WAITERS {
            threads.spawn(|| -> io::Result<()> {
                loop {
                    for event in m.wait(3, None)? {
                        if event.data() == STOP {
                            return Ok(());
                        }
                        counts[event.data() as usize].fetch_add(1, SeqCst);
                    }
                }
            });
        }
        let mut result = Ok(());
        for round in 1..=ROUNDS as usize {
            // Each file once, and then all must have been had.
            for fd in &fds {
                signal(fd)?;
            }
            result = eventually("all edges are delivered", || {
                Ok(counts.iter().all(|count| count.load(SeqCst) >= round))
            });
            if result.is_err() {
                break;
            }
        }
        signal(&stop)?;
        result
    })?;
    let counts: Vec<_> = counts.iter().map(|count| count.load(SeqCst)).collect();
    ensure!(
        counts.iter().all(|count| *count == ROUNDS as usize),
        "{counts:?}"
    );
    Ok(())
}

fn a_oneshot_is_had_by_one_thread_at_a_time<M: Multiplexer>() -> Result<()> {
    const ROUNDS: usize = 300;
    let m = M::new()?;
    let (fd, stop) = (files::eventfd()?, files::eventfd()?);
    m.add(&fd, EventFlags::IN | EventFlags::ONESHOT, 1)?;
    m.add(&stop, EventFlags::IN, STOP)?;
    let (inside, most, had) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    scope(|threads| {
        for _ in 0..WAITERS {
            threads.spawn(|| -> io::Result<()> {
                loop {
                    for event in m.wait(2, None)? {
                        if event.data() == STOP {
                            return Ok(());
                        }
                        most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                        read_all(&fd)?;
                        std::thread::yield_now();
                        had.fetch_add(1, SeqCst);
                        inside.fetch_sub(1, SeqCst);
                        m.modify(&fd, EventFlags::IN | EventFlags::ONESHOT, 1)?;
                    }
                }
            });
        }
        let mut result = Ok(());
        for round in 1..=ROUNDS {
            signal(&fd)?;
            result = eventually("the event is delivered", || Ok(had.load(SeqCst) >= round));
            if result.is_err() {
                break;
            }
        }
        signal(&stop)?;
        result
    })?;
    ensure!(most.load(SeqCst) == 1, "{most:?} threads at once");
    Ok(())
}

fn add_while_another_thread_waits<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    let events = after(
        3 * MOMENT,
        || m.add(&fd, EventFlags::IN, 3),
        || m.wait(4, None),
    )?;
    ensure!(events.len() == 1 && events[0].data() == 3, "{events:?}");
    Ok(())
}

fn mod_while_another_thread_waits<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    m.add(&fd, EventFlags::PRI, 3)?;
    let events = after(
        3 * MOMENT,
        || m.modify(&fd, EventFlags::IN, 4),
        || m.wait(4, None),
    )?;
    ensure!(events.len() == 1 && events[0].data() == 4, "{events:?}");
    Ok(())
}
