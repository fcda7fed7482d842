// SPDX-License-Identifier: GPL-2.0
//! Runs the same random operations on the kernel's epoll and on repoll, and compares the answers.
//!
//! A *world* begins empty. Several tasks, one at a time, open files and instances, watch them,
//! write to them and close them. The files are the same for both sides, since watching a file
//! does not change it; each operation on an instance is made on the C epoll and on repoll, and the
//! answers must be equal: results, errors, counts, events, data, and their order.
//!
//! A program that shows a difference is shrunk, and printed so that `--replay` takes it.
//!
//! # What is not compared
//!
//! * Which of several tasks in WAIT is woken.
//! * Races: there is one operation at a time.
//! * The wake-ups of EXCLUSIVE items. Both sides are in one wait queue, and a wake-up takes one
//!   exclusive entry. So a program has EXCLUSIVE items or tasks that sleep in WAIT, not both.
//! * Effects that come later than the call that causes them: terminals, periodic timers, Unix
//!   sockets sent over Unix sockets. With TCP and UDP, softirqs may come between the two sides;
//!   such a difference counts only if it comes again, three times.
//! * EPOLLWAKEUP with `CAP_BLOCK_SUSPEND`, limits on watches, memory that runs out, other
//!   multiplexers that watch an instance (besides select and poll, of either side), 32-bit callers.
//! * The time that select and poll leave of their limit.
//!
//! # Does it find anything?
//!
//! Each of these changes of the module was found (`--seed 1`, worlds of 200 operations):
//!
//! | change | in world | shrunk to |
//! |---|---|---|
//! | ET treated as level-triggered | 0 | 5 operations |
//! | ONESHOT not disarmed | 0 | 6 |
//! | no EEXIST | 0 | 4 |
//! | level-triggered items queued again in reverse order | 0 | 7 |
//! | events beyond maxevents go to the tail | 2 | 7 |
//! | EFAULT loses the event | 0 | 5 |
//! | items found by file alone, not by descriptor | 0 | 4 |
//! | MOD of an EXCLUSIVE item allowed | 4 | 4 |
//! | MOD does not poll the file | 0 | 5 |
//! | ADD does not poll the file | 0 | 4 |
//! | MOD keeps the old datum | 0 | 6 |
//! | ERR and HUP not always on | 0 | 5 |
//! | poll(2) sends the item that it found to the tail | 0 | 7 |
//! | callbacks without events are ignored | 0 | 5 |
//! | callbacks for other events are not ignored | 5 | 7 |
//! | callbacks wake no waiter and no poller | 5 | 7 |
//! | five levels of nesting | 15 | 11 |
//! | no limit on the paths of depth 4 | 133 | 25 |
//! | ADD of an instance counts what was closed below it (a real one) | 129 | 12 |
//!
//! Not found in 60,000 operations: a callback that queues a disarmed ONESHOT item. Only the order
//! could show it, and only with files whose wake-ups carry no events.

mod answer;
mod execute;
mod generate;
mod memory;
mod open;
mod operation;
mod shrink;
mod signals;
mod statistics;
mod world;

use answer::Outcome;
use anyhow::{ensure, Context, Result};
use clap::Parser;
use operation::{parse_program, Operation, Step};
use repoll_testkit::ktap::{self, Report};
use repoll_testkit::random::Random;
use statistics::Statistics;
use std::fmt::Write as _;
use std::io::{IsTerminal, Stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use world::{Difference, Tasks};

/// Runs the same random operations on epoll and on repoll, and compares the answers. Prints KTAP.
#[derive(Debug, Parser)]
#[command(name = "repoll-diff", version)]
struct Settings {
    /// The number of operations.
    #[arg(long, default_value_t = 200_000)]
    ops: u64,
    /// The seed that determines the operations [default: the time of day].
    #[arg(long)]
    seed: Option<u64>,
    /// The number of operations in a world, after which all files are closed.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    world_ops: u32,
    /// Stop after this many seconds, if the operations are not done by then.
    #[arg(long)]
    seconds: Option<u64>,
    /// Run ten times as many operations.
    #[arg(long)]
    long: bool,
    /// Let no instance watch an instance.
    #[arg(long)]
    no_nest: bool,
    /// Begin with this world of the seed.
    #[arg(long, default_value_t = 0)]
    world: u64,
    /// Print the progress even if standard error is not a terminal.
    #[arg(long)]
    progress: bool,
    /// Print the number of operations of each kind, and the time that they took.
    #[arg(long)]
    statistics: bool,
    /// Run the operations in this file, and print each answer.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Have repoll's instances taken over: both sides make the same system calls. Needs root.
    #[arg(long)]
    taken_over: bool,
    /// Print the program of the first world, and run nothing.
    #[arg(long)]
    print: bool,
}

fn main() -> ExitCode {
    match run(&Settings::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("Bail out! {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &Settings) -> Result<bool> {
    let seed = settings.seed.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |time| time.as_nanos() as u64 % 1_000_000_000)
    });
    if settings.print {
        for step in world_program(settings, seed, settings.world) {
            println!("{step}");
        }
        return Ok(true);
    }
    signals::prepare_process()?;
    execute::prepare(settings.taken_over)?;
    let result = run_prepared(settings, seed);
    execute::finish();
    result
}

fn run_prepared(settings: &Settings, seed: u64) -> Result<bool> {
    let mut tasks = Tasks::new()?;
    match &settings.replay {
        Some(path) => {
            let program = parse_program(&std::fs::read_to_string(path)?)?;
            replay(&mut tasks, &program)
        }
        None => compare(&mut tasks, settings, seed),
    }
}

fn world_program(settings: &Settings, seed: u64, world: u64) -> Vec<Step> {
    let length = settings.world_ops as usize;
    generate::program(&mut Random::new(seed, world), length, !settings.no_nest)
}

/// Runs a given program. Returns whether the sides agree.
fn replay(tasks: &mut Tasks, program: &[Step]) -> Result<bool> {
    let found = tasks.run(program, |step, outcome| match outcome {
        Outcome::Same(answer) => println!("{step:<40} # {answer}"),
        Outcome::Differ(epoll, repoll) => {
            println!("{step}\n#   epoll:  {epoll}\n#   repoll: {repoll}");
        }
    })?;
    println!(
        "# {}",
        if found.is_some() {
            "they differ"
        } else {
            "they agree"
        }
    );
    Ok(found.is_none())
}

/// The progress of a run.
struct Tally {
    operations: u64,
    worlds: u64,
    unconfirmed: u64,
    start: Instant,
}

fn compare(tasks: &mut Tasks, settings: &Settings, seed: u64) -> Result<bool> {
    let goal = settings.ops * if settings.long { 10 } else { 1 };
    let limit = settings.seconds.map(Duration::from_secs);
    let talks = settings.progress || std::io::stderr().is_terminal();
    let mut spoken = Instant::now();
    let mut tally = Tally {
        operations: 0,
        worlds: 0,
        unconfirmed: 0,
        start: Instant::now(),
    };
    let mut ktap = Report::begin()?;
    ktap.note(format!("seed {seed}, {goal} operations"))?;
    let mut report = None;
    let mut statistics = settings.statistics.then(Statistics::new);
    while tally.operations < goal && limit.is_none_or(|limit| tally.start.elapsed() < limit) {
        let world = settings.world + tally.worlds;
        let program = world_program(settings, seed, world);
        tally.operations += program.len() as u64;
        tally.worlds += 1;
        statistics.iter_mut().for_each(Statistics::skip_time);
        let count = |step: &Step, outcome: &Outcome| {
            statistics.iter_mut().for_each(|all| all.add(step, outcome));
        };
        if let Some(found) = tasks
            .run(&program, count)
            .with_context(|| format!("seed {seed}, world {world}"))?
        {
            report = confirm(tasks, &program, &found, &mut tally)?;
            if let Some(report) = &mut report {
                report.insert_str(0, &format!("seed {seed}, world {world}\n"));
                break;
            }
        }
        if talks && spoken.elapsed() > Duration::from_secs(5) {
            spoken = Instant::now();
            let rate = rate(&tally);
            eprintln!("{} of {goal} operations, {rate}/s", tally.operations);
        }
    }
    statistics.iter().for_each(Statistics::print);
    conclude(&tally, seed, report.as_deref(), ktap)
}

fn rate(tally: &Tally) -> u64 {
    (tally.operations as f64 / tally.start.elapsed().as_secs_f64().max(0.001)) as u64
}

/// Writes the result. Returns whether the sides agree.
fn conclude(
    tally: &Tally,
    seed: u64,
    report: Option<&str>,
    mut ktap: Report<Stdout>,
) -> Result<bool> {
    let Tally {
        operations,
        worlds,
        unconfirmed,
        ..
    } = tally;
    if *unconfirmed != 0 {
        ktap.note(format!(
            "{unconfirmed} differences in worlds with network sockets did not come again"
        ))?;
    }
    let outcome = report.map_or(ktap::Outcome::Passed, |report| {
        ktap::Outcome::Failed(ktap::lines(report))
    });
    let remark = format!(
        "{operations} operations, {worlds} worlds, {}/s",
        rate(tally)
    );
    ktap.add_with(&format!("differential_seed_{seed}"), &outcome, &remark)?;
    Ok(ktap.end()?.failed == 0)
}

/// Runs the program again. A difference that comes again is real, and is shrunk. One that does not
/// is real too, unless the program has files whose events may come late.
fn confirm(
    tasks: &mut Tasks,
    program: &[Step],
    found: &Difference,
    tally: &mut Tally,
) -> Result<Option<String>> {
    let network = program
        .iter()
        .any(|step| matches!(step.operation, Operation::Open(kind, ..) if kind.is_network()));
    let wanted = if network { 3 } else { 1 };
    let mut again = 0;
    for _ in 0..wanted {
        again += usize::from(tasks.run(program, |_, _| ())?.is_some());
    }
    if again < wanted {
        if network {
            tally.unconfirmed += 1;
            println!(
                "# once only, with network sockets: {}: epoll {}, repoll {}",
                program[found.step], found.epoll, found.repoll
            );
            return Ok(None);
        }
        let mut text = "it did not come again; the program as it was:\n".to_owned();
        describe(&mut text, &program[..=found.step], found)?;
        return Ok(Some(text));
    }
    // A shorter program must not show another difference.
    let verb = |step: &Step| match step.operation {
        Operation::During(..) | Operation::Masked(..) => "wait".to_owned(),
        ref other => {
            let text = other.to_string();
            text.split(' ').next().unwrap_or_default().to_owned()
        }
    };
    let kind = verb(&program[found.step]);
    let mut runs = 0;
    let mut failure = None;
    let mut shows = |candidate: &[Step]| {
        (0..wanted).all(|_| {
            runs += 1;
            match tasks.run(candidate, |_, _| ()) {
                Ok(found) => found.is_some_and(|found| verb(&candidate[found.step]) == kind),
                Err(error) => {
                    failure.get_or_insert(error);
                    false
                }
            }
        })
    };
    let shrunk = shrink::shrink(program[..=found.step].to_vec(), &mut shows);
    if let Some(error) = failure {
        return Err(error);
    }
    let found = tasks.run(&shrunk, |_, _| ())?;
    ensure!(found.is_some(), "the shrunk program shows no difference");
    let mut text = format!(
        "shrunk from {} to {} operations in {runs} runs:\n",
        program.len(),
        shrunk.len()
    );
    for found in found.iter() {
        describe(&mut text, &shrunk, found)?;
    }
    Ok(Some(text))
}

fn describe(text: &mut String, program: &[Step], found: &Difference) -> Result<()> {
    for step in program {
        writeln!(text, "  {step}")?;
    }
    writeln!(text, "epoll answered:  {}", found.epoll)?;
    writeln!(text, "repoll answered: {}", found.repoll)?;
    Ok(())
}
