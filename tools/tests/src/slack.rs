// SPDX-License-Identifier: GPL-2.0
//! The timer slack of a wait: how much later than its time limit the kernel may end it.

use crate::support::eventually;
use anyhow::{ensure, Result};
use repoll_testkit::processes::fork;
use repoll_testkit::skip::skip;
use repoll_testkit::threads;
use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

/// A time limit that no other timer has, so long that the slack is as large as it gets.
const LIMIT: Duration = Duration::from_secs(3607);

/// Asserts that `wait`, which waits for nothing, with a time limit, has the kernel's largest slack
/// in an ordinary task, and none in a task without timer slack: a child of a real-time task that
/// resets the policy of its children.
pub fn is_the_tasks(wait: impl Fn(Duration)) -> Result<()> {
    let ordinary = of_child(&wait)?;
    ensure!(ordinary == Duration::from_millis(100), "{ordinary:?}");
    threads::schedule(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, 1)?;
    let none = of_child(&wait)?;
    ensure!(none.is_zero(), "a task without slack: {none:?}");
    Ok(())
}

fn of_child(wait: &impl Fn(Duration)) -> Result<Duration> {
    let child = fork(|| wait(LIMIT))?;
    let mut slack = None;
    let found = eventually("the wait has a timer", || {
        slack = find()?;
        Ok(slack.is_some())
    });
    child.kill_and_wait()?;
    found?;
    Ok(slack.unwrap_or_default())
}

/// The slack of the timer of a sleeping task that expires after `LIMIT`, or up to a minute earlier.
fn find() -> Result<Option<Duration>> {
    let list = match fs::read_to_string("/proc/timer_list") {
        Err(error) if error.kind() == ErrorKind::NotFound => return skip("no /proc/timer_list"),
        list => list?,
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let mut now = 0;
    let mut sleeper = false;
    for line in list.lines() {
        // "now at N nsecs"; " #N: <POINTER>, FUNCTION, S:01"; " # expires at FROM-TO nsecs [in
        // ...]".
        if let Some(rest) = line.strip_prefix("now at ") {
            now = rest.split(' ').next().and_then(number).unwrap_or(0);
        } else if let Some(rest) = line.trim_start().strip_prefix("# expires at ") {
            let range = rest
                .split(' ')
                .next()
                .and_then(|range| range.split_once('-'));
            let Some((Some(from), Some(to))) = range.map(|(from, to)| (number(from), number(to)))
            else {
                continue;
            };
            let left = Duration::from_nanos(from.saturating_sub(now));
            if sleeper && left <= LIMIT && left > LIMIT - Duration::from_secs(60) {
                return Ok(Some(Duration::from_nanos(to - from)));
            }
        } else {
            sleeper = line.contains("hrtimer_wakeup");
        }
    }
    Ok(None)
}
