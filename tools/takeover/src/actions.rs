// SPDX-License-Identifier: GPL-2.0
//! The actions of `repoll-takeover`.

use anyhow::{bail, Context, Result};
use repoll::{Policy, TakeoverCalls, TakeoverMode, TakeoverStatus};
use repoll_takeover::cgroup::Cgroup;
use repoll_takeover::control::{Control, Lock};
use repoll_takeover::release::Machine;
use repoll_takeover::report::{self, Report};
use repoll_takeover::{group, scan, words};
use rustix::io::Errno;
use rustix::system::delete_module;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

/// Switches takeover on.
pub fn on(cgroup: Option<&Path>, calls: TakeoverCalls) -> Result<ExitCode> {
    let control = Control::open()?;
    let cgroup = cgroup.map(Cgroup::open).transpose()?;
    let mode = cgroup.as_ref().map_or(TakeoverMode::All, |cgroup| {
        TakeoverMode::Cgroup(cgroup.id())
    });
    let _lock = Lock::take()?;
    let before = control.status()?;
    let name = words::policy(mode, calls);
    if (before.mode, before.calls) == (mode, calls) {
        return print(&format!("already on: {name}\n"));
    }
    control.set(match &cgroup {
        Some(cgroup) => Policy::Cgroup(cgroup.as_fd(), calls),
        None => Policy::All(calls),
    })?;
    print(&format!("on: {name}{}\n", replaced(&before)))
}

fn replaced(before: &TakeoverStatus) -> String {
    match before.mode {
        TakeoverMode::Off => String::new(),
        mode => format!(" (replaces: {})", words::policy(mode, before.calls)),
    }
}

/// Switches takeover off, and prints who holds instances.
pub fn off() -> Result<ExitCode> {
    let control = Control::open()?;
    let before = switch_off(&control)?;
    let first = match before.mode {
        TakeoverMode::Off => "already off",
        _ => "off",
    };
    let after = control.status()?;
    print(&format!("{first}: {}", open_instances(&after)?))
}

/// Switches takeover off. Returns the status before.
fn switch_off(control: &Control) -> Result<TakeoverStatus> {
    let lock = Lock::take()?;
    let before = control.status()?;
    if before.mode != TakeoverMode::Off {
        control.set(Policy::Off)?;
    }
    group::remove_left(&lock);
    Ok(before)
}

/// The open instances that were taken over, with their holders.
fn open_instances(status: &TakeoverStatus) -> Result<String> {
    if status.instances == 0 {
        return Ok("no instance is open\n".to_owned());
    }
    let verb = if status.instances == 1 { "is" } else { "are" };
    Ok(format!(
        "{} {verb} open and served by repoll until closed\n\n{}",
        words::count(status.instances, "epoll instance"),
        report::holders(&scan::epolls()?, status.instances, Machine::new())
    ))
}

/// Prints the policy, its effects, and all epolls.
pub fn status(json: bool) -> Result<ExitCode> {
    let status = Control::open()?.status()?;
    let report = Report::new(status, scan::epolls()?);
    match json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&report)?)),
        false => print(&report.text()),
    }
}

/// Switches takeover off and unloads the module.
pub fn unload() -> Result<ExitCode> {
    let control = Control::open()?;
    switch_off(&control)?;
    let status = control.status()?;
    if status.instances > 0 {
        bail!(
            "the module is in use: {}",
            open_instances(&status)?.trim_end()
        );
    }
    drop(control);
    match removed() {
        Ok(()) => print("unloaded\n"),
        Err(Errno::AGAIN | Errno::BUSY) => bail!("the module is in use: {}", users()?),
        Err(error) => Err(error).context("cannot unload the module"),
    }
}

/// Unloads the module. After the last close it is in use for a moment.
fn removed() -> rustix::io::Result<()> {
    const PAUSE: Duration = Duration::from_millis(50);
    const TRIES: u32 = 20;
    let mut last = Err(Errno::AGAIN);
    for _ in 0..TRIES {
        last = delete_module(c"repoll", libc::O_NONBLOCK);
        if last != Err(Errno::AGAIN) {
            break;
        }
        sleep(PAUSE);
    }
    last
}

/// The holders of the module other than instances that were taken over.
fn users() -> Result<String> {
    let devices = scan::devices()?;
    let mut epolls = scan::epolls()?;
    epolls.retain(|epoll| epoll.kind == scan::Kind::Repoll);
    let mut holders: Vec<_> = epolls.into_iter().flat_map(|epoll| epoll.holders).collect();
    holders.extend(devices);
    if holders.is_empty() {
        return Ok(
            "no process has its files open: end what traces its events (repoll-trace, \
                   perf, bpftrace, or echo 0 >/sys/kernel/tracing/events/repoll/enable)"
                .to_owned(),
        );
    }
    let table = report::device_holders(&holders, Machine::new());
    Ok(format!(
        "these processes have its files open\n\n{}",
        table.trim_end()
    ))
}

/// Writes to standard output. A closed pipe is no error.
fn print(text: &str) -> Result<ExitCode> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
