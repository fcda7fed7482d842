// SPDX-License-Identifier: GPL-2.0
//! Control groups: who pays for the watches, and what the freezer does to a WAIT.

use crate::prelude::*;
use crate::support::memory_is_countable;
use repoll_testkit::cgroup::Group;
use repoll_testkit::limits;
use repoll_testkit::processes::Process;

pub fn tests() -> Vec<Test> {
    both!("cgroup":
        watches_are_charged_to_the_group_of_who_adds_them,
        a_freeze_ends_the_wait_with_eintr,
        a_frozen_process_is_killed_while_it_waits,
        events_come_through_a_freeze,
    )
}

/// Kernel memory that a group pays for, in bytes.
fn kernel_memory(group: &Group) -> Result<i64> {
    let statistics = group.read("memory.stat")?;
    let line = statistics.lines().find_map(|l| l.strip_prefix("slab "));
    Ok(line.context("memory.stat has no slab")?.trim().parse()?)
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
    let child = processes::fork(|| -> Result<()> {
        group.enter(0)?;
        let (before, all_before) = (kernel_memory(&group)?, all_kernel_memory()?);
        m.add_all(&fds, EventFlags::IN, 1)?;
        let charged = kernel_memory(&group)? - before;
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
            left = kernel_memory(&group)? - before;
            Ok(left < each * WATCHES as i64 / 4)
        });
        ensure!(given_back.is_ok(), "{left} bytes are left of {each} each");
        Ok(())
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

/// A child in a group, in WAIT for an event of the file; it ends with `end` of what it got.
fn waiting_child<M: Multiplexer>(
    m: &M,
    group: &Group,
    end: fn(std::io::Result<Vec<repoll::Event>>) -> i32,
) -> Result<Process> {
    let child = processes::fork(|| end(m.wait(4, None)))?;
    group.enter(child.0)?;
    crate::support::eventually_waits(child.0)?;
    Ok(child)
}

fn with_eventfd<M: Multiplexer>() -> Result<(M, OwnedFd)> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN | EventFlags::ET, 1)?;
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
    group.freeze(true, LONG)?;
    // It is out of WAIT, so the event is not for it.
    signal(&fd)?;
    sleep(MOMENT);
    group.freeze(false, LONG)?;
    ensure!(child.wait()? == libc::EINTR);
    expect_one(&m, 1)?;
    expect_none(&m)
}

fn a_frozen_process_is_killed_while_it_waits<M: Multiplexer>() -> Result<()> {
    let group = Group::new(&[])?;
    let (m, fd) = with_eventfd::<M>()?;
    let child = waiting_child(&m, &group, errno)?;
    group.freeze(true, LONG)?;
    ensure!(child.kill_and_wait()? == -libc::SIGKILL);
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
        group.enter(child.0)?;
        for _ in 0..5 {
            group.freeze(true, LONG)?;
            group.freeze(false, LONG)?;
        }
        group.freeze(true, LONG)?;
        if before {
            signal(&fd)?;
        }
        group.freeze(false, LONG)?;
        if !before {
            signal(&fd)?;
        }
        ensure!(child.wait()? == 1);
    }
    Ok(())
}
