// SPDX-License-Identifier: GPL-2.0
//! The number of watches that a user may have: one count, the C epoll's and ours.

use crate::files::eventfds;
use crate::module::{load_with, unload_when_unused, Reload};
use crate::multiplexer::{Epoll, Multiplexer, Repoll};
use crate::registry::Test;
use crate::repoll_only;
use crate::support::{eventually, expect_error};
use crate::sys;
use anyhow::{ensure, Result};
use repoll::Events;

pub fn tests() -> Vec<Test> {
    repoll_only!("quota":
        one_watch_more_than_allowed_is_enospc,
        watches_of_the_c_epoll_count_too,
        each_way_to_end_a_watch_gives_it_back,
        a_failed_add_is_not_counted,
    )
}

const ALLOWED: usize = 10;

/// The module, loaded so that a user may have [`ALLOWED`] watches.
fn limited() -> Result<Reload> {
    let reload = Reload::later()?;
    unload_when_unused()?;
    load_with(c"max_user_watches=10")?;
    Ok(reload)
}

/// Exactly so many watches can be added now; they are removed again.
fn expect_room(room: usize) -> Result<()> {
    let m = Repoll::new()?;
    let fds = eventfds(room + 1)?;
    let mut added = 0;
    // What was just given back may be under way.
    let enough = eventually("there is room", || {
        while added < room && m.add(&fds[added], Events::IN, 1).is_ok() {
            added += 1;
        }
        Ok(added == room)
    });
    ensure!(
        enough.is_ok(),
        "there is room for {added} watches instead of {room}"
    );
    expect_error(m.add(&fds[room], Events::IN, 1), libc::ENOSPC)
}

fn one_watch_more_than_allowed_is_enospc() -> Result<()> {
    let _reload = limited()?;
    expect_room(ALLOWED)?;
    // Those of another instance count too.
    let m = Repoll::new()?;
    let fds = eventfds(4)?;
    for fd in &fds {
        m.add(fd, Events::IN, 1)?;
    }
    expect_room(ALLOWED - fds.len())
}

fn watches_of_the_c_epoll_count_too() -> Result<()> {
    let _reload = limited()?;
    let c = Epoll::new()?;
    let fds = eventfds(3)?;
    for fd in &fds {
        c.add(fd, Events::IN, 1)?;
    }
    expect_room(ALLOWED - fds.len())?;
    drop(c);
    expect_room(ALLOWED)
}

fn each_way_to_end_a_watch_gives_it_back() -> Result<()> {
    let _reload = limited()?;
    for round in 0..200 {
        let m = Repoll::new()?;
        let mut fds = eventfds(4)?;
        for fd in &fds {
            m.add(fd, Events::IN, 1)?;
            if round % 2 == 0 {
                crate::files::signal(fd)?;
            }
        }
        m.delete(&fds[0])?;
        // A last close, and that of the instance.
        fds.truncate(2);
        if round % 3 == 0 {
            m.ready()?;
        }
    }
    expect_room(ALLOWED)
}

fn a_failed_add_is_not_counted() -> Result<()> {
    let _reload = limited()?;
    let m = Repoll::new()?;
    let fd = sys::eventfd()?;
    m.add(&fd, Events::IN, 1)?;
    let directory = std::fs::File::open("/")?;
    for _ in 0..100 {
        expect_error(m.add(&fd, Events::IN, 1), libc::EEXIST)?;
        expect_error(m.add(&directory, Events::IN, 1), libc::EPERM)?;
        expect_error(m.add(&m, Events::IN, 1), libc::EINVAL)?;
        expect_error(m.add(&-1, Events::IN, 1), libc::EBADF)?;
    }
    expect_room(ALLOWED - 1)
}
