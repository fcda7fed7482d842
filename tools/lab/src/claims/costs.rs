// SPDX-License-Identifier: GPL-2.0
//! What grows with what.

use crate::multiplexer::both;
use crate::sys::{allow_descriptors, eventfd, poll, shortest, Set};
use crate::{holds_if, Claim, Finding, Verdict};
use anyhow::Result;
use repoll::Events;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

const FEW: usize = 10;
const MANY: usize = 1000;
/// Of a thousand files instead of ten, something that looks at all takes far more than this factor, and
/// something that does not takes less.
const FLAT: f64 = 3.0;

pub fn claims() -> Vec<Claim> {
    vec![
        Claim {
            text: "select looks at all descriptors on each call: O(n)",
            expected: Verdict::Holds,
            experiment: select_is_linear,
        },
        Claim {
            text: "select overwrites its sets, so they must be set again for each call",
            expected: Verdict::Holds,
            experiment: select_overwrites,
        },
        Claim {
            text: "poll looks at all descriptors on each call: O(n)",
            expected: Verdict::Holds,
            experiment: poll_is_linear,
        },
        Claim {
            text:
                "epoll returns only what is ready, and its cost does not grow with what is watched",
            expected: Verdict::Holds,
            experiment: epoll_is_flat,
        },
        Claim {
            text: "epoll finds a descriptor in O(log n)",
            expected: Verdict::Holds,
            experiment: lookups_are_logarithmic,
        },
    ]
}

/// Files of which the last one is ready.
fn files(count: usize) -> Result<Vec<OwnedFd>> {
    allow_descriptors(70_000)?;
    let mut files: Vec<_> = (1..count).map(|_| eventfd(0)).collect::<Result<_, _>>()?;
    files.push(eventfd(1)?);
    Ok(files)
}

fn growth(few: Duration, many: Duration) -> f64 {
    many.as_secs_f64() / few.as_secs_f64().max(1e-9)
}

/// What a measurement says of one way to wait.
fn told(name: &str, few: Duration, many: Duration) -> String {
    format!(
        "{name}: {:.1} µs for {FEW}, {:.1} µs for {MANY}",
        few.as_secs_f64() * 1e6,
        many.as_secs_f64() * 1e6
    )
}

fn select_is_linear() -> Result<Finding> {
    let mut times = Vec::new();
    for count in [FEW, MANY] {
        let files = files(count)?;
        let last = files.iter().map(AsRawFd::as_raw_fd).max().unwrap_or(0);
        times.push(shortest(|| {
            let mut set = Set::new(last as usize + 1);
            files.iter().for_each(|fd| set.insert(fd.as_raw_fd()));
            set.select(last + 1).map(drop)
        })?);
    }
    holds_if(
        growth(times[0], times[1]) > FLAT,
        format!("one is ready: {}", told("select", times[0], times[1])),
    )
}

fn select_overwrites() -> Result<Finding> {
    let (idle, ready) = (eventfd(0)?, eventfd(1)?);
    let mut set = Set::new(4096);
    set.insert(idle.as_raw_fd());
    set.insert(ready.as_raw_fd());
    set.select(idle.as_raw_fd().max(ready.as_raw_fd()) + 1)?;
    let kept = set.contains(idle.as_raw_fd());
    holds_if(
        !kept && set.contains(ready.as_raw_fd()),
        "of two descriptors only the ready one is in the set afterwards".to_owned(),
    )
}

fn poll_is_linear() -> Result<Finding> {
    let mut times = Vec::new();
    for count in [FEW, MANY] {
        let files = files(count)?;
        let entry = |fd: &OwnedFd| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let mut fds: Vec<_> = files.iter().map(entry).collect();
        times.push(shortest(|| poll(&mut fds).map(drop))?);
    }
    holds_if(
        growth(times[0], times[1]) > FLAT,
        format!("one is ready: {}", told("poll", times[0], times[1])),
    )
}

fn epoll_is_flat() -> Result<Finding> {
    let mut evidence = Vec::new();
    let mut flat = true;
    let names: Vec<_> = both()?.into_iter().map(|(name, _)| name).collect();
    let mut times = vec![Vec::new(); names.len()];
    for count in [FEW, MANY] {
        let files = files(count)?;
        for (at, (_, m)) in both()?.into_iter().enumerate() {
            for fd in &files {
                m.add(fd, Events::IN)?;
            }
            flat &= m.wait(0)? == 1;
            times[at].push(shortest(|| m.wait(0).map(drop))?);
        }
    }
    for (name, times) in names.iter().zip(&times) {
        flat &= growth(times[0], times[1]) < FLAT;
        evidence.push(told(name, times[0], times[1]));
    }
    holds_if(
        flat,
        format!("one is ready, and one is returned: {}", evidence.join("; ")),
    )
}

fn lookups_are_logarithmic() -> Result<Finding> {
    const FAR: usize = 32_768;
    let files = files(FAR)?;
    let mut evidence = Vec::new();
    let mut logarithmic = true;
    for (name, m) in both()? {
        let mut times = Vec::new();
        let mut added = 0;
        for count in [32, FAR] {
            for fd in &files[added..count] {
                m.add(fd, Events::IN)?;
            }
            added = count;
            let fd = &files[count / 2];
            times.push(shortest(|| m.modify(fd, Events::IN))?);
        }
        logarithmic &= growth(times[0], times[1]) < FLAT;
        let micros: Vec<_> = times
            .iter()
            .map(|time| format!("{:.2} µs", time.as_secs_f64() * 1e6))
            .collect();
        evidence.push(format!(
            "{name}: {} among 32, {} among {FAR}",
            micros[0], micros[1]
        ));
    }
    holds_if(
        logarithmic,
        format!(
            "one MOD takes, {}; both keep a red-black tree",
            evidence.join("; ")
        ),
    )
}
