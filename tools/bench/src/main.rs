// SPDX-License-Identifier: GPL-2.0
//! `repoll-bench`: the cost of each path, on the kernel's epoll and on repoll, in one boot.
//!
//! `tools/harness/cmd/bench` runs it under QEMU's `-icount`, where the clock counts instructions.
//! It unloads the module for the figures without it, and loads it again.

mod call;
mod clock;
mod compare;
mod contention;
mod memory;
mod multiplexer;
mod paths;
mod table;
mod takeover;
mod tracepoints;
mod words;

use anyhow::{Context, Result};
use call::Call;
use clap::Parser;
use clock::Clock;
use multiplexer::Maker;
use paths::{Files, Watching};
use repoll_testkit::limits::allow_files;
use repoll_testkit::{modules, threads};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;
use table::{Goal, Row};

#[derive(Parser)]
#[command(
    about = "Measures the kernel's epoll and repoll, side by side",
    max_term_width = 100
)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// Also write the table as JSON to this file; - appends it to the output as a line
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The module, which is unloaded and loaded again
    #[arg(long, value_name = "FILE", default_value = "/repoll.ko")]
    module: PathBuf,
    /// Seconds of idle time before the first measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    idle: u64,
    /// The largest number of watched files
    #[arg(long, value_name = "COUNT", default_value_t = 100_000,
        value_parser = clap::value_parser!(u32).range(50_100..))]
    watched: u32,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Compare select, poll and epoll, the kernel's own and repoll's, by the number of watched
    /// files
    Compare {
        /// Also write the figures as JSON to this file; - appends them to the output as a line
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Draw them as SVG to this file; - appends the drawing to the output as a line
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Measure the cost of the tracepoints, off and on
    Tracepoints,
    /// Compare the same system calls on the C epoll and taken over, and measure the tax on the C
    /// epoll meanwhile
    Takeover,
    /// Measure the wall time of 1 to 4 producers that queue on one instance, in a guest with
    /// several CPUs
    Contention {
        /// The number of measurements of each; the table has their medians
        #[arg(long, value_name = "COUNT", default_value_t = 9,
            value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
}

fn main() -> Result<()> {
    let options = Options::parse();
    allow_files(u64::from(options.watched) + 2000)
        .context("cannot raise the limit of open files: run as root")?;
    warn_of_clock();
    match &options.command {
        Some(Command::Compare { json, svg }) => {
            idle(&options);
            let comparison = compare::Comparison::measure(&Clock::new())?;
            print!("{}", comparison.text());
            write_line(json.as_deref(), || comparison.json(&kernel()))?;
            write_line(svg.as_deref(), || compare::plot(&comparison))
        }
        Some(Command::Tracepoints) => {
            idle(&options);
            print!("{}", tracepoints::table(&Clock::new())?);
            Ok(())
        }
        Some(Command::Takeover) => {
            idle(&options);
            print!("{}", takeover::table(&Clock::new())?);
            Ok(())
        }
        Some(Command::Contention { rounds }) => {
            print!("{}", contention::table(*rounds as usize)?);
            Ok(())
        }
        None => paths(&options),
    }
}

/// Writes a line to a file, or to the output if the path is `-`.
fn write_line(path: Option<&Path>, line: impl FnOnce() -> Result<String>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let line = line()? + "\n";
    if path.as_os_str() == "-" {
        print!("{line}");
        return Ok(());
    }
    fs::write(path, line).with_context(|| format!("cannot write {}", path.display()))
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

fn warn_of_clock() {
    let source =
        fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource")
            .unwrap_or_default();
    let source = source.trim();
    // QEMU advances these with each instruction, and programs read them without a system call.
    if !["tsc", "arch_sys_counter"].contains(&source) {
        eprintln!(
            "the clock source is {source}: too coarse to count instructions; boot with tsc or \
             arch_sys_counter"
        );
    }
}

fn paths(options: &Options) -> Result<()> {
    // Otherwise a write can run the reader at once, and half of the round trips' calls never sleep.
    threads::schedule(libc::SCHED_BATCH, 0).context("cannot change the scheduling policy")?;
    let mut bench = Bench::new(options)?;
    bench.run()?;
    print!("{}", table::text(&bench.rows));
    write_line(options.json.as_deref(), || {
        table::json(&kernel(), &bench.rows)
    })
}

/// The measurements without the module.
struct Without {
    create_and_close: f64,
    eventfd_and_close: f64,
    /// The same among [`OTHERS`] other eventfds.
    eventfd_among: f64,
}

/// The number of other eventfds.
const OTHERS: usize = 1000;

impl Without {
    fn measure(options: &Options) -> Result<(Self, Clock)> {
        let module = File::open(&options.module)
            .with_context(|| format!("cannot open {}", options.module.display()))?;
        modules::unload(c"repoll").context("cannot unload the module")?;
        idle(options);
        let clock = Clock::new();
        let without = Self {
            create_and_close: paths::create_and_close(&clock, &Maker::Epoll)?,
            eventfd_and_close: paths::eventfds_and_close(&clock)?,
            eventfd_among: {
                let _others = Files::new(OTHERS)?;
                paths::eventfds_and_close(&clock)?
            },
        };
        modules::load(&module, c"").context("cannot load the module")?;
        idle(options);
        Ok((without, clock))
    }
}

fn idle(options: &Options) {
    sleep(Duration::from_secs(options.idle));
}

/// The calls that a path consists of: to the multiplexer, and others. *net* subtracts their entry
/// costs.
struct Floor(u32, u32);

struct Bench<'a> {
    options: &'a Options,
    clock: Clock,
    without: Without,
    makers: [Maker; 2],
    /// The entry cost of each side.
    nothing: [f64; 2],
    rows: Vec<Row>,
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options) -> Result<Self> {
        let (without, clock) = Without::measure(options)?;
        let makers = Maker::both()?;
        let nothing = makers
            .each_ref()
            .map(|maker| paths::repeat(&clock, maker.nothing()));
        Ok(Self {
            options,
            clock,
            without,
            makers,
            nothing,
            rows: Vec::new(),
        })
    }

    fn run(&mut self) -> Result<()> {
        let none = paths::repeat(&self.clock, Call::none());
        self.row("no such system call", [none; 2], Floor(0, 0), Goal::None);
        self.row("floor: getpid, NOP", self.nothing, Floor(1, 0), Goal::None);
        // First, since after many allocations it would fill slabs that are half empty.
        let bytes = self.memory()?;
        self.waits()?;
        self.callbacks()?;
        self.lives()?;
        let modify = self.both(paths::modify)?;
        let round_trip = self.round_trip()?;
        let files = Files::new(self.options.watched as usize)?;
        self.changes(&files, modify)?;
        self.row(
            "sleep and wake-up round trip (pipes)",
            round_trip,
            Floor(2, 4),
            Goal::Net(1.0),
        );
        self.row(
            "kernel memory per watch, bytes",
            bytes,
            Floor(0, 0),
            Goal::Net(0.9),
        );
        self.many(&files)
    }

    fn waits(&mut self) -> Result<()> {
        for (ready, goal) in [(0, 1.0), (1, 0.9)] {
            let total = self.both(|clock, maker| paths::wait_ready(clock, maker, 1, ready))?;
            let name = format!("WAIT: {ready} ready");
            self.row(&name, total, Floor(1, 0), Goal::Net(goal));
        }
        let level = |clock: &_, maker: &_, ready| paths::wait_ready(clock, maker, ready, ready);
        self.events("LT", level)?;
        self.events("ET", paths::wait_edges)
    }

    /// The cost of an additional event, from few to many, and the cost of each of many.
    fn events(
        &mut self,
        name: &str,
        wait: impl Fn(&Clock, &Maker, usize) -> Result<f64>,
    ) -> Result<()> {
        let few = self.both(|clock, maker| wait(clock, maker, 64))?;
        let many = self.both(|clock, maker| wait(clock, maker, 256))?;
        let more = [0, 1].map(|side: usize| (many[side] - few[side]) / 192.0);
        self.row(
            &format!("per event, {name}, 64 to 256 ready"),
            more,
            Floor(0, 0),
            Goal::Net(0.85),
        );
        let name = format!("WAIT / 256, {name}, 256 ready");
        let net = [0, 1].map(|side: usize| (many[side] - self.nothing[side]) / 256.0);
        let total = many.map(|total| total / 256.0);
        self.rows.push(Row {
            name,
            total,
            net,
            goal: Goal::None,
        });
        Ok(())
    }

    fn callbacks(&mut self) -> Result<()> {
        let unwatched = self.both(|clock, maker| paths::write(clock, maker, Watching::None))?;
        for (name, watching) in [
            ("callback: queued already", Watching::Queued),
            ("callback: queues", Watching::Idle),
        ] {
            let watched = self.both(|clock, maker| paths::write(clock, maker, watching))?;
            let more = [0, 1].map(|side: usize| watched[side] - unwatched[side]);
            self.row(name, more, Floor(0, 0), Goal::Net(0.8));
        }
        Ok(())
    }

    /// Files that are made and closed. The C epoll's figures are those without the module.
    fn lives(&mut self) -> Result<()> {
        let ours = paths::create_and_close(&self.clock, &self.makers[1])?;
        self.row(
            "create + close",
            [self.without.create_and_close, ours],
            Floor(1, 1),
            Goal::Total(1.05),
        );
        let name = "eventfd create + close: module, no watches";
        let with = paths::eventfds_and_close(&self.clock)?;
        self.eventfds(name, [self.without.eventfd_and_close, with]);
        let files = Files::new(OTHERS)?;
        let with = paths::eventfds_among(&self.clock, &self.makers[1], &files, OTHERS)?;
        let name = format!("  the same, {OTHERS} others watched");
        self.eventfds(&name, [self.without.eventfd_among, with]);
        Ok(())
    }

    fn eventfds(&mut self, name: &str, total: [f64; 2]) {
        let net = total.map(|total| total - 2.0 * self.nothing[0]);
        self.rows.push(Row {
            name: name.to_owned(),
            total,
            net,
            goal: Goal::Plus(50.0),
        });
    }

    /// The median of some turns: sometimes the scheduler falls into another pattern, in which fewer
    /// calls sleep.
    fn round_trip(&self) -> Result<[f64; 2]> {
        let turns = (0..5)
            .map(|_| self.both(paths::round_trip))
            .collect::<Result<Vec<_>>>()?;
        Ok([0, 1].map(|side: usize| {
            let mut took: Vec<_> = turns.iter().map(|turn| turn[side]).collect();
            took.sort_by(f64::total_cmp);
            took[took.len() / 2]
        }))
    }

    fn changes(&mut self, files: &Files, modify: [f64; 2]) -> Result<()> {
        let mut deletes = Vec::new();
        for watched in [10, 1000, 50_000] {
            let [c, ours] =
                self.both(|clock, maker| paths::add_and_delete(clock, maker, files, watched))?;
            let name = format!("ADD, {watched} watched");
            self.row(&name, [c[0], ours[0]], Floor(1, 0), Goal::Net(0.9));
            deletes.push((format!("DEL, {watched} watched"), [c[1], ours[1]]));
        }
        self.row("MOD", modify, Floor(1, 0), Goal::Net(1.0));
        for (name, total) in deletes {
            self.row(&name, total, Floor(1, 0), Goal::Net(0.9));
        }
        Ok(())
    }

    fn memory(&self) -> Result<[f64; 2]> {
        const COUNT: usize = 40_000;
        let files = Files::new(COUNT)?;
        self.both(|_, maker| paths::memory_of_watch(maker, &files, COUNT))
    }

    fn many(&mut self, files: &Files) -> Result<()> {
        let mut few = None;
        for watched in [10, 1000, self.options.watched as usize] {
            let total =
                self.both(|clock, maker| paths::wait_among(clock, maker, files, watched))?;
            let few = *few.get_or_insert(total[1]);
            let name = format!("WAIT: 1 ready of {watched}");
            self.row(&name, total, Floor(1, 0), Goal::Flat(few));
        }
        Ok(())
    }

    fn both<R>(&self, measure: impl Fn(&Clock, &Maker) -> Result<R>) -> Result<[R; 2]> {
        let [c, ours] = &self.makers;
        Ok([
            measure(&self.clock, c).context("the C epoll")?,
            measure(&self.clock, ours).context("repoll")?,
        ])
    }

    fn row(&mut self, name: &str, total: [f64; 2], floor: Floor, goal: Goal) {
        let empty = self.nothing[0];
        let net = [0, 1].map(|side: usize| {
            total[side] - f64::from(floor.0) * self.nothing[side] - f64::from(floor.1) * empty
        });
        self.rows.push(Row {
            name: name.to_owned(),
            total,
            net,
            goal,
        });
    }
}
