// SPDX-License-Identifier: GPL-2.0
//! Checks after the storm.

use crate::process::{Count, Counter, USERS};
use anyhow::{bail, ensure, Context, Result};
use repoll::{EventFlags, Events, Instance, Source};
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Prints a result for each; whether all is well.
pub fn check(counter: &Counter, module: &Path) -> bool {
    let mut number = 0;
    let mut well = true;
    let mut say = |what: &str, result: Result<()>| {
        number += 1;
        match result {
            Ok(()) => println!("ok {number} storm.{what}"),
            Err(error) => {
                well = false;
                println!("# {error:#}\nnot ok {number} storm.{what}");
            }
        }
    };
    say("calls_reached_the_module", reached(counter));
    say("an_instance_works", an_instance_works());
    say("a_source_works", a_source_works());
    say("nothing_has_the_module_open", unused());
    say("no_watch_is_left", no_watch_is_left(module));
    well
}

fn reached(counter: &Counter) -> Result<()> {
    // A short storm on a slow kernel has few WAITs with an event, so these are not asked for.
    ensure!(counter.get(Count::Added) > 10, "the calls do not reach far");
    Ok(())
}

fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers only; the descriptor is new.
    unsafe {
        match libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
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

/// Waits until the module is unused: the last closes may still be under way.
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

/// Loads the module with a limit of few watches for each user: there is room for all of them.
fn no_watch_is_left(module: &Path) -> Result<()> {
    let file = File::open(module).with_context(|| module.display().to_string())?;
    unused()?;
    unload()?;
    load(&file, c"max_user_watches=8")?;
    let result = [0, USERS[0], USERS[1]].into_iter().try_for_each(|user| {
        let room = as_user(user, || room_for_eight().is_ok())?;
        ensure!(room, "watches of user {user} are left");
        Ok(())
    });
    unused()?;
    unload()?;
    load(&file, c"")?;
    result
}

fn room_for_eight() -> Result<()> {
    let instance = Instance::open()?;
    let fds = (0..9).map(|_| eventfd()).collect::<io::Result<Vec<_>>>()?;
    for fd in &fds[..8] {
        instance.add(fd, EventFlags::IN, 1)?;
    }
    ensure!(
        instance.add(&fds[8], EventFlags::IN, 1).is_err(),
        "no limit"
    );
    Ok(())
}

/// Asks in a child that is this user. The process has one thread.
fn as_user(id: u32, question: impl FnOnce() -> bool) -> Result<bool> {
    let mut status = 0;
    // SAFETY: the child has the one thread; the status lives through the call.
    unsafe {
        match libc::fork() {
            -1 => bail!("fork"),
            0 => {
                let yes = libc::setuid(id) == 0 && question();
                libc::_exit(i32::from(!yes));
            }
            child => libc::waitpid(child, &mut status, 0),
        };
    }
    Ok(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0)
}

fn unload() -> Result<()> {
    // SAFETY: the name lives through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_delete_module,
            c"repoll".as_ptr(),
            libc::O_NONBLOCK,
        )
    };
    ensure!(
        result == 0,
        "it does not unload: {}",
        io::Error::last_os_error()
    );
    Ok(())
}

fn load(file: &File, parameters: &CStr) -> Result<()> {
    let fd = file.as_raw_fd();
    // SAFETY: the parameters live through the call.
    let result = unsafe { libc::syscall(libc::SYS_finit_module, fd, parameters.as_ptr(), 0) };
    ensure!(
        result == 0,
        "it does not load: {}",
        io::Error::last_os_error()
    );
    // As the session has them.
    for device in [repoll::DEVICE, repoll::SOURCE_DEVICE] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(device, fs::Permissions::from_mode(0o666))?;
    }
    Ok(())
}
