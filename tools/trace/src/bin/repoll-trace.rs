// SPDX-License-Identifier: GPL-2.0
//! The trace tool of repoll.

use anyhow::{bail, Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use repoll_trace::render::{self, Color};
use repoll_trace::story::{Protocol, Stories};
use repoll_trace::{signals, tracefs};
use std::path::PathBuf;
use std::process::{exit, Command};

/// Shows what repoll does, from its tracepoints and the kernel's.
#[derive(Parser)]
#[command(name = "repoll-trace", version)]
struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Runs a command, and tells the way of one packet that came meanwhile:
    /// from the NIC's interrupt to the process that it wakes.
    Story {
        /// Which packets.
        #[arg(long, value_enum, default_value_t = Kind::Udp)]
        protocol: Kind,
        /// When to print in colour.
        #[arg(long, value_enum, default_value_t)]
        color: Color,
        /// Write what was recorded to this file too.
        #[arg(long)]
        save: Option<PathBuf>,
        /// What to run while recording.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Udp,
    Tcp,
}

fn main() -> Result<()> {
    let Action::Story {
        protocol,
        color,
        save,
        command,
    } = Options::parse().action;
    let protocol = match protocol {
        Kind::Udp => Protocol::Udp,
        Kind::Tcp => Protocol::Tcp,
    };
    let Some((program, arguments)) = command.split_first() else {
        bail!("no command");
    };

    signals::on_end(tracefs::remove_all);
    let session = repoll_trace::story_session()?;
    session.start()?;
    let status = signals::unmasked(Command::new(program).args(arguments))
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    let trace = session.stop()?;
    if let Some(path) = save {
        std::fs::write(&path, session.text()?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    drop(session);

    let stories = Stories::find(&trace.records, protocol);
    print!("{}", render::table(&stories, color.enabled()));
    eprint!("{}", render::trouble(&stories, protocol, trace.lost));
    if !status.success() {
        bail!("{program}: {status}");
    }
    if stories.whole.is_empty() {
        exit(1);
    }
    Ok(())
}
