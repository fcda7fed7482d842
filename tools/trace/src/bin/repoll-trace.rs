// SPDX-License-Identifier: GPL-2.0
//! The command-line tool: records, and presents recordings.

use anyhow::{bail, Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use repoll_trace::filter::{Condition, Filter};
use repoll_trace::record::Trace;
use repoll_trace::recorder::{self, Until};
use repoll_trace::render::{self, Color};
use repoll_trace::stat::{self, Statistics};
use repoll_trace::story::{self, Protocol, Story};
use repoll_trace::taken_over::{self, TakenOver};
use repoll_trace::tracefs::{self, Session};
use repoll_trace::{dat, report, signals};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Records and shows what repoll does, by its tracepoints and the kernel's.
#[derive(Parser)]
#[command(name = "repoll-trace", version)]
struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Record a trace.dat file, which trace-cmd and KernelShark can also read.
    ///
    /// Records while a command or a process runs, for some seconds, or until ctrl-c.
    Record(Record),
    /// Print the story of an event: its cause, its wake-ups, and how the woken thread uses it.
    ///
    /// Reads a recording, or records while a command runs.
    Story(Stories),
    /// Print counts and durations by instance and item, caller of SELECT or POLL, and source.
    Stat {
        /// The recording.
        #[arg(default_value = "trace.dat")]
        file: PathBuf,
        #[command(flatten)]
        filter: FilterOptions,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make an HTML page that shows the recording as a picture, step by step.
    ///
    /// The page is one file that needs no network.
    Report {
        /// The recording.
        #[arg(default_value = "trace.dat")]
        file: PathBuf,
        /// The file to write; - for standard output.
        #[arg(short, long, default_value = "trace.html")]
        output: PathBuf,
        /// The most steps to show.
        #[arg(long, default_value_t = 5000)]
        steps: usize,
    },
}

#[derive(Args)]
struct FilterOptions {
    /// Only repoll's events that match: fd=N, ep=N (instance), item=N, task=N (caller of SELECT or
    /// POLL), source=N, event=NAME. Can be repeated: at least one of each kind must match.
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Condition>,
}

#[derive(Args)]
struct Record {
    /// The file to write.
    #[arg(short, long, default_value = "trace.dat")]
    output: PathBuf,
    #[command(flatten)]
    filter: FilterOptions,
    /// Record only repoll's events, not the kernel's.
    #[arg(long)]
    only_repoll: bool,
    /// The size of each CPU's buffer, in KiB; buffers are drained 20 times a second.
    #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u32).range(64..=1 << 20))]
    buffer: u32,
    /// Record for this many seconds.
    #[arg(short = 'd', long, conflicts_with_all = ["pid", "command"])]
    seconds: Option<u32>,
    /// Record until this process exits.
    #[arg(long, conflicts_with = "command")]
    pid: Option<u32>,
    /// Take over the epoll, select and poll calls of all processes while recording. Epoll instances
    /// that are open already stay the kernel's and are not seen.
    #[arg(long, conflicts_with = "takeover")]
    system: bool,
    #[command(flatten)]
    takeover: TakeoverOptions,
    /// The command to run while recording.
    #[arg(last = true)]
    command: Vec<String>,
}

#[derive(Args)]
struct Stories {
    /// The recording [default: trace.dat].
    #[arg(conflicts_with = "command")]
    file: Option<PathBuf>,
    #[command(flatten)]
    filter: FilterOptions,
    /// Only events with this cause.
    #[arg(long, value_enum)]
    cause: Option<Cause>,
    /// Print the n-th story, not the one with the median duration.
    #[arg(long, conflicts_with_all = ["slowest", "all"])]
    nth: Option<usize>,
    /// Print the slowest story.
    #[arg(long, conflicts_with = "all")]
    slowest: bool,
    /// List all stories, one on each line.
    #[arg(long)]
    all: bool,
    /// Whether to print in colour.
    #[arg(long, value_enum, default_value_t)]
    color: Color,
    #[command(flatten)]
    takeover: TakeoverOptions,
    /// The command to run while recording.
    #[arg(last = true)]
    command: Vec<String>,
}

#[derive(Args)]
struct TakeoverOptions {
    /// Whether to take over the command's epoll, select and poll calls, so that an unmodified
    /// command has events of repoll. The command then runs in a cgroup of its own.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    takeover: When,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum When {
    /// If the module can; else say why not, and run the command as it is.
    #[default]
    Auto,
    /// Fail if the module can't.
    Always,
    /// Run the command as it is.
    Never,
}

impl TakeoverOptions {
    /// Takes over the calls of the command that will be run.
    fn begin(&self, command: &[String]) -> Result<Option<TakenOver>> {
        match self.takeover {
            _ if command.is_empty() => Ok(None),
            When::Never => Ok(None),
            When::Always => TakenOver::command().map(Some),
            When::Auto => Ok(TakenOver::command()
                .inspect_err(|error| eprintln!("{} is not taken over: {error:#}", command[0]))
                .ok()),
        }
    }
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
        Action::Story(options) => print_story(options),
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

/// Writes to standard output. A closed pipe is no error.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Reads a recording, and prints its warnings.
fn load(path: &Path) -> Result<Trace> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let trace = dat::read(&bytes).with_context(|| path.display().to_string())?;
    warn(&trace);
    Ok(trace)
}

/// The filter; an error if it names an event that is not in the trace.
fn known(options: FilterOptions, trace: &Trace) -> Result<Filter> {
    let filter = Filter(options.filter);
    let present: BTreeSet<_> = trace
        .records
        .iter()
        .filter_map(|record| record.event().strip_prefix("repoll_"))
        .collect();
    if let Some(unknown) = filter.events().find(|name| !present.contains(name)) {
        let present = Vec::from_iter(present).join(", ");
        bail!("the trace has no event {unknown} of repoll; it has {present}");
    }
    Ok(filter)
}

fn warn(trace: &Trace) {
    for warning in &trace.warnings {
        eprintln!("{warning}");
    }
    eprint!("{}", render::lost(trace.lost));
}

/// Ends all that a recording has set up in the kernel.
fn clean_up() {
    tracefs::remove_all();
    taken_over::end();
}

fn record(options: Record) -> Result<ExitCode> {
    signals::ask_first(clean_up);
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
    // Made before the recording, so that an error comes first.
    let mut file = create(&options.output)?;
    let taken_over = match options.system {
        true => Some(TakenOver::system()?),
        false => options.takeover.begin(&options.command)?,
    };
    session.start()?;
    let mut until = match (options.seconds, options.pid) {
        (Some(seconds), _) => Until::Over(Duration::from_secs(seconds.into())),
        (_, Some(pid)) => Until::process(pid)?,
        _ if options.command.is_empty() => Until::Asked,
        _ => Until::command(&options.command, taken_over.as_ref())?,
    };
    let status = recorder::record(&mut session, &mut until)?;
    session.finish()?;
    drop(taken_over);
    session
        .save(&mut file)
        .with_context(|| format!("cannot write {}", options.output.display()))?;
    let lost = session.lost()?;
    drop(session);
    eprintln!(
        "{} bytes written to {}.",
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

fn print_story(options: Stories) -> Result<ExitCode> {
    let mut status = None;
    let trace = if options.command.is_empty() {
        load(options.file.as_deref().unwrap_or(Path::new("trace.dat")))?
    } else {
        signals::ask_first(clean_up);
        let taken_over = options.takeover.begin(&options.command)?;
        let mut session = recorder::story()?;
        let mut until = Until::command(&options.command, taken_over.as_ref())?;
        status = recorder::record(&mut session, &mut until)?;
        let trace = session.stop()?;
        warn(&trace);
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
            "no story matches ({} others are in the trace)",
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
                None => bail!("--nth {nth}: only {} stories match", wanted.len()),
            },
            None => {
                // Prefer stories without a missing step.
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
