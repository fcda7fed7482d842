// SPDX-License-Identifier: GPL-2.0
//! `repoll-bench`: what each path costs, on the kernel's epoll and on repoll, in one boot.
//!
//! Under QEMU's `-icount` the clock counts instructions; `tools/harness/cmd/bench` starts it so. It
//! unloads the module for the figures without it, and loads it again.

mod call;
mod clock;
mod compare;
mod memory;
mod multiplexer;
mod paths;
mod table;
mod tracepoints;

use anyhow::{Context, Result};
use call::Call;
use clap::Parser;
use clock::Clock;
use multiplexer::Side;
use paths::{Files, Watching};
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
    /// Also write the table as JSON to this file; `-` is a last line of the output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The module, to be unloaded and loaded again
    #[arg(long, value_name = "FILE", default_value = "/repoll.ko")]
    module: PathBuf,
    /// Seconds of doing nothing before anything is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    idle: u64,
    /// How many files are watched at the most
    #[arg(long, value_name = "COUNT", default_value_t = 100_000,
        value_parser = clap::value_parser!(u32).range(50_100..))]
    watched: u32,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Compares select, poll and epoll, the kernel's own and repoll's, as more files are watched
    Compare {
        /// Also write the figures as JSON to this file; `-` is a line of the output
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Draw them, as SVG, to this file; `-` is a last line of the output
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// What the tracepoints cost, off and on
    Tracepoints,
}

fn main() -> Result<()> {
    let options = Options::parse();
    call::allow_files(u64::from(options.watched) + 2000)?;
    warn_of_clock();
    match &options.command {
        Some(Command::Compare { json, svg }) => {
            idle(&options);
            let comparison = compare::Comparison::measure(&Clock::new())?;
            print!("{}", comparison.text());
            write_line(json.as_deref(), || Ok(comparison.json(&kernel())))?;
            write_line(svg.as_deref(), || compare::plot(&comparison))
        }
        Some(Command::Tracepoints) => {
            idle(&options);
            print!("{}", tracepoints::table(&Clock::new())?);
            Ok(())
        }
        None => paths(&options),
    }
}

/// Writes what `line` says to a file, or (`-`) to the output, if at all.
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
    // Those that QEMU moves by one for each instruction, read without a system call.
    if !["tsc", "arch_sys_counter"].contains(&source) {
        eprintln!("the clock is {source}, not that of the processor: too coarse to count with");
    }
}

fn paths(options: &Options) -> Result<()> {
    // Else a write may run the reader at once, and half of the round trips' calls never sleep.
    call::wake_without_preemption()?;
    let mut bench = Bench::new(options)?;
    bench.run()?;
    print!("{}", table::text(&bench.rows));
    write_line(options.json.as_deref(), || {
        Ok(table::json(&kernel(), &bench.rows))
    })
}

/// What is measured before the module is there.
struct Without {
    create_and_close: f64,
    eventfd_and_close: f64,
    /// The same, while there are [`OTHERS`].
    eventfd_among: f64,
}

/// How many other eventfds there are, when there are some.
const OTHERS: usize = 1000;

impl Without {
    fn measure(options: &Options) -> Result<(Self, Clock)> {
        let module = File::open(&options.module)
            .with_context(|| format!("cannot open {}", options.module.display()))?;
        call::unload_module(c"repoll").context("cannot unload the module")?;
        idle(options);
        let clock = Clock::new();
        let without = Self {
            create_and_close: paths::create_and_close(&clock, &Side::Epoll)?,
            eventfd_and_close: paths::eventfds_and_close(&clock)?,
            eventfd_among: {
                let _others = Files::new(OTHERS)?;
                paths::eventfds_and_close(&clock)?
            },
        };
        call::load_module(&module).context("cannot load the module")?;
        idle(options);
        Ok((without, clock))
    }
}

fn idle(options: &Options) {
    sleep(Duration::from_secs(options.idle));
}

/// Calls of which a path consists: those to the multiplexer, and others.
struct Floor(u32, u32);

struct Bench<'a> {
    options: &'a Options,
    clock: Clock,
    without: Without,
    sides: [Side; 2],
    /// What a call costs that does nothing, of each side.
    nothing: [f64; 2],
    rows: Vec<Row>,
}

impl<'a> Bench<'a> {
    fn new(options: &'a Options) -> Result<Self> {
        let (without, clock) = Without::measure(options)?;
        let sides = [Side::Epoll, Side::repoll()?];
        let nothing = [
            paths::repeat(&clock, sides[0].nothing()),
            paths::repeat(&clock, sides[1].nothing()),
        ];
        Ok(Self {
            options,
            clock,
            without,
            sides,
            nothing,
            rows: Vec::new(),
        })
    }

    fn run(&mut self) -> Result<()> {
        let none = paths::repeat(&self.clock, Call::none());
        self.row("no such system call", [none; 2], Floor(0, 0), Goal::None);
        self.row("floor: getpid, NOP", self.nothing, Floor(1, 0), Goal::None);
        // Before much has been allocated and freed: slabs that are half empty would be filled.
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
            let total = self.both(|clock, side| paths::wait_ready(clock, side, 1, ready))?;
            let name = format!("WAIT: {ready} ready");
            self.row(&name, total, Floor(1, 0), Goal::Net(goal));
        }
        let level = |clock: &_, side: &_, ready| paths::wait_ready(clock, side, ready, ready);
        self.events("LT", level)?;
        self.events("ET", paths::wait_edges)
    }

    /// What one event more costs, from few to many, and what each costs of many.
    fn events(
        &mut self,
        name: &str,
        wait: impl Fn(&Clock, &Side, usize) -> Result<f64>,
    ) -> Result<()> {
        let few = self.both(|clock, side| wait(clock, side, 64))?;
        let many = self.both(|clock, side| wait(clock, side, 256))?;
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
        let unwatched = self.both(|clock, side| paths::write(clock, side, Watching::None))?;
        for (name, watching) in [
            ("callback: queued already", Watching::Queued),
            ("callback: queues", Watching::Idle),
        ] {
            let watched = self.both(|clock, side| paths::write(clock, side, watching))?;
            let more = [0, 1].map(|side: usize| watched[side] - unwatched[side]);
            self.row(name, more, Floor(0, 0), Goal::Net(0.8));
        }
        Ok(())
    }

    /// Files that come and go. The C epoll's figures are those without the module.
    fn lives(&mut self) -> Result<()> {
        let ours = paths::create_and_close(&self.clock, &self.sides[1])?;
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
        let with = paths::eventfds_among(&self.clock, &self.sides[1], &files, OTHERS)?;
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

    /// The middle of some turns: now and then the scheduler falls into another pattern, in which
    /// fewer calls sleep.
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
                self.both(|clock, side| paths::add_and_delete(clock, side, files, watched))?;
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
        self.both(|_, side| paths::memory_of_watch(side, &files, COUNT))
    }

    fn many(&mut self, files: &Files) -> Result<()> {
        let mut few = None;
        for watched in [10, 1000, self.options.watched as usize] {
            let total = self.both(|clock, side| paths::wait_among(clock, side, files, watched))?;
            let few = *few.get_or_insert(total[1]);
            let name = format!("WAIT: 1 ready of {watched}");
            self.row(&name, total, Floor(1, 0), Goal::Flat(few));
        }
        Ok(())
    }

    fn both<R>(&self, measure: impl Fn(&Clock, &Side) -> Result<R>) -> Result<[R; 2]> {
        let [c, ours] = &self.sides;
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
