// SPDX-License-Identifier: GPL-2.0
//! Producers that queue on one instance at the same time, and its one consumer: wall time.
//!
//! A producer writes to an eventfd of its own, which is watched through many descriptors: one write
//! makes one callback for each. So most of a write is the producer's work at the ready queue, and
//! little is the system call. Wall time depends on the machine and its other load. So both sides
//! are measured in turn, in one boot, and only their ratio is of use.

use crate::call::Call;
use crate::multiplexer::{Maker, Set};
use anyhow::{ensure, Context, Result};
use repoll::EventFlags;
use std::fmt::Write;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

/// The most producers.
const PRODUCERS: usize = 4;
/// The descriptors through which the file of a producer is watched.
const WATCHES: usize = 64;
/// The writes of a producer in a round.
const WRITES: u32 = 300;
/// The most events that the consumer takes at once.
const EVENTS: usize = 256;

/// The wall time of a write, and what the consumer had, for a number of producers.
#[derive(Clone, Copy, Default)]
struct Figures {
    /// Nanoseconds for each callback of each producer.
    callback: f64,
    /// Events that were delivered, for each callback: the rest found their item queued already.
    delivered: f64,
}

/// The file of a producer.
struct File {
    file: OwnedFd,
    /// Closed last: the watches end with them.
    _watched: Vec<OwnedFd>,
}

impl File {
    fn new(set: &Set) -> Result<Self> {
        let file = Call::eventfd().descriptor()?;
        let watched = (0..WATCHES)
            .map(|_| {
                let copy = file.try_clone()?;
                set.add(copy.as_raw_fd(), EventFlags::IN | EventFlags::ET)
                    .check()?;
                Ok(copy)
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            file,
            _watched: watched,
        })
    }
}

/// One round of `producers` producers.
fn round(maker: &Maker, producers: usize) -> Result<Figures> {
    let set = maker.instance()?;
    let files = (0..producers)
        .map(|_| File::new(&set))
        .collect::<Result<Vec<_>>>()?;
    let stop = Call::eventfd().descriptor()?;
    set.add(stop.as_raw_fd(), EventFlags::IN).check()?;
    let wait = set.wait(EVENTS, false);
    let stopped = AtomicBool::new(false);
    let delivered = AtomicU64::new(0);
    let start = Barrier::new(producers + 2);
    let took = thread::scope(|threads| {
        threads.spawn(|| {
            start.wait();
            while !stopped.load(Relaxed) {
                delivered.fetch_add(wait.run().max(0) as u64, Relaxed);
            }
        });
        let writers: Vec<_> = files
            .iter()
            .map(|file| {
                let write = Call::write(file.file.as_raw_fd());
                let start = &start;
                threads.spawn(move || {
                    start.wait();
                    let begin = Instant::now();
                    let all = (0..WRITES).all(|_| write.run() == 8);
                    (begin, Instant::now(), all)
                })
            })
            .collect();
        start.wait();
        let times: Vec<_> = writers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        // The consumer may sleep.
        stopped.store(true, Relaxed);
        Call::write(stop.as_raw_fd()).check()?;
        let (mut begins, mut ends) = (Vec::new(), Vec::new());
        for time in times {
            let (begin, end, all) = time.map_err(|_| anyhow::anyhow!("a producer panicked"))?;
            ensure!(all, "a write failed");
            begins.push(begin);
            ends.push(end);
        }
        let first = begins.into_iter().min().context("no producer")?;
        let last = ends.into_iter().max().context("no producer")?;
        Ok(last - first)
    })?;
    let callbacks = producers as f64 * f64::from(WRITES) * WATCHES as f64;
    Ok(Figures {
        callback: took.as_nanos() as f64 / callbacks,
        delivered: delivered.load(Relaxed) as f64 / callbacks,
    })
}

fn median(figures: &[Figures], of: impl Fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<_> = figures.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures `rounds` rounds of 1 to [`PRODUCERS`] producers on both sides, and draws the table.
pub fn table(rounds: usize) -> Result<String> {
    let makers = Maker::both()?;
    let mut figures = [0; PRODUCERS].map(|_| [const { Vec::new() }; 2]);
    for _ in 0..rounds {
        for (index, figures) in figures.iter_mut().enumerate() {
            for (maker, figures) in makers.iter().zip(figures) {
                figures.push(round(maker, index + 1).context("a round failed")?);
            }
        }
    }
    let mut text = String::from(
        "                      ns per callback     delivered per callback\n\
         producers             epoll    repoll     epoll    repoll\n",
    );
    let mut ratios = String::new();
    let mut sum = 0.0;
    for (index, sides) in figures.iter().enumerate() {
        let [c, ours] = [&sides[0], &sides[1]].map(|side| median(side, |round| round.callback));
        let [few, many] = [&sides[0], &sides[1]].map(|side| median(side, |round| round.delivered));
        // Of each round, since what else the machine does is the same for both halves of one.
        let mut ratio: Vec<_> = (0..rounds)
            .map(|round| sides[1][round].callback / sides[0][round].callback)
            .collect();
        ratio.sort_by(f64::total_cmp);
        let ratio = ratio[rounds / 2];
        sum += ratio;
        let producers = index + 1;
        writeln!(
            text,
            "{producers:<18} {c:>8.0} {ours:>9.0} {few:>9.2} {many:>9.2}"
        )?;
        writeln!(
            ratios,
            "ratio repoll to epoll, producers {producers}: {ratio:.2}"
        )?;
    }
    let mean = sum / PRODUCERS as f64;
    writeln!(ratios, "ratio repoll to epoll, mean: {mean:.2}")?;
    Ok(text + &ratios)
}
