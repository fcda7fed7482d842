// SPDX-License-Identifier: GPL-2.0
//! The number of watches that a user may have: one count, the C epoll's and ours.

use crate::prelude::*;
use repoll::{CreateFlags, Instance};
use repoll_testkit::watch_limit::WatchLimit;

pub fn tests() -> Vec<Test> {
    let mut tests = both!("quota":
        one_watch_more_than_allowed_is_enospc,
        an_instance_follows_the_limit,
        a_limit_of_zero_allows_no_watch,
        the_highest_limit_allows_watches,
        each_way_to_end_a_watch_gives_it_back,
        a_failed_add_is_not_counted,
        each_user_has_a_quota_of_their_own,
        a_watch_is_counted_for_the_maker_of_the_instance,
        the_end_of_a_process_gives_its_watches_back,
    );
    tests.extend(repoll_only!("quota":
        watches_of_the_c_epoll_count_too,
        a_file_has_4096_watches_at_the_most,
        the_close_of_a_file_with_4096_watches_ends_them_all,
    ));
    tests
}

const ALLOWED: usize = 10;
/// Some user who is not root.
const OTHER: u32 = 4711;

/// A limit of [`ALLOWED`] watches for each user, of which none is in use.
fn limited<M: Multiplexer>() -> Result<WatchLimit> {
    let limit = WatchLimit::set(ALLOWED)?;
    expect_room::<M>(ALLOWED)?;
    Ok(limit)
}

/// Asserts that exactly `room` watches can be added now; removes them again.
fn expect_room<M: Multiplexer>(room: usize) -> Result<()> {
    let m = M::new()?;
    let fds = eventfds(room + 1)?;
    let mut added = 0;
    // Watches that were just removed may still count.
    let enough = eventually("there is room", || {
        while added < room && m.add(&fds[added], EventFlags::IN, 1).is_ok() {
            added += 1;
        }
        Ok(added == room)
    });
    ensure!(
        enough.is_ok(),
        "there is room for {added} watches instead of {room}"
    );
    expect_error(m.add(&fds[room], EventFlags::IN, 1), libc::ENOSPC)
}

fn one_watch_more_than_allowed_is_enospc<M: Multiplexer>() -> Result<()> {
    let _limit = limited::<M>()?;
    // Those of another instance count too.
    let m = M::new()?;
    let fds = eventfds(4)?;
    m.add_all(&fds, EventFlags::IN, 1)?;
    expect_room::<M>(ALLOWED - fds.len())
}

fn an_instance_follows_the_limit<M: Multiplexer>() -> Result<()> {
    let limit = limited::<M>()?;
    let m = M::new()?;
    let fds = eventfds(2 * ALLOWED)?;
    ensure!(add_all(&m, &fds)? == ALLOWED);
    limit.change(ALLOWED + 3)?;
    let more = add_all(&m, &fds[ALLOWED..])?;
    ensure!(more == 3, "{more} more after it was raised by 3");
    // The watches stay when it is lowered, and work.
    limit.change(5)?;
    expect_error(m.add(&fds[ALLOWED + 3], EventFlags::IN, 1), libc::ENOSPC)?;
    m.modify(&fds[0], EventFlags::IN, 7)?;
    signal(&fds[0])?;
    expect_one(&m, 7)?;
    for fd in &fds[4..ALLOWED + 3] {
        m.delete(fd)?;
    }
    let more = add_all(&m, &fds[4..])?;
    ensure!(more == 1, "{more} beside 4 of 5");
    Ok(())
}

fn a_limit_of_zero_allows_no_watch<M: Multiplexer>() -> Result<()> {
    let limit = WatchLimit::set(0)?;
    let m = M::new()?;
    let fd = files::eventfd()?;
    expect_error(m.add(&fd, EventFlags::IN, 1), libc::ENOSPC)?;
    limit.change(ALLOWED)?;
    m.add(&fd, EventFlags::IN, 1)?;
    Ok(())
}

fn the_highest_limit_allows_watches<M: Multiplexer>() -> Result<()> {
    let _limit = WatchLimit::set(i64::MAX as usize)?;
    let m = M::new()?;
    ensure!(add_all(&m, &eventfds(ALLOWED)?)? == ALLOWED);
    Ok(())
}

fn watches_of_the_c_epoll_count_too() -> Result<()> {
    let _limit = limited::<Repoll>()?;
    let c = Epoll::new()?;
    let fds = eventfds(3)?;
    c.add_all(&fds, EventFlags::IN, 1)?;
    expect_room::<Repoll>(ALLOWED - fds.len())?;
    drop(c);
    expect_room::<Repoll>(ALLOWED)?;
    // And the other way round.
    let m = Repoll::new()?;
    m.add_all(&fds, EventFlags::IN, 1)?;
    expect_room::<Epoll>(ALLOWED - fds.len())
}

fn each_way_to_end_a_watch_gives_it_back<M: Multiplexer>() -> Result<()> {
    let _limit = limited::<M>()?;
    for round in 0..200 {
        let m = M::new()?;
        let mut fds = eventfds(4)?;
        for fd in &fds {
            m.add(fd, EventFlags::IN, 1)?;
            if round % 2 == 0 {
                signal(fd)?;
            }
        }
        m.delete(&fds[0])?;
        // A last close, and that of the instance.
        fds.truncate(2);
        if round % 3 == 0 {
            m.ready()?;
        }
    }
    expect_room::<M>(ALLOWED)
}

fn a_failed_add_is_not_counted<M: Multiplexer>() -> Result<()> {
    let _limit = limited::<M>()?;
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    let directory = std::fs::File::open("/")?;
    for _ in 0..100 {
        expect_error(m.add(&fd, EventFlags::IN, 1), libc::EEXIST)?;
        expect_error(m.add(&directory, EventFlags::IN, 1), libc::EPERM)?;
        expect_error(m.add(&m, EventFlags::IN, 1), libc::EINVAL)?;
        expect_error(m.add(&-1, EventFlags::IN, 1), libc::EBADF)?;
    }
    expect_room::<M>(ALLOWED - 1)
}

/// Adds all of them; how many were taken before the first ENOSPC.
fn add_all(m: &impl Multiplexer, fds: &[OwnedFd]) -> Result<usize> {
    for (at, fd) in fds.iter().enumerate() {
        match m.add(fd, EventFlags::IN, 1) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => return Ok(at),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(fds.len())
}

/// Runs `body` as another user; it returns a number that is small.
fn as_other_user(body: impl FnOnce() -> Result<usize>) -> Result<usize> {
    let child = processes::fork(|| -> Result<i32> {
        processes::become_user(OTHER)?;
        Ok(i32::try_from(body()?)?)
    })?;
    let status = child.wait()?;
    ensure!(
        (0..processes::FAILED).contains(&status),
        "the child failed: {status}"
    );
    Ok(status as usize)
}

/// An instance of the calling user's, made without access to the device.
fn another<M: Multiplexer>(m: &M) -> Result<M> {
    if M::name() != Repoll::name() {
        return Ok(M::new()?);
    }
    let copy = m.duplicate()?.into_descriptor();
    let made = Instance::from(copy).create(CreateFlags::CLOEXEC)?;
    Ok(M::from_descriptor(made.into()))
}

fn each_user_has_a_quota_of_their_own<M: Multiplexer>() -> Result<()> {
    let _limit = limited::<M>()?;
    let m = M::new()?;
    let fds = eventfds(ALLOWED + 5)?;
    ensure!(add_all(&m, &fds)? == ALLOWED);
    // We are out of watches, the other user is not.
    for _ in 0..2 {
        let had = as_other_user(|| add_all(&another(&m)?, &fds))?;
        ensure!(had == ALLOWED, "the other user has {had} watches");
    }
    // And the other way round.
    m.delete(&fds[0])?;
    let had = as_other_user(|| {
        let theirs = another(&m)?;
        ensure!(add_all(&theirs, &fds)? == ALLOWED);
        // Ours: there is room for one.
        add_all(&m, &fds[ALLOWED..])
    })?;
    ensure!(had == 1, "{had}");
    Ok(())
}

/// Not for the task that adds it.
fn a_watch_is_counted_for_the_maker_of_the_instance<M: Multiplexer>() -> Result<()> {
    let _limit = limited::<M>()?;
    let m = M::new()?;
    let fds = eventfds(ALLOWED + 5)?;
    let had = as_other_user(|| {
        let theirs = another(&m)?;
        let had = add_all(&m, &fds[..6])?;
        ensure!(had == 6, "{had}");
        // None of these was theirs.
        add_all(&theirs, &fds)
    })?;
    ensure!(had == ALLOWED, "{had}");
    let had = add_all(&m, &fds[6..])?;
    ensure!(had == ALLOWED - 6, "{had}");
    Ok(())
}

fn the_end_of_a_process_gives_its_watches_back<M: Multiplexer>() -> Result<()> {
    let _limit = limited::<M>()?;
    for signal in [None, Some(libc::SIGKILL)] {
        let child = processes::fork(|| -> Result<()> {
            let m = M::new()?;
            let fds = eventfds(ALLOWED)?;
            ensure!(add_all(&m, &fds)? == ALLOWED);
            if signal.is_some() {
                m.wait(1, None)?;
            }
            Ok(())
        })?;
        if let Some(signal) = signal {
            crate::support::eventually_waits(child.0)?;
            child.kill(signal)?;
        }
        ensure!(child.wait()? == signal.map_or(0, |signal| -signal));
        let m = M::new()?;
        let fds = eventfds(ALLOWED)?;
        eventually("all watches are given back", || {
            let had = add_all(&m, &fds)?;
            fds[..had].iter().try_for_each(|fd| m.delete(fd))?;
            Ok(had == ALLOWED)
        })?;
    }
    Ok(())
}

const MOST: usize = 4096;
const INSTANCES: usize = 16;

/// One file, watched 4,096 times: by several instances, under many descriptors.
fn watched_as_often_as_can_be() -> Result<(Vec<Repoll>, Vec<OwnedFd>)> {
    let fd = files::eventfd()?;
    let mut fds = vec![fd.try_clone()?];
    while fds.len() < MOST / INSTANCES {
        fds.push(fd.try_clone()?);
    }
    let mut instances = Vec::new();
    for _ in 0..INSTANCES {
        let m = Repoll::new()?;
        ensure!(add_all(&m, &fds)? == fds.len());
        instances.push(m);
    }
    fds.push(fd);
    Ok((instances, fds))
}

fn a_file_has_4096_watches_at_the_most() -> Result<()> {
    let (mut instances, fds) = watched_as_often_as_can_be()?;
    let one_more = fds.last().expect("there are many");
    for m in &instances {
        expect_error(m.add(one_more, EventFlags::IN, 1), libc::ENOSPC)?;
    }
    // Another file is another matter.
    let other = files::eventfd()?;
    instances[0].add(&other, EventFlags::IN, 2)?;
    // For one that goes, one may come; the limit is for all instances together.
    instances[0].delete(&fds[0])?;
    instances[1].add(one_more, EventFlags::IN, 3)?;
    expect_error(instances[2].add(one_more, EventFlags::IN, 4), libc::ENOSPC)?;
    instances[1].delete(one_more)?;
    // All of them get the event.
    signal(one_more)?;
    for (at, m) in instances.iter().enumerate() {
        let count = m.wait(MOST, None)?.len();
        ensure!(count == fds.len() - if at == 0 { 2 } else { 1 }, "{count}");
    }
    // An instance that goes takes its watches with it.
    instances.pop();
    instances[2].add(one_more, EventFlags::IN, 5)?;
    Ok(())
}

fn the_close_of_a_file_with_4096_watches_ends_them_all() -> Result<()> {
    for ready in [false, true] {
        let (instances, fds) = watched_as_often_as_can_be()?;
        if ready {
            signal(&fds[0])?;
        }
        let number = fds[0].as_raw_fd();
        drop(fds);
        for m in &instances {
            expect_none(m)?;
            expect_error(m.delete(&number), libc::EBADF)?;
        }
        let fd = files::eventfd()?;
        for m in &instances {
            m.add(&fd, EventFlags::IN, 7)?;
            signal(&fd)?;
            expect_one(m, 7)?;
        }
    }
    Ok(())
}
