// SPDX-License-Identifier: GPL-2.0
//! Checks after the storm.

use crate::count::{Count, Counter};
use crate::process::USERS;
use anyhow::{ensure, Context, Result};
use repoll::{EventFlags, Events, Instance, Source};
use repoll_testkit::files::{eventfd, eventfds};
use repoll_testkit::ktap::Report;
use repoll_testkit::watch_limit::WatchLimit;
use repoll_testkit::{modules, processes};
use std::fs::{self, File};
use std::io::{self, Read, Stdout, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Writes a result for each check.
pub fn check(counter: &Counter, module: &Path, report: &mut Report<Stdout>) -> io::Result<()> {
    let mut say = |what: &str, result: Result<()>| {
        report.add_with(&format!("storm.{what}"), &result.into(), "")
    };
    say("calls_reached_the_module", reached(counter))?;
    say("an_instance_works", an_instance_works())?;
    say("a_source_works", a_source_works())?;
    say("nothing_has_the_module_open", unused())?;
    say("no_watch_is_left", no_watch_is_left(module))
}

fn reached(counter: &Counter) -> Result<()> {
    // Not checked: WAITs with an event. A short storm on a slow kernel has few of them.
    ensure!(counter.get(Count::Added) > 10, "the calls do not reach far");
    Ok(())
}

fn an_instance_works() -> Result<()> {
    let (instance, fd) = (Instance::open()?, eventfd()?);
    instance.add(&fd, EventFlags::IN, 42)?;
    let mut events = Events::with_capacity(4);
    ensure!(instance.wait(&mut events, Some(Duration::ZERO))? == 0);
    File::from(fd.try_clone()?).write_all(&1_u64.to_ne_bytes())?;
    instance.wait(&mut events, Some(Duration::from_secs(20)))?;
    ensure!(events.len() == 1 && events[0].data() == 42, "{events:?}");
    instance.delete(&fd)?;
    Ok(())
}

fn a_source_works() -> Result<()> {
    let source = Source::open_nonblocking()?;
    source.set_up(4, 64, false)?;
    (&source).write_all(b"after the storm")?;
    let mut buffer = [0; 64];
    let length = (&source).read(&mut buffer)?;
    ensure!(buffer.starts_with(b"after the storm") && length == 15);
    Ok(())
}

/// Waits until nothing uses the module: the last closes may still be running.
fn unused() -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let count = fs::read_to_string("/sys/module/repoll/refcnt").context("not loaded")?;
        if count.trim() == "0" {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{} references", count.trim());
        sleep(Duration::from_millis(50));
    }
}

/// Sets a low limit of watches per user, and checks that each user has room for all of them. The
/// module must unload afterwards, and load again.
fn no_watch_is_left(module: &Path) -> Result<()> {
    let file = File::open(module).with_context(|| module.display().to_string())?;
    unused()?;
    let limit = WatchLimit::set(8).context("cannot limit the watches")?;
    [0, USERS[0], USERS[1]].into_iter().try_for_each(|user| {
        let room = as_user(user, || room_for_eight().is_ok())?;
        ensure!(room, "watches of user {user} are left");
        Ok(())
    })?;
    drop(limit);
    unused()?;
    unload()?;
    load(&file)
}

fn room_for_eight() -> Result<()> {
    let instance = Instance::open()?;
    let fds = eventfds(9)?;
    for fd in &fds[..8] {
        instance.add(fd, EventFlags::IN, 1)?;
    }
    ensure!(
        instance.add(&fds[8], EventFlags::IN, 1).is_err(),
        "no limit"
    );
    Ok(())
}

/// Returns the answer of a child process that runs as this user. This process has one thread.
fn as_user(id: u32, question: impl FnOnce() -> bool) -> Result<bool> {
    let child = processes::fork(|| {
        let yes = processes::become_user(id).is_ok() && question();
        i32::from(!yes)
    })?;
    Ok(child.wait()? == 0)
}

fn unload() -> Result<()> {
    modules::unload(c"repoll").context("it does not unload")
}

fn load(file: &File) -> Result<()> {
    modules::load(file, c"").context("it does not load")?;
    // The mode that the session gives to the devices.
    for device in [repoll::DEVICE, repoll::SOURCE_DEVICE] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(device, fs::Permissions::from_mode(0o666))?;
    }
    Ok(())
}
