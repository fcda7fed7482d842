// SPDX-License-Identifier: GPL-2.0
//! The trace tool of repoll.

use anyhow::{bail, Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use repoll_trace::filter::{Condition, Filter};
use repoll_trace::record::Trace;
use repoll_trace::recorder::{self, Until};
use repoll_trace::render::{self, Color};
use repoll_trace::stat::{self, Statistics};
use repoll_trace::story::{self, Protocol, Story};
use repoll_trace::tracefs::{self, Session};
use repoll_trace::{dat, report, signals};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Shows what repoll does, from its tracepoints and the kernel's.
#[derive(Parser)]
#[command(name = "repoll-trace", version)]
struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Records into a trace.dat, which trace-cmd and KernelShark read, too: while a command runs, while a
    /// process is there, for some seconds, or until ctrl-c.
    Record(Record),
    /// Tells the lives of events, from their cause to what was made of them: of those that were recorded, or
    /// that happen while a command runs.
    Story(Stories),
    /// Counts, per instance and item, and shows how long things took.
    Stat {
        /// What was recorded.
        #[arg(default_value = "trace.dat")]
        file: PathBuf,
        #[command(flatten)]
        filter: FilterOptions,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Makes a page that shows it as a picture, to be stepped through; one HTML file that needs no network.
    Report {
        /// What was recorded.
        #[arg(default_value = "trace.dat")]
        file: PathBuf,
        /// Where to write it; - for standard output.
        #[arg(short, long, default_value = "trace.html")]
        output: PathBuf,
        /// How many steps to show, at the most.
        #[arg(long, default_value_t = 5000)]
        steps: usize,
    },
}

#[derive(Args)]
struct FilterOptions {
    /// Of repoll's events only what fits: fd=N, ep=N (the instance), item=N, task=N (who calls SELECT or POLL),
    /// source=N, event=NAME. May be given several times: of those of one kind one must fit, of each kind.
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Condition>,
}

#[derive(Args)]
struct Record {
    /// The file to make.
    #[arg(short, long, default_value = "trace.dat")]
    output: PathBuf,
    #[command(flatten)]
    filter: FilterOptions,
    /// Only repoll's events, none of the kernel's.
    #[arg(long)]
    only_repoll: bool,
    /// The size of each CPU's buffer, in KiB. They are emptied 20 times a second.
    #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u32).range(64..=1 << 20))]
    buffer: u32,
    /// For so many seconds.
    #[arg(long, conflicts_with_all = ["pid", "command"])]
    seconds: Option<u32>,
    /// While this process is there.
    #[arg(long, conflicts_with = "command")]
    pid: Option<u32>,
    /// What to run while recording.
    #[arg(last = true)]
    command: Vec<String>,
}

#[derive(Args)]
struct Stories {
    /// What was recorded (trace.dat).
    #[arg(conflicts_with = "command")]
    file: Option<PathBuf>,
    #[command(flatten)]
    filter: FilterOptions,
    /// Only those with this cause.
    #[arg(long, value_enum)]
    cause: Option<Cause>,
    /// The n-th, instead of the one with the median duration.
    #[arg(long, conflicts_with_all = ["slowest", "all"])]
    nth: Option<usize>,
    /// The slowest.
    #[arg(long, conflicts_with = "all")]
    slowest: bool,
    /// All of them, in a line each.
    #[arg(long)]
    all: bool,
    /// When to print in colour.
    #[arg(long, value_enum, default_value_t)]
    color: Color,
    /// What to run while recording.
    #[arg(last = true)]
    command: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Cause {
    Udp,
    Tcp,
    Loopback,
    Softirq,
    Interrupt,
    Task,
    Write,
    Timer,
    Frame,
    Ready,
}

impl Cause {
    fn of(self) -> story::Cause {
        match self {
            Self::Udp => story::Cause::Packet(Protocol::Udp),
            Self::Tcp => story::Cause::Packet(Protocol::Tcp),
            Self::Loopback => story::Cause::Loopback,
            Self::Softirq => story::Cause::Softirq,
            Self::Interrupt => story::Cause::Interrupt,
            Self::Task => story::Cause::Task,
            Self::Write => story::Cause::Write,
            Self::Timer => story::Cause::Timer,
            Self::Frame => story::Cause::Frame,
            Self::Ready => story::Cause::Ready,
        }
    }
}

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("repoll-trace: {error:#}");
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode> {
    match Options::parse().action {
        Action::Record(options) => record(options),
        Action::Story(options) => tell(options),
        Action::Stat { file, filter, json } => {
            let trace = load(&file)?;
            let stories = story::all(&trace.records);
            let filter = known(filter, &trace)?;
            let mut statistics = Statistics::of(&trace.records, &stories, &filter);
            statistics.lost = trace.lost;
            if json {
                print(&format!("{}\n", serde_json::to_string_pretty(&statistics)?))?;
            } else {
                print(&stat::render(&statistics))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Report {
            file,
            output,
            steps,
        } => {
            let trace = load(&file)?;
            let stories = story::all(&trace.records);
            let statistics = Statistics::of(&trace.records, &stories, &Filter::default());
            let page = report::page(&trace, &stories, &statistics, steps)?;
            if output == Path::new("-") {
                print(&page)?;
            } else {
                create(&output)?.write_all(page.as_bytes())?;
                eprintln!("Open {} in a browser.", output.display());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot make {}", path.display()))
}

/// Writes to standard output; a reader that has seen enough is no error.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Reads a recording, and tells what is wrong with it.
fn load(path: &Path) -> Result<Trace> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let trace = dat::read(&bytes).with_context(|| path.display().to_string())?;
    complain(&trace);
    Ok(trace)
}

/// A filter, if it asks for no event that the trace does not have.
fn known(options: FilterOptions, trace: &Trace) -> Result<Filter> {
    let filter = Filter(options.filter);
    let there: BTreeSet<_> = trace
        .records
        .iter()
        .filter_map(|record| record.event().strip_prefix("repoll_"))
        .collect();
    if let Some(unknown) = filter.events().find(|name| !there.contains(name)) {
        let there = Vec::from_iter(there).join(", ");
        bail!("no {unknown} of repoll's is in the trace; there are: {there}");
    }
    Ok(filter)
}

fn complain(trace: &Trace) {
    for warning in &trace.warnings {
        eprintln!("{warning}");
    }
    eprint!("{}", render::lost(trace.lost));
}

fn record(options: Record) -> Result<ExitCode> {
    signals::ask_first(tracefs::remove_all);
    let folder = match options.output.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut session = Session::spooled(options.buffer, folder)?;
    recorder::enable(
        &mut session,
        &Filter(options.filter.filter),
        !options.only_repoll,
    )?;
    // So that a file that can't be made is known before.
    let mut file = create(&options.output)?;
    session.start()?;
    let mut until = match (options.seconds, options.pid) {
        (Some(seconds), _) => Until::Over(Duration::from_secs(seconds.into())),
        (_, Some(pid)) => Until::process(pid)?,
        _ if options.command.is_empty() => Until::Asked,
        _ => Until::command(&options.command)?,
    };
    let status = recorder::record(&mut session, &mut until)?;
    session.finish()?;
    session
        .save(&mut file)
        .with_context(|| format!("cannot write {}", options.output.display()))?;
    let lost = session.lost()?;
    drop(session);
    eprintln!(
        "{} bytes are in {}.",
        file.metadata()?.len(),
        options.output.display()
    );
    eprint!("{}", render::lost(lost));
    Ok(match status {
        Some(status) if !status.success() => {
            eprintln!("{}: {status}", options.command[0]);
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    })
}

fn tell(options: Stories) -> Result<ExitCode> {
    let mut status = None;
    let trace = if options.command.is_empty() {
        load(options.file.as_deref().unwrap_or(Path::new("trace.dat")))?
    } else {
        signals::ask_first(tracefs::remove_all);
        let mut session = recorder::story()?;
        status = recorder::record(&mut session, &mut Until::command(&options.command)?)?;
        let trace = session.stop()?;
        complain(&trace);
        trace
    };
    let stories = story::all(&trace.records);
    let filter = known(options.filter, &trace)?;
    let cause = options.cause.map(Cause::of);
    let wanted = |story: &Story| {
        filter.wants(story, &trace.records) && cause.is_none_or(|cause| story.cause == cause)
    };
    let mut wanted: Vec<_> = (1..)
        .zip(&stories)
        .filter(|(_, story)| wanted(story))
        .collect();
    if wanted.is_empty() {
        bail!(
            "no event of that kind is in the trace ({} of other kinds are)",
            stories.len()
        );
    }
    if options.all {
        let lines: Vec<_> = wanted
            .iter()
            .map(|(number, story)| render::title(*number, story))
            .collect();
        print(&format!("{}\n", lines.join("\n")))?;
    } else {
        let chosen = match options.nth {
            Some(nth) => match nth.checked_sub(1).and_then(|at| wanted.get(at)) {
                Some(chosen) => *chosen,
                None => bail!(
                    "there are {} such events: --nth {nth} is none of them",
                    wanted.len()
                ),
            },
            None => {
                // Those that can be followed, if there are any.
                if wanted.iter().any(|(_, story)| story.missing.is_none()) {
                    wanted.retain(|(_, story)| story.missing.is_none());
                }
                wanted.sort_by_key(|(_, story)| story.duration());
                let at = if options.slowest {
                    wanted.len() - 1
                } else {
                    (wanted.len() - 1) / 2
                };
                wanted[at]
            }
        };
        let (number, story) = chosen;
        print(&format!(
            "{}\n\n{}",
            render::title(number, story),
            render::story(story, options.color.enabled())
        ))?;
    }
    if let Some(status) = status.filter(|status| !status.success()) {
        bail!("{}: {status}", options.command[0]);
    }
    Ok(ExitCode::SUCCESS)
}
