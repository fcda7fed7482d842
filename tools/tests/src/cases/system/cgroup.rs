// SPDX-License-Identifier: GPL-2.0
//! Control groups: who pays for the watches, and what the freezer does to a WAIT.

use crate::registry::{both, Test};
use crate::support::{eventually, expect_none, expect_one, memory_is_countable, MOMENT};
use anyhow::{ensure, Context, Result};
use repoll::EventFlags;
use repoll_testkit::files::{self, signal};
use repoll_testkit::limits;
use repoll_testkit::multiplexer::Multiplexer;
use repoll_testkit::processes::{self, Process};
use repoll_testkit::skip::skip;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;

pub fn tests() -> Vec<Test> {
    both!("cgroup":
        watches_are_charged_to_the_group_of_who_adds_them,
        a_freeze_ends_the_wait_with_eintr,
        a_frozen_process_is_killed_while_it_waits,
        events_come_through_a_freeze,
    )
}

/// A control group of a test's own. It is removed in the end; nobody may be left in it.
struct Group(PathBuf);

impl Group {
    /// Below the root, with these controllers.
    fn new(controllers: &[&str]) -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let Ok(there) = fs::read_to_string(root.join("cgroup.controllers")) else {
            return skip("no cgroup2 file system at /sys/fs/cgroup");
        };
        for controller in controllers {
            if !there.split_whitespace().any(|name| name == *controller) {
                return skip(format!("the kernel has no {controller} controller"));
            }
            fs::write(
                root.join("cgroup.subtree_control"),
                format!("+{controller}"),
            )?;
        }
        let path = root.join(format!("repoll-tests-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn enter(&self, pid: u32) -> Result<()> {
        Ok(fs::write(self.0.join("cgroup.procs"), pid.to_string())?)
    }

    fn read(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.0.join(name)).with_context(|| name.to_owned())
    }

    /// Kernel memory that the group pays for, in bytes.
    fn kernel_memory(&self) -> Result<i64> {
        let statistics = self.read("memory.stat")?;
        let line = statistics.lines().find_map(|l| l.strip_prefix("slab "));
        Ok(line.context("memory.stat has no slab")?.trim().parse()?)
    }

    /// Freezes or thaws, and waits until it is so.
    fn freeze(&self, frozen: bool) -> Result<()> {
        let frozen = u8::from(frozen);
        fs::write(self.0.join("cgroup.freeze"), frozen.to_string())?;
        eventually("all are frozen, or thawed", || {
            Ok(self
                .read("cgroup.events")?
                .contains(&format!("frozen {frozen}")))
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that has just ended may still be on its way out.
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        let _ = eventually("the group is empty", || Ok(fs::remove_dir(&self.0).is_ok()));
    }
}

const WATCHES: usize = 10_000;

/// 10,000 of them, in a group without anything else.
fn watches_are_charged_to_the_group_of_who_adds_them<M: Multiplexer>() -> Result<()> {
    memory_is_countable()?;
    // Memory other than watches is charged to the current group.
    limits::allow_files(WATCHES as u64 + 1000)?;
    let m = M::new()?;
    let fds = repoll_testkit::files::eventfds(WATCHES)?;
    let group = Group::new(&["memory"])?;
    let child = processes::fork(|| {
        let body = || -> Result<()> {
            group.enter(std::process::id())?;
            let (before, all_before) = (group.kernel_memory()?, all_kernel_memory()?);
            for fd in &fds {
                m.add(fd, EventFlags::IN, 1)?;
            }
            let charged = group.kernel_memory()? - before;
            let all = all_kernel_memory()? - all_before;
            let each = charged / WATCHES as i64;
            ensure!(each > 64, "{each} bytes for each watch were charged");
            // All of it, but for what else the kernel has allocated meanwhile.
            ensure!(
                charged * 10 > all * 8,
                "{charged} bytes were charged, of {all}"
            );
            for fd in &fds {
                m.delete(fd)?;
            }
            // RCU frees memory a moment later.
            let mut left = 0;
            let given_back = eventually("the memory is given back", || {
                left = group.kernel_memory()? - before;
                Ok(left < each * WATCHES as i64 / 4)
            });
            ensure!(given_back.is_ok(), "{left} bytes are left of {each} each");
            Ok(())
        };
        report(body())
    })?;
    let status = child.wait()?;
    ensure!(status == 0, "the child failed: {status}");
    Ok(())
}

/// The size of all slabs, in bytes.
fn all_kernel_memory() -> Result<i64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:"));
    let kilobytes: i64 = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .context("meminfo has no Slab")?
        .parse()?;
    Ok(kilobytes * 1024)
}

/// The end of a child.
fn report(result: Result<()>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("child: {error:#}");
            1
        }
    }
}

/// A child in a group, in WAIT for an event of the file; it ends with `end` of what it got.
fn waiting_child<M: Multiplexer>(
    m: &M,
    group: &Group,
    end: fn(std::io::Result<Vec<repoll::Event>>) -> i32,
) -> Result<Process> {
    let child = processes::fork(|| end(m.wait(4, None)))?;
    group.enter(child.0 as u32)?;
    crate::support::eventually_waits(child.0)?;
    Ok(child)
}

fn with_eventfd<M: Multiplexer>() -> Result<(M, OwnedFd)> {
    let m = M::new()?;
    let fd = files::eventfd()?;
    m.add(&fd, EventFlags::IN | EventFlags::ET, 1)?;
    Ok((m, fd))
}

fn errno(result: std::io::Result<Vec<repoll::Event>>) -> i32 {
    match result {
        Ok(_) => 0,
        Err(error) => error.raw_os_error().unwrap_or(-1),
    }
}

fn a_freeze_ends_the_wait_with_eintr<M: Multiplexer>() -> Result<()> {
    let group = Group::new(&[])?;
    let (m, fd) = with_eventfd::<M>()?;
    let child = waiting_child(&m, &group, errno)?;
    group.freeze(true)?;
    // It is out of WAIT, so the event is not for it.
    signal(&fd)?;
    sleep(MOMENT);
    group.freeze(false)?;
    let status = child.wait()?;
    ensure!(status == libc::EINTR, "{status}");
    expect_one(&m, 1)?;
    expect_none(&m)
}

fn a_frozen_process_is_killed_while_it_waits<M: Multiplexer>() -> Result<()> {
    let group = Group::new(&[])?;
    let (m, fd) = with_eventfd::<M>()?;
    let child = waiting_child(&m, &group, errno)?;
    group.freeze(true)?;
    child.kill(libc::SIGKILL)?;
    let status = child.wait()?;
    ensure!(status == -libc::SIGKILL, "{status}");
    signal(&fd)?;
    expect_one(&m, 1).map(drop)
}

/// Who tries again after EINTR, as a program does, loses nothing.
fn events_come_through_a_freeze<M: Multiplexer>() -> Result<()> {
    for before in [false, true] {
        let group = Group::new(&[])?;
        let (m, fd) = with_eventfd::<M>()?;
        let child = processes::fork(|| loop {
            match m.wait(4, None) {
                Ok(events) => break events.len() as i32,
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(_) => break 100,
            }
        })?;
        group.enter(child.0 as u32)?;
        for _ in 0..5 {
            group.freeze(true)?;
            group.freeze(false)?;
        }
        group.freeze(true)?;
        if before {
            signal(&fd)?;
        }
        group.freeze(false)?;
        if !before {
            signal(&fd)?;
        }
        let status = child.wait()?;
        ensure!(status == 1, "{status}");
    }
    Ok(())
}
