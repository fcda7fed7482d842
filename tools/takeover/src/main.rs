// SPDX-License-Identifier: GPL-2.0
//! `repoll-takeover on|off|status|unload` switches the takeover of the machine's epoll.

mod actions;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use repoll::TakeoverCalls;
use std::path::PathBuf;
use std::process::ExitCode;

/// Serves the epoll of the whole machine, or of one cgroup, by repoll
#[derive(Debug, Parser)]
#[command(
    name = "repoll-takeover",
    version,
    after_help = "\
Programs are not changed: they make the same system calls. Epoll instances that are open stay as
they are, both when takeover is switched on and when it is switched off. SysRq-E switches it off,
too. To take over one program, use repoll-exec --takeover.

Exit status: 0 on success, 1 on an error, 2 if the arguments are wrong."
)]
struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Take over new epoll instances, of all processes or of one cgroup
    ///
    /// Replaces the policy that is in force.
    On(On),
    /// Leave new epoll instances to the kernel
    ///
    /// Open instances are served until they are closed. Prints who holds one, and the command that
    /// makes the holder close it.
    Off,
    /// Print the policy, its effects, and the epolls of all processes
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Switch takeover off and unload the module, or print who keeps it in use
    Unload,
}

#[derive(Debug, Args)]
struct On {
    /// Take over only the processes in this cgroup (version 2) and below it: an absolute path, or
    /// one relative to /sys/fs/cgroup
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,

    /// Take over select and pselect, too
    #[arg(long)]
    select: bool,

    /// Take over poll and ppoll, too
    #[arg(long)]
    poll: bool,
}

impl On {
    fn calls(&self) -> TakeoverCalls {
        let mut calls = TakeoverCalls::EPOLL;
        calls.set(TakeoverCalls::SELECT, self.select);
        calls.set(TakeoverCalls::POLL, self.poll);
        calls
    }
}

fn main() -> ExitCode {
    run(Options::parse().action).unwrap_or_else(|error| {
        eprintln!("repoll-takeover: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(action: Action) -> Result<ExitCode> {
    match action {
        Action::On(on) => actions::on(on.cgroup.as_deref(), on.calls()),
        Action::Off => actions::off(),
        Action::Status { json } => actions::status(json),
        Action::Unload => actions::unload(),
    }
}
