// SPDX-License-Identifier: GPL-2.0
//! Selects the events to record, and records them for a time.

use crate::ftrace::filter::{Filter, FIELDS};
use crate::ftrace::tracefs::Session;
use crate::signals;
use crate::taken_over::TakenOver;
use anyhow::{bail, Context, Result};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The kernel's events that stories need.
const KERNEL_EVENTS: [(&str, &[&str]); 7] = [
    (
        "irq",
        &[
            "irq_handler_entry",
            "irq_handler_exit",
            "softirq_entry",
            "softirq_exit",
        ],
    ),
    ("timer", &["hrtimer_expire_entry"]),
    ("napi", &["napi_poll"]),
    (
        "net",
        &[
            "napi_gro_receive_entry",
            "netif_receive_skb",
            "net_dev_start_xmit",
        ],
    ),
    ("sock", &["sk_data_ready", "sock_recv_length"]),
    (
        "sched",
        &["sched_waking", "sched_switch", "sched_process_exec"],
    ),
    ("syscalls", &[]),
];

/// The system calls that make files ready or use ready files.
const SYSTEM_CALLS: [&str; 24] = [
    "accept",
    "accept4",
    "close",
    "connect",
    "exit_group",
    "read",
    "readv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sendfile64",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "shutdown",
    "splice",
    "timerfd_settime",
    "write",
    "writev",
    "pwrite64",
    "ppoll",
    "poll",
    "kill",
    "tgkill",
];

/// The time between two drains of the buffers.
const TICK: Duration = Duration::from_millis(50);

/// Enables repoll's events that pass the filter and, if `kernel` is set, the kernel's events that
/// stories need.
///
/// # Errors
///
/// When the module is not loaded, the filter names an event that repoll does not have, or the
/// kernel lacks an event.
pub fn enable(session: &mut Session, filter: &Filter, kernel: bool) -> Result<()> {
    let events = session.events_of("repoll")?;
    if events.is_empty() {
        bail!("repoll's tracepoints are not there: is the module loaded?");
    }
    let named = |name: &str| {
        events
            .iter()
            .any(|event| event.strip_prefix("repoll_") == Some(name))
    };
    if let Some(unknown) = filter.events().find(|name| !named(name)) {
        let names: Vec<_> = events
            .iter()
            .filter_map(|event| event.strip_prefix("repoll_"))
            .collect();
        bail!(
            "repoll has no event {unknown}; its events: {}",
            names.join(", ")
        );
    }
    for event in &events {
        let name = event.trim_start_matches("repoll_");
        let asked = filter.events().any(|wanted| wanted == name);
        if !asked && filter.events().next().is_some() {
            continue;
        }
        let mut has = Vec::new();
        for field in FIELDS {
            if session.has_field("repoll", event, field)? {
                has.push(field);
            }
        }
        let expression = filter.expression(|field| has.contains(&field));
        session.enable_where("repoll", event, &expression)?;
    }
    for (system, events) in KERNEL_EVENTS.iter().filter(|_| kernel) {
        for event in *events {
            if !session.enable(system, event)? {
                bail!("this kernel has no event {system}:{event}");
            }
        }
    }
    // The recorder's own system calls are part of no story.
    let not_ours = format!("common_pid != {}", std::process::id());
    for call in SYSTEM_CALLS.iter().filter(|_| kernel) {
        // Kernels without system-call events exist: their stories lack the system calls.
        for side in ["enter", "exit"] {
            session.enable_where("syscalls", &format!("sys_{side}_{call}"), &not_ours)?;
        }
    }
    Ok(())
}

/// Starts a recording in memory of all events that stories need.
///
/// # Errors
///
/// When tracing cannot be set up, or an event is missing because the module is not loaded.
pub fn story() -> Result<Session> {
    let mut session = Session::new()?;
    enable(&mut session, &Filter::default(), true)?;
    session.start()?;
    Ok(session)
}

/// The end of a recording.
pub enum Until {
    /// When this command ends.
    Ends(Child),
    /// When this process has exited.
    Gone(u32),
    /// After this time.
    Over(Duration),
    /// When a signal asks the program to end.
    Asked,
}

impl Until {
    /// Starts a command, in the group of a takeover if there is one, and records until it ends.
    ///
    /// # Errors
    ///
    /// When the command cannot be started.
    pub fn command(command: &[String], taken_over: Option<&TakenOver>) -> Result<Self> {
        let (program, arguments) = command.split_first().context("no command")?;
        let mut command = Command::new(program);
        if let Some(taken_over) = taken_over {
            taken_over.place(&mut command);
        }
        let child = signals::unmasked(command.args(arguments)).spawn();
        child
            .map(Self::Ends)
            .with_context(|| format!("cannot run {program}"))
    }

    /// Records until a running process exits.
    ///
    /// # Errors
    ///
    /// When no such process runs.
    pub fn process(pid: u32) -> Result<Self> {
        match is_there(pid) {
            true => Ok(Self::Gone(pid)),
            false => bail!("there is no process {pid}"),
        }
    }
}

fn is_there(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Records until the given end, or until a signal asks the program to end. Returns the exit status
/// of a command that has ended.
///
/// # Errors
///
/// When tracefs refuses.
pub fn record(session: &mut Session, until: &mut Until) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    while !signals::asked() {
        match until {
            Until::Ends(child) => {
                if let Some(status) = child.try_wait()? {
                    return Ok(Some(status));
                }
            }
            Until::Gone(pid) if !is_there(*pid) => break,
            Until::Over(time) if start.elapsed() >= *time => break,
            _ => {}
        }
        session.drain()?;
        sleep(TICK);
    }
    if let Until::Ends(child) = until {
        // A signal from the terminal reached the command, too; one from elsewhere did not.
        let _ = child.kill();
        let _ = child.wait();
    }
    Ok(None)
}
