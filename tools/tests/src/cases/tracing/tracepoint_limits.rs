// SPDX-License-Identifier: GPL-2.0
//! The tracepoint that tells which limit was hit.

use super::tracepoints::{all, expect, number, one, recorded};
use crate::prelude::*;
use repoll_testkit::watch_limit::WatchLimit;
use repoll_trace::record::Record;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

pub fn tests() -> Vec<Test> {
    let mut tests = while_loaded();
    tests.extend(repoll_only!("tracepoint_limits":
        too_many_watches_of_a_user_are_a_limit,
    ));
    tests.into_iter().map(|test| test.within(60)).collect()
}

/// Those that leave the module as it is.
pub fn while_loaded() -> Vec<Test> {
    repoll_only!("tracepoint_limits":
        nesting_too_deep_is_a_limit,
        too_many_ways_are_a_limit,
        too_many_watches_of_a_file_are_a_limit,
        a_watch_that_is_refused_is_never_called,
        too_many_pollers_are_a_limit,
    )
}

/// The only ADD that a limit refused, and which limit that was.
fn expect_limit(records: &[Record], limit: &str, errno: i32) -> Result<()> {
    let record = one(records, "limit")?;
    expect(record, &format!("limit={limit} ret={}", -errno))?;
    let failed = all(records, "ctl")
        .into_iter()
        .find(|ctl| ctl.number("ret") != Some(0));
    let failed = failed.context("no CTL failed")?;
    expect(
        record,
        &format!("ep={} fd={}", number(failed, "ep")?, number(failed, "fd")?),
    )
}

fn nesting_too_deep_is_a_limit() -> Result<()> {
    let records = recorded(|| {
        let mut inner = Repoll::new()?;
        let mut kept = Vec::new();
        loop {
            let outer = Repoll::new()?;
            if let Err(error) = outer.add(&inner, EventFlags::IN, 1) {
                ensure!(error.raw_os_error() == Some(libc::ELOOP), "{error}");
                return Ok(());
            }
            kept.push(std::mem::replace(&mut inner, outer));
            ensure!(kept.len() < 10, "there is no limit");
        }
    })?;
    expect_limit(&records, "nesting", libc::ELOOP)
}

fn too_many_ways_are_a_limit() -> Result<()> {
    let inner = Repoll::new()?;
    let fd = files::eventfd()?;
    inner.add(&fd, EventFlags::IN, 1)?;
    let mut outers = Vec::new();
    // From a file through one instance to an outermost one.
    for _ in 0..500 {
        let outer = Repoll::new()?;
        outer.add(&inner, EventFlags::IN, 1)?;
        outers.push(outer);
    }
    let records =
        recorded(|| expect_error(Repoll::new()?.add(&inner, EventFlags::IN, 1), libc::EINVAL))?;
    expect_limit(&records, "paths", libc::EINVAL)
}

/// A refused ADD has no entry in a wait queue, not even for a moment: it would be one path too
/// many.
fn a_watch_that_is_refused_is_never_called() -> Result<()> {
    let inner = Repoll::new()?;
    let fd = files::eventfd()?;
    let mut outers = Vec::new();
    for _ in 0..501 {
        let outer = Repoll::new()?;
        outer.add(&inner, EventFlags::IN, 1)?;
        outers.push(outer);
    }
    let over = AtomicBool::new(false);
    let records = recorded(|| {
        scope(|threads| {
            threads.spawn(|| {
                while !over.load(SeqCst) {
                    drop(signal(&fd));
                }
            });
            let refused = (0..300)
                .try_for_each(|_| expect_error(inner.add(&fd, EventFlags::IN, 1), libc::EINVAL));
            over.store(true, SeqCst);
            refused
        })
    })?;
    ensure!(
        all(&records, "limit").len() == 300,
        "not all were refused for this"
    );
    ensure!(all(&records, "callback").is_empty(), "it was called");
    Ok(())
}

fn too_many_watches_of_a_file_are_a_limit() -> Result<()> {
    const MOST: usize = 4096;
    let fd = files::eventfd()?;
    let copies: Vec<_> = (0..MOST / 8)
        .map(|_| fd.try_clone())
        .collect::<Result<_, _>>()?;
    let mut instances = Vec::new();
    for _ in 0..8 {
        let m = Repoll::new()?;
        m.add_all(&copies, EventFlags::IN, 1)?;
        instances.push(m);
    }
    let m = Repoll::new()?;
    let records = recorded(|| expect_error(m.add(&fd, EventFlags::IN, 1), libc::ENOSPC))?;
    expect_limit(&records, "watches-of-file", libc::ENOSPC)?;
    // With one less there is room again.
    instances[3].delete(&copies[3])?;
    m.add(&fd, EventFlags::IN, 1)?;
    Ok(())
}

fn too_many_watches_of_a_user_are_a_limit() -> Result<()> {
    watches_of_a_user().map(drop)
}

/// The records of it.
pub fn watches_of_a_user() -> Result<Vec<Record>> {
    let m = Repoll::new()?;
    let fds = eventfds(4)?;
    m.add_all(&fds[..3], EventFlags::IN, 1)?;
    let _limit = WatchLimit::set(3)?;
    let records = recorded(|| expect_error(m.add(&fds[3], EventFlags::IN, 1), libc::ENOSPC))?;
    expect_limit(&records, "watches-of-user", libc::ENOSPC)?;
    Ok(records)
}

fn too_many_pollers_are_a_limit() -> Result<()> {
    const MOST: usize = 511;
    let (m, other) = (Repoll::new()?, Repoll::new()?);
    let fd = files::eventfd()?;
    m.add(&fd, EventFlags::IN, 1)?;
    // With eight watches of a file, 4096 / 8 - 1 others may poll an instance that has one of them.
    let copies = files::copies(&fd, 7)?;
    m.add_all(&copies, EventFlags::IN, 1)?;
    let add = || -> Result<Epoll> {
        let outer = Epoll::new()?;
        outer.add(&m, EventFlags::IN, 2)?;
        Ok(outer)
    };
    let mut pollers = Vec::new();
    let records = recorded(|| {
        // Another record gives the number of the instance.
        m.modify(&fd, EventFlags::PRI, 1)?;
        for _ in 0..MOST {
            pollers.push(add()?);
        }
        Ok(())
    })?;
    ensure!(all(&records, "limit").is_empty(), "{records:?}");
    let ep = number(one(&records, "modify")?, "ep")?;
    let records = recorded(|| {
        pollers.push(add()?);
        // Another instance is not concerned.
        let outer = Epoll::new()?;
        outer.add(&other, EventFlags::IN, 2)?;
        Ok(())
    })?;
    let limit = one(&records, "limit")?;
    expect(limit, &format!("limit=pollers ep={ep} fd=-1 ret=0"))
}
