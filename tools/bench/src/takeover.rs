// SPDX-License-Identifier: GPL-2.0
//! The cost of the same system calls on the C epoll and taken over, in totals; and the tax on the C
//! epoll while functions of the kernel are replaced.

use crate::clock::Clock;
use crate::multiplexer::Maker;
use crate::paths::{self, Files};
use anyhow::{Context, Result};
use repoll::{Policy, TakeoverCalls};
use repoll_testkit::cgroup::Group;
use repoll_testkit::takeover::SwitchedOn;
use std::fmt::Write as _;
use std::os::fd::AsFd;

/// The number of watched files beside the one that is added or deleted.
const WATCHED: usize = 1000;

const ROWS: [&str; 9] = [
    "epoll_wait: 0 ready",
    "epoll_wait: 1 ready",
    "epoll_wait: 256 ready, LT",
    "epoll_wait: 256 ready, ET",
    "epoll_wait: 1 ready of 50,000",
    "EPOLL_CTL_ADD, 1,000 watched",
    "EPOLL_CTL_MOD",
    "EPOLL_CTL_DEL, 1,000 watched",
    "epoll_create1 + close",
];

/// A figure for each of [`ROWS`].
fn measure(clock: &Clock, maker: &Maker, files: &Files) -> Result<[f64; ROWS.len()]> {
    let [add, delete] = paths::add_and_delete(clock, maker, files, WATCHED)?;
    Ok([
        paths::wait_ready(clock, maker, 1, 0)?,
        paths::wait_ready(clock, maker, 1, 1)?,
        paths::wait_ready(clock, maker, 256, 256)?,
        paths::wait_edges(clock, maker, 256)?,
        paths::wait_among(clock, maker, files, 50_000)?,
        add,
        paths::modify(clock, maker)?,
        delete,
        paths::create_and_close(clock, maker)?,
    ])
}

/// The table. The goals are those of the tax: 15 instructions for a wait, 8 for a ctl.
pub fn table(clock: &Clock) -> Result<String> {
    let files = Files::new(50_100)?;
    let calls = |what| measure(clock, &Maker::Epoll, &files).context(what);
    let c = calls("the C epoll")?;
    let ioctls = measure(clock, &Maker::repoll()?, &files).context("repoll, by ioctls")?;
    let taken_over = {
        let _on = SwitchedOn::with(Policy::All(TakeoverCalls::EPOLL))?;
        calls("repoll, taken over")?
    };
    let taxed = {
        // The functions are replaced, and no task is in the group.
        let group = Group::new(&[])?;
        let _on = SwitchedOn::with(Policy::Cgroup(group.as_fd(), TakeoverCalls::EPOLL))?;
        calls("the C epoll beside takeover")?
    };
    let after = calls("the C epoll after takeover")?;
    let mut text = format!(
        "{:<30} {:>8} {:>8} {:>9} {:>6} {:>6} {:>6}\n",
        "path, total instructions", "C epoll", "ioctl", "takeover", "ratio", "tax", "off"
    );
    for (row, name) in ROWS.iter().enumerate() {
        writeln!(
            text,
            "{name:<30} {:>8.0} {:>8.0} {:>9.0} {:>6.2} {:>+6.0} {:>+6.0}",
            c[row],
            ioctls[row],
            taken_over[row],
            taken_over[row] / c[row],
            taxed[row] - c[row],
            after[row] - c[row],
        )?;
    }
    Ok(text)
}
