// SPDX-License-Identifier: GPL-2.0
//! A storm of random calls on `/dev/repoll` and `/dev/repoll-source`, and of all other calls that
//! take a descriptor. Processes of several users and namespaces make them, in threads that share
//! their descriptors, with pointers to nowhere and to memory that stalls, killed at any moment.
//!
//! A seed determines the calls of each thread, not how the threads interleave. The module passes if
//! the kernel log stays empty (the harness sees to that), and afterwards an instance and a source
//! work, no user has a watch left, and the module can be unloaded.

mod aftermath;
mod calls;
mod count;
mod loopback;
mod memory;
mod process;

use anyhow::{Context, Result};
use clap::Parser;
use count::{Count, Counter};
use process::ROLES;
use repoll_testkit::ktap::{self, Report, Sum};
use repoll_testkit::processes::{self, Process};
use repoll_testkit::random::Random;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Random calls by many processes, as root, with the module loaded. Prints KTAP.
#[derive(Debug, Parser)]
#[command(name = "repoll-storm", version)]
struct Settings {
    /// Determines the calls; taken from the time of day if it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// The duration of the storm.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// The factor by which processes live longer, for a slow kernel.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    scale: u32,
    /// The module, to be loaded again with a limit on watches.
    #[arg(long, default_value = "/repoll.ko")]
    module: PathBuf,
}

fn main() -> ExitCode {
    ktap::exit_code(run(&Settings::parse()))
}

/// A slot that runs one process at a time.
struct Place {
    process: Process,
    end: Instant,
}

fn run(settings: &Settings) -> Result<Sum> {
    let seed = settings.seed.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |time| time.as_nanos() as u64 % 1_000_000_000)
    });
    let seconds = settings.seconds;
    let mut report = Report::begin()?;
    report.note(format!("repoll-storm --seed {seed} --seconds {seconds}"))?;
    let counter = Counter::new().context("no memory")?;
    let processes = storm(seed, Duration::from_secs(seconds), settings.scale, &counter);
    let count = |of| counter.get(of);
    report.note(format!(
        "{} calls by {processes} processes; {} ioctls of the module succeeded, {} watches were added, {} WAITs had an event",
        count(Count::All),
        count(Count::Ours),
        count(Count::Added),
        count(Count::Delivered),
    ))?;
    aftermath::check(&counter, &settings.module, &mut report)?;
    Ok(report.end()?)
}

/// Runs the storm; returns the number of processes that took part.
fn storm(seed: u64, time: Duration, scale: u32, counter: &Counter) -> u64 {
    let over = Instant::now() + time;
    let mut random = Random::new(seed, 0);
    let mut processes = 0;
    let mut start = |at: usize| {
        processes += 1;
        let process = process::start(ROLES[at], Random::new(seed, processes), counter);
        let life = scale * Duration::from_millis(100 + random.below(3000) as u64);
        Place {
            process,
            end: Instant::now() + life,
        }
    };
    let mut places: Vec<Place> = (0..ROLES.len()).map(&mut start).collect();
    while Instant::now() < over {
        for (at, place) in places.iter_mut().enumerate() {
            let ended = place.process.has_ended();
            if !ended && Instant::now() > place.end {
                processes::kill_group(place.process.0);
            }
            if ended {
                // The processes that it has forked.
                processes::kill_group(place.process.0);
                *place = start(at);
            }
        }
        sleep(Duration::from_millis(20));
    }
    for place in &places {
        processes::kill_group(place.process.0);
    }
    while places.iter().any(|place| !place.process.has_ended()) {
        sleep(Duration::from_millis(20));
    }
    processes
}
