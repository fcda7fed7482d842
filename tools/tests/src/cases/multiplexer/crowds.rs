// SPDX-License-Identifier: GPL-2.0
//! Limits on the callbacks of one wake-up: the watches of a file, and the pollers of an instance.
//!
//! The numbers are those of `rust/eventpoll/fanout.rs`.

use crate::prelude::*;
use repoll::CreateFlags;
use repoll_testkit::limits;
use repoll_testkit::scanner::{pollfds, Kernel, Side};

pub fn tests() -> Vec<Test> {
    repoll_only!("crowds":
        an_instance_has_4095_outside_pollers_at_the_most,
        watches_of_a_file_leave_less_room_for_outside_pollers,
        a_watch_that_makes_too_many_callbacks_is_enospc,
        another_instance_of_the_user_is_counted_too,
        few_outsiders_poll_an_instance_that_watches_instances,
        nesting_an_instance_that_many_outsiders_poll_is_enospc,
        instances_above_are_no_outsiders,
        an_instance_in_error_is_so_to_outsiders_only,
        a_user_cannot_use_up_the_watches_of_a_shared_file,
        a_user_cannot_use_up_the_callbacks_of_a_shared_file,
    )
}

/// Callbacks of one user's watches of one file.
const CALLBACKS: usize = 4096;
/// Outsiders that poll an instance.
const OUTSIDERS: usize = CALLBACKS - 1;
/// Outsiders that poll an instance that watches instances.
const NESTED_OUTSIDERS: usize = 8;
/// Watches that a user may have of one file.
const WATCHES: usize = 4096;
/// Some user who is not root.
const OTHER: u32 = 4711;

/// An instance with `count` watches of a file, which comes with its copies.
fn watching(count: usize) -> Result<(Repoll, Vec<OwnedFd>)> {
    limits::allow_files(8192)?;
    let m = Repoll::new()?;
    let fd = files::eventfd()?;
    let mut copies = files::copies(&fd, count - 1)?;
    copies.push(fd);
    m.add_all(&copies, EventFlags::IN, 1)?;
    Ok((m, copies))
}

/// The events of the last of `count` entries of one poll(2), each of which polls `m`.
fn polled(m: &Repoll, count: usize) -> Result<i16> {
    let mut fds = pollfds(&vec![m.as_raw_fd(); count], libc::POLLIN);
    Kernel.poll(&mut fds, Some(Duration::from_millis(1)))?;
    Ok(fds[count - 1].revents)
}

fn expect_outsiders(m: &Repoll, room: usize) -> Result<()> {
    if room != 0 {
        let events = polled(m, room)?;
        ensure!(events == 0, "{room}: {events:#x}");
    }
    let events = polled(m, room + 1)?;
    ensure!(events == libc::POLLERR, "{room} and one: {events:#x}");
    Ok(())
}

fn an_instance_has_4095_outside_pollers_at_the_most() -> Result<()> {
    let (m, fds) = watching(1)?;
    expect_outsiders(&m, OUTSIDERS)?;
    // The one that was refused can't be woken: so the error stays, for all outsiders.
    ensure!(polled(&m, 1)? == libc::POLLERR);
    let c = Epoll::new()?;
    c.add(&m, EventFlags::IN, 2)?;
    ensure!(expect_one(&c, 2)? == EventFlags::ERR);
    // WAIT still works, and so does another instance.
    signal(&fds[0])?;
    expect_one(&m, 1)?;
    let other = Repoll::new()?;
    other.add(&fds[0], EventFlags::IN, 3)?;
    ensure!(polled(&other, 1)? == libc::POLLIN);
    Ok(())
}

fn watches_of_a_file_leave_less_room_for_outside_pollers() -> Result<()> {
    for watches in [2, 8, 100, 2048, 2049, 4096] {
        let (m, _fds) = watching(watches)?;
        expect_outsiders(&m, CALLBACKS / watches - 1)?;
    }
    Ok(())
}

fn a_watch_that_makes_too_many_callbacks_is_enospc() -> Result<()> {
    const MOST: usize = 64;
    let (m, fds) = watching(MOST)?;
    let mut outsiders = Vec::new();
    for _ in 0..CALLBACKS / MOST - 1 {
        let c = Epoll::new()?;
        c.add(&m, EventFlags::IN, 2)?;
        outsiders.push(c);
    }
    let copy = fds[0].try_clone()?;
    expect_error(m.add(&copy, EventFlags::IN, 1), libc::ENOSPC)?;
    // Another file has a count of its own; and with fewer pollers there is room.
    m.add(&files::eventfd()?, EventFlags::IN, 3)?;
    drop(outsiders.pop());
    drop(outsiders.pop());
    m.add(&copy, EventFlags::IN, 1)?;
    for c in &outsiders {
        expect_none(c)?;
    }
    signal(&copy)?;
    for c in &outsiders {
        ensure!(expect_one(c, 2)? == EventFlags::IN);
    }
    Ok(())
}

fn another_instance_of_the_user_is_counted_too() -> Result<()> {
    let (m, fds) = watching(1)?;
    let mut outsiders = Vec::new();
    for _ in 0..CALLBACKS / 4 {
        let c = Epoll::new()?;
        c.add(&m, EventFlags::IN, 2)?;
        outsiders.push(c);
    }
    let other = Repoll::new()?;
    let copies = files::copies(&fds[0], 3)?;
    other.add_all(&copies[..2], EventFlags::IN, 1)?;
    expect_error(other.add(&copies[2], EventFlags::IN, 1), libc::ENOSPC)?;
    drop(outsiders.pop());
    other.add(&copies[2], EventFlags::IN, 1).map_err(Into::into)
}

fn few_outsiders_poll_an_instance_that_watches_instances() -> Result<()> {
    let (inner, _fds) = watching(1)?;
    let outer = Repoll::new()?;
    outer.add(&inner, EventFlags::IN, 2)?;
    expect_outsiders(&outer, NESTED_OUTSIDERS)?;
    ensure!(polled(&inner, 1000)? == 0);
    Ok(())
}

fn nesting_an_instance_that_many_outsiders_poll_is_enospc() -> Result<()> {
    let (inner, _fds) = watching(1)?;
    let outer = Repoll::new()?;
    let mut outsiders = Vec::new();
    for _ in 0..=NESTED_OUTSIDERS {
        let c = Epoll::new()?;
        c.add(&outer, EventFlags::IN, 2)?;
        outsiders.push(c);
    }
    expect_error(outer.add(&inner, EventFlags::IN, 2), libc::ENOSPC)?;
    drop(outsiders.pop());
    outer.add(&inner, EventFlags::IN, 2).map_err(Into::into)
}

fn instances_above_are_no_outsiders() -> Result<()> {
    let (inner, _fds) = watching(16)?;
    let mut outers = Vec::new();
    // From each of the 16 watches there is a path to each of the outer ones: 500 at the most.
    for _ in 0..500 / 16 {
        let outer = Repoll::new()?;
        outer.add(&inner, EventFlags::IN, 2)?;
        outers.push(outer);
    }
    expect_error(Repoll::new()?.add(&inner, EventFlags::IN, 2), libc::EINVAL)?;
    expect_outsiders(&inner, CALLBACKS / 16 - 1)?;
    // Nor do outsiders take the room of an instance.
    drop(outers.pop());
    Repoll::new()?
        .add(&inner, EventFlags::IN, 2)
        .map_err(Into::into)
}

fn an_instance_in_error_is_so_to_outsiders_only() -> Result<()> {
    limits::allow_files(8192)?;
    let inner = Repoll::new()?;
    expect_outsiders(&inner, OUTSIDERS)?;
    let outer = Repoll::new()?;
    outer.add(&inner, EventFlags::IN | EventFlags::ET, 2)?;
    expect_none(&outer)?;
    outer.modify(&inner, EventFlags::IN | EventFlags::ET, 2)?;
    expect_none(&outer)?;
    let fd = files::eventfd()?;
    inner.add(&fd, EventFlags::IN, 1)?;
    signal(&fd)?;
    ensure!(expect_one(&outer, 2)? == EventFlags::IN);
    ensure!(polled(&inner, 1)? == libc::POLLERR);
    Ok(())
}

/// As another user: with a new instance, watches `fds` as far as that is allowed. The process stays
/// until it is killed.
fn as_another_user(fds: &[OwnedFd], outsiders: usize) -> Result<processes::Process> {
    limits::allow_files(8192)?;
    let (reader, writer) = files::pipe()?;
    let m = Repoll::new()?;
    let child = processes::fork(|| -> Result<()> {
        processes::become_user(OTHER)?;
        // CREATE needs no access to the device; the instance is the new user's.
        let own = m.create(CreateFlags::CLOEXEC)?;
        own.add_all(fds, EventFlags::IN, 1)?;
        let mut pollers = Vec::new();
        for _ in 0..outsiders {
            let c = Epoll::new()?;
            c.add(&own, EventFlags::IN, 1)?;
            pollers.push(c);
        }
        files::write(&writer, b"x")?;
        loop {
            sleep(Duration::from_secs(1));
        }
    })?;
    drop(writer);
    ensure!(
        files::poll_in(&reader, settings::get().scaled(LONG))?,
        "the child is not ready"
    );
    ensure!(files::read(&reader, &mut [0])? == 1);
    Ok(child)
}

fn end(child: processes::Process) -> Result<()> {
    child.kill_and_wait()?;
    Ok(())
}

fn a_user_cannot_use_up_the_watches_of_a_shared_file() -> Result<()> {
    limits::allow_files(8192)?;
    let fd = files::eventfd()?;
    let copies = files::copies(&fd, WATCHES)?;
    let child = as_another_user(&copies, 0)?;
    let m = Repoll::new()?;
    m.add_all(&copies, EventFlags::IN, 1)?;
    expect_error(m.add(&fd, EventFlags::IN, 1), libc::ENOSPC)?;
    signal(&fd)?;
    let events = m.wait(WATCHES, None)?.len();
    ensure!(events == WATCHES, "{events}");
    end(child)
}

fn a_user_cannot_use_up_the_callbacks_of_a_shared_file() -> Result<()> {
    let fd = files::eventfd()?;
    let child = as_another_user(&[fd.try_clone()?], OUTSIDERS)?;
    let m = Repoll::new()?;
    for copy in files::copies(&fd, 100)? {
        m.add(&copy, EventFlags::IN, 1)?;
        m.delete(&copy)?;
    }
    m.add(&fd, EventFlags::IN, 1)?;
    ensure!(polled(&m, 1000)? == 0);
    end(child)
}
