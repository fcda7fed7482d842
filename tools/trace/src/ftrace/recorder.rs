// SPDX-License-Identifier: GPL-2.0
//! What is recorded, and for how long.

use crate::ftrace::filter::{Filter, FIELDS};
use crate::ftrace::tracefs::Session;
use crate::signals;
use anyhow::{bail, Context, Result};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The kernel's events that stories are made of.
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

/// The system calls that make files ready, or use what is ready.
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

/// How often the buffers are emptied.
const TICK: Duration = Duration::from_millis(50);

/// Enables what is to be recorded.
///
/// # Errors
///
/// When the module is not loaded, or a filter names no event of it, or this kernel lacks one of its own.
pub fn enable(session: &mut Session, filter: &Filter, kernel: bool) -> Result<()> {
    let events = session.events_of("repoll")?;
    if events.is_empty() {
        bail!("there are no tracepoints of repoll: is the module loaded?");
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
        bail!("repoll has no event {unknown}; it has {}", names.join(", "));
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
    // What we do to record is no part of any story.
    let not_ours = format!("common_pid != {}", std::process::id());
    for call in SYSTEM_CALLS.iter().filter(|_| kernel) {
        // A kernel may be without those of system calls: the stories are without them, too.
        for side in ["enter", "exit"] {
            session.enable_where("syscalls", &format!("sys_{side}_{call}"), &not_ours)?;
        }
    }
    Ok(())
}

/// A recording of all that stories are made of, kept in memory, and started.
///
/// # Errors
///
/// When tracing cannot be set up, or an event is not there: the module may not be loaded.
pub fn story() -> Result<Session> {
    let mut session = Session::new()?;
    enable(&mut session, &Filter::default(), true)?;
    session.start()?;
    Ok(session)
}

/// How long to record.
pub enum Until {
    /// While this command runs.
    Ends(Child),
    /// While this process is there.
    Gone(u32),
    /// For this long.
    Over(Duration),
    /// Until a signal asks us to end.
    Asked,
}

impl Until {
    /// Starts a command.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn command(command: &[String]) -> Result<Self> {
        let (program, arguments) = command.split_first().context("no command")?;
        let child = signals::unmasked(Command::new(program).args(arguments)).spawn();
        child
            .map(Self::Ends)
            .with_context(|| format!("cannot run {program}"))
    }

    /// A process that runs already.
    ///
    /// # Errors
    ///
    /// When there is none of this number.
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

/// Records until then, or until a signal asks us to end. Returns the status of a command that has ended.
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
        // It got the signal, too, if it came from the terminal; else it is to end now.
        let _ = child.kill();
        let _ = child.wait();
    }
    Ok(None)
}
