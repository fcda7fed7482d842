// SPDX-License-Identifier: GPL-2.0
//! repoll-trace: what it records, and what it leaves behind.

use crate::cases::source::device::open;
use crate::prelude::*;
use repoll::{Instance, PollFd, PollFlags};
use repoll_testkit::threads::this_thread;
use repoll_trace::dat;
use repoll_trace::record::{Record, Trace};
use repoll_trace::tracefs::Session;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub fn tests() -> Vec<Test> {
    repoll_only!("tracing" within 90:
        a_signal_ends_a_recording_and_keeps_it,
        what_a_killed_recording_leaves_goes_with_the_next,
        a_recording_lasts_as_long_as_its_command,
        filters_are_obeyed,
        filters_of_calls_and_sources_are_obeyed,
        what_is_lost_is_counted,
        mistakes_are_one_line,
    )
}

const INSTANCES: &str = "/sys/kernel/tracing/instances";

/// The trace instances that recordings of a process have.
fn instances(pid: u32) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(INSTANCES)? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        if name.starts_with(&format!("repoll-{pid}-")) {
            found.push(name);
        }
    }
    Ok(found)
}

/// A file of this test's own.
fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("{name}-{}.dat", std::process::id()))
}

fn load(path: &PathBuf) -> Result<Trace> {
    dat::read(&fs::read(path)?)
}

/// repoll-trace, from where this program is.
fn tool() -> Result<Command> {
    let beside = std::env::current_exe()?.with_file_name("repoll-trace");
    ensure!(beside.exists(), "there is no {}", beside.display());
    Ok(Command::new(beside))
}

/// A recording that runs.
fn start(path: &PathBuf, arguments: &[&str]) -> Result<Child> {
    let mut command = tool()?;
    let child = command
        .arg("record")
        .arg("-o")
        .arg(path)
        .args(arguments)
        .stderr(Stdio::null())
        .spawn()?;
    eventually("it records", || {
        let folder = instances(child.id())?;
        let Some(instance) = folder.first() else {
            return Ok(false);
        };
        let on = fs::read_to_string(format!("{INSTANCES}/{instance}/tracing_on"));
        // It is on from the beginning, then off while it is set up. The file is made last.
        Ok(path.exists() && on.is_ok_and(|on| on.trim() == "1"))
    })?;
    Ok(child)
}

fn a_signal_ends_a_recording_and_keeps_it() -> Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let path = file("signal");
        let mut child = start(&path, &[])?;
        drop(Repoll::new()?);
        processes::kill(child.id() as i32, signal)?;
        let status = child.wait()?;
        ensure!(status.success(), "{status}");
        ensure!(instances(child.id())?.is_empty(), "an instance is left");
        let trace = load(&path)?;
        fs::remove_file(&path)?;
        ensure!(trace
            .records
            .iter()
            .any(|record| record.is("repoll_create")));
    }
    Ok(())
}

fn what_a_killed_recording_leaves_goes_with_the_next() -> Result<()> {
    let path = file("killed");
    let mut child = start(&path, &[])?;
    child.kill()?;
    child.wait()?;
    // Nobody can have prevented that.
    ensure!(instances(child.id())?.len() == 1);
    drop(Session::new()?);
    ensure!(instances(child.id())?.is_empty(), "the instance is left");
    fs::remove_file(&path).context("the file")
}

fn a_recording_lasts_as_long_as_its_command() -> Result<()> {
    let path = file("command");
    let status = tool()?
        .args(["record", "-o"])
        .arg(&path)
        .args(["--", "cat", "/proc/self/stat"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "{status}");
    let trace = load(&path)?;
    ensure!(
        trace.records.iter().any(|record| &*record.comm == "cat"),
        "it does not know cat"
    );
    let status = tool()?
        .args(["record", "-o"])
        .arg(&path)
        .args(["--", "false"])
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.code() == Some(1), "{status}");
    fs::remove_file(&path)?;
    Ok(())
}

/// The part of `body` that a recording with these filters has.
fn filtered(filters: &[&str], body: impl FnOnce() -> Result<()>) -> Result<Vec<Record>> {
    let path = file("filters");
    let mut arguments = vec!["--only-repoll"];
    arguments.extend(filters.iter().flat_map(|filter| ["--filter", *filter]));
    let mut child = start(&path, &arguments)?;
    body()?;
    processes::kill(child.id() as i32, libc::SIGINT)?;
    child.wait()?;
    let trace = load(&path)?;
    fs::remove_file(&path)?;
    Ok(trace.records)
}

fn filters_are_obeyed() -> Result<()> {
    let m = Repoll::new()?;
    let fds = repoll_testkit::files::eventfds(3)?;
    let number = fds[1].as_raw_fd();
    let wanted = format!("fd={number}");
    let records = filtered(&[&wanted, "event=add", "event=callback"], || {
        for fd in &fds {
            m.add(fd, EventFlags::IN, 1)?;
            repoll_testkit::files::signal(fd)?;
        }
        Ok(())
    })?;
    let names: Vec<_> = records.iter().map(|record| record.event()).collect();
    ensure!(names == ["repoll_add", "repoll_callback"], "{names:?}");
    ensure!(records
        .iter()
        .all(|record| record.number("fd") == Some(number.into())));
    Ok(())
}

fn filters_of_calls_and_sources_are_obeyed() -> Result<()> {
    let instance = Instance::open()?;
    let fd = files::eventfd()?;
    let poll = || -> Result<i32> {
        instance.poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(Duration::ZERO))?;
        Ok(this_thread())
    };
    let wanted = format!("task={}", this_thread());
    let records = filtered(&[&wanted], || {
        poll()?;
        let other = scope(|threads| threads.spawn(poll).join());
        ensure!(other.map_err(|_| anyhow::anyhow!("panic"))?? != this_thread());
        Ok(())
    })?;
    let names: Vec<_> = records.iter().map(|record| record.event()).collect();
    let expected = ["setup", "poll", "pass", "result"].map(|name| format!("repoll_select_{name}"));
    ensure!(names == expected, "{names:?}");

    // Which numbers they have, the trace itself tells.
    let sources = [open()?, open()?];
    let write = || -> Result<()> {
        for mut source in &sources {
            source.write_all(b"x")?;
        }
        Ok(())
    };
    let arrived = filtered(&["event=source_arrive"], write)?;
    let numbers: Vec<_> = arrived.iter().map(|record| record.show("source")).collect();
    ensure!(
        numbers.len() == 2 && numbers[0] != numbers[1],
        "{arrived:?}"
    );
    let wanted = format!("source={}", numbers[1]);
    let records = filtered(&[&wanted], write)?;
    let names: Vec<_> = records.iter().map(|record| record.event()).collect();
    ensure!(
        names == ["repoll_source_arrive", "repoll_source_write"],
        "{names:?}"
    );
    ensure!(records
        .iter()
        .all(|record| record.show("source") == numbers[1]));
    Ok(())
}

fn what_is_lost_is_counted() -> Result<()> {
    let mut session = Session::spooled(64, &std::env::temp_dir())?;
    session.enable("repoll", "repoll_callback")?;
    session.start()?;
    let (_m, fd) = watching_eventfd::<Repoll>(EventFlags::IN, 1)?;
    const COUNT: u64 = 20_000;
    for _ in 0..COUNT {
        repoll_testkit::files::signal(&fd)?;
    }
    let trace = session.stop()?;
    let there = trace.records.len() as u64;
    ensure!(
        trace.lost > 0 && there > 0,
        "{there} there, {} lost",
        trace.lost
    );
    ensure!(
        there + trace.lost == COUNT,
        "{there} there, {} lost",
        trace.lost
    );
    Ok(())
}

fn mistakes_are_one_line() -> Result<()> {
    let path = file("mistakes");
    for (arguments, expected) in [
        (
            &["--filter", "event=nonsense", "--seconds", "0"][..],
            "repoll has no event nonsense",
        ),
        (&["--pid", "999999"], "there is no process 999999"),
        (&["--", "/no/such/program"], "cannot run /no/such/program"),
    ] {
        let output = tool()?
            .args(["record", "-o"])
            .arg(&path)
            .args(arguments)
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success(), "{arguments:?}");
        ensure!(
            text.contains(expected) && text.lines().count() == 1,
            "{arguments:?}: {text}"
        );
    }
    fs::remove_file(&path)?;
    Ok(())
}
