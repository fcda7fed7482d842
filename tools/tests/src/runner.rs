// SPDX-License-Identifier: GPL-2.0
//! Runs tests, each in a process of its own, and watches over them.

use crate::kmsg::Kmsg;
use crate::module;
use crate::registry::Test;
use crate::settings::Settings;
use anyhow::{bail, Context, Result};
use repoll::TakeoverCalls;
use repoll_testkit::files;
use repoll_testkit::ktap::{Outcome, Report, Sum};
use repoll_testkit::processes;
use repoll_testkit::side::Way;
use repoll_testkit::skip::SKIPPED;
use repoll_testkit::takeover::Member;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Runs the tests as often as it was asked for; the sum.
pub fn run(tests: &[&Test], settings: &Settings) -> Result<Sum> {
    let mut report = Report::begin()?;
    if !module::is_loaded() {
        report.note("the module is not loaded: what needs it will fail")?;
    }
    let _takeover = match settings.side {
        Some(Way::TakenOver) => Some(Member::of_a_group(TakeoverCalls::all())?),
        _ => None,
    };
    // That of takeover's device.
    let own_references = module::references();
    let mut kmsg = Kmsg::open();
    for _ in 0..settings.repeat {
        for test in tests {
            let begin = Instant::now();
            let mut outcome = run_one(test, settings)?;
            let time = begin.elapsed();
            let mut aftermath = kmsg.complaints();
            aftermath.extend(module::leaked_reference(own_references));
            if !aftermath.is_empty() {
                let mut lines = match outcome {
                    Outcome::Failed(lines) => lines,
                    _ => Vec::new(),
                };
                lines.extend(aftermath);
                outcome = Outcome::Failed(lines);
            }
            report.add(&test.name, &outcome, time)?;
        }
    }
    Ok(report.end()?)
}

fn run_one(test: &Test, settings: &Settings) -> Result<Outcome> {
    let mut output = scratch_file()?;
    let mut child = command(settings.side)?
        .args(settings.to_arguments())
        .arg(format!("--child={}", test.name))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .process_group(0)
        .spawn()
        .context("cannot start a test")?;
    let limit = settings.scaled(test.limit);
    let mut lines = Vec::new();
    let status = match wait(&mut child, limit)? {
        Some(status) => Some(status),
        None => {
            lines.push(format!("timed out after {} s", limit.as_secs_f64()));
            lines.extend(where_it_hangs(child.id()));
            None
        }
    };
    // Whatever it started ends with it.
    processes::kill_group(child.id() as i32);
    if status.is_none() && wait(&mut child, settings.scaled(Duration::from_secs(20)))?.is_none() {
        lines.iter().for_each(|line| println!("# {line}"));
        bail!("{} hangs and cannot be killed", test.name);
    }

    output.seek(SeekFrom::Start(0))?;
    let mut said = Vec::new();
    output.read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said);
    Ok(match status {
        Some(status) if status.success() => Outcome::Passed,
        Some(status) if status.code() == Some(SKIPPED.into()) => {
            Outcome::Skipped(said.trim().replace('\n', " "))
        }
        status => {
            lines.extend(said.lines().map(str::to_owned));
            lines.extend(status.and_then(end_by_signal));
            Outcome::Failed(lines)
        }
    })
}

/// The command that runs this program so that its calls go this way.
fn command(way: Option<Way>) -> Result<Command> {
    let program = std::env::current_exe()?;
    if way != Some(Way::Preloaded) {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("repoll-exec");
    command
        .args(["--quiet", "--select", "--poll", "--"])
        .arg(program);
    Ok(command)
}

fn end_by_signal(status: ExitStatus) -> Option<String> {
    status
        .signal()
        .map(|signal| format!("ended by signal {signal}"))
}

/// A file without a name that takes what a test says.
fn scratch_file() -> Result<File> {
    Ok(File::from(files::memfd("output")?))
}

/// Waits for the end of a child; `None` when it takes longer than the limit.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let pidfd: OwnedFd = processes::pidfd(child.id() as i32)?;
    if files::poll_in(&pidfd, limit)? {
        return Ok(Some(child.wait()?));
    }
    Ok(child.try_wait()?)
}

/// The system call and the kernel stack of each thread of a process.
fn where_it_hangs(pid: u32) -> Vec<String> {
    let mut lines = Vec::new();
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return lines;
    };
    for task in tasks.flatten() {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        lines.push(format!(
            "thread {}: system call {}, in {}",
            task.file_name().to_string_lossy(),
            read("syscall").trim(),
            read("wchan").trim()
        ));
        lines.extend(read("stack").lines().map(|line| format!("  {line}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_takes_too_long_is_noticed() -> Result<()> {
        let mut quick = Command::new("true").spawn()?;
        assert!(wait(&mut quick, Duration::from_secs(10))?.is_some());
        let mut slow = Command::new("sleep").arg("60").process_group(0).spawn()?;
        assert!(wait(&mut slow, Duration::from_millis(20))?.is_none());
        processes::kill_group(slow.id() as i32);
        let status = wait(&mut slow, Duration::from_secs(10))?.context("it was killed")?;
        assert_eq!(end_by_signal(status), Some("ended by signal 9".to_owned()));
        Ok(())
    }
}
