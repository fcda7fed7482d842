// SPDX-License-Identifier: GPL-2.0
//! An instance watched from outside: by poll, select and the C epoll.

use crate::prelude::*;

pub fn tests() -> Vec<Test> {
    let mut tests = both!("watching":
        poll_shows_whether_something_is_ready,
        select_shows_whether_something_is_ready,
        poll_does_not_use_up_an_edge,
        poll_on_an_instance_is_woken,
        the_c_epoll_may_watch_an_instance,
        the_c_epoll_is_woken_by_an_instance,
        the_c_epoll_sees_each_change_of_an_instance_once,
        closing_a_watched_instance_ends_the_watch,
    );
    tests.extend(repoll_only!("watching":
        the_c_epoll_is_refused_as_a_target,
        a_cycle_through_the_c_epoll_is_impossible,
    ));
    tests
}

fn with_eventfd<M: Multiplexer>(events: EventFlags) -> Result<(M, OwnedFd)> {
    let (m, fd) = watching_eventfd::<M>(events, 1)?;
    Ok((m, fd))
}

fn poll_shows_whether_something_is_ready<M: Multiplexer>() -> Result<()> {
    let (m, fd) = with_eventfd::<M>(EventFlags::IN)?;
    let now = |m: &M| files::poll(m, libc::POLLIN | libc::POLLOUT, Duration::ZERO);
    ensure!(now(&m)? == 0);
    signal(&fd)?;
    ensure!(now(&m)? == libc::POLLIN);
    ensure!(now(&m)? == libc::POLLIN);
    expect_one(&m, 1)?;
    ensure!(now(&m)? == libc::POLLIN);
    files::read_all(&fd)?;
    // The queue still holds the file, but it is not ready.
    ensure!(now(&m)? == 0);
    expect_none(&m)
}

fn select_shows_whether_something_is_ready<M: Multiplexer>() -> Result<()> {
    let (m, fd) = with_eventfd::<M>(EventFlags::IN)?;
    ensure!(!files::select_in(&m, Duration::from_millis(1))?);
    signal(&fd)?;
    ensure!(files::select_in(&m, LONG)?);
    Ok(())
}

fn poll_does_not_use_up_an_edge<M: Multiplexer>() -> Result<()> {
    let (m, fd) = with_eventfd::<M>(EventFlags::IN | EventFlags::ET)?;
    signal(&fd)?;
    for _ in 0..3 {
        ensure!(files::poll(&m, libc::POLLIN, LONG)? == libc::POLLIN);
    }
    expect_one(&m, 1)?;
    ensure!(files::poll(&m, libc::POLLIN, Duration::ZERO)? == 0);
    expect_none(&m)
}

fn poll_on_an_instance_is_woken<M: Multiplexer>() -> Result<()> {
    let (m, fd) = with_eventfd::<M>(EventFlags::IN)?;
    let ready = after(
        3 * MOMENT,
        || signal(&fd),
        || files::poll(&m, libc::POLLIN, Duration::from_secs(3600)),
    )?;
    ensure!(ready == libc::POLLIN, "{ready}");
    Ok(())
}

fn the_c_epoll_may_watch_an_instance<M: Multiplexer>() -> Result<()> {
    let (m, fd) = with_eventfd::<M>(EventFlags::IN)?;
    let outer = Epoll::new()?;
    outer.add(&m, EventFlags::IN, 2)?;
    expect_none(&outer)?;
    signal(&fd)?;
    expect_one(&outer, 2)?;
    expect_one(&m, 1)?;
    files::read_all(&fd)?;
    expect_none(&outer)?;
    expect_none(&m)?;
    outer.delete(&m)?;
    signal(&fd)?;
    expect_none(&outer)?;
    expect_one(&m, 1).map(drop)
}

fn the_c_epoll_is_woken_by_an_instance<M: Multiplexer>() -> Result<()> {
    let (m, fd) = with_eventfd::<M>(EventFlags::IN)?;
    let outer = Epoll::new()?;
    outer.add(&m, EventFlags::IN, 2)?;
    let events = after(3 * MOMENT, || signal(&fd), || outer.wait(4, None))?;
    ensure!(events.len() == 1 && events[0].data() == 2, "{events:?}");
    Ok(())
}

fn the_c_epoll_sees_each_change_of_an_instance_once<M: Multiplexer>() -> Result<()> {
    let (m, fd) = with_eventfd::<M>(EventFlags::IN | EventFlags::ET)?;
    let outer = Epoll::new()?;
    outer.add(&m, EventFlags::IN | EventFlags::ET, 2)?;
    for _ in 0..3 {
        signal(&fd)?;
        expect_one(&outer, 2)?;
        expect_none(&outer)?;
        expect_one(&m, 1)?;
        expect_none(&m)?;
    }
    Ok(())
}

fn closing_a_watched_instance_ends_the_watch<M: Multiplexer>() -> Result<()> {
    let (m, fd) = with_eventfd::<M>(EventFlags::IN)?;
    let outer = Epoll::new()?;
    outer.add(&m, EventFlags::IN, 2)?;
    signal(&fd)?;
    drop(m);
    expect_none(&outer)?;
    signal(&fd)?;
    expect_none(&outer)
}

fn the_c_epoll_is_refused_as_a_target() -> Result<()> {
    let m = Repoll::new()?;
    let c = Epoll::new()?;
    for flags in [
        EventFlags::IN,
        EventFlags::IN | EventFlags::ET,
        EventFlags::empty(),
    ] {
        expect_error(m.add(&c, flags, 1), libc::ELOOP)?;
    }
    expect_none(&m)
}

/// Such a cycle would hang the machine: neither of the two sees it.
fn a_cycle_through_the_c_epoll_is_impossible() -> Result<()> {
    let (m, fd) = with_eventfd::<Repoll>(EventFlags::IN)?;
    let c = Epoll::new()?;
    c.add(&fd, EventFlags::IN, 2)?;
    c.add(&m, EventFlags::IN, 3)?;
    expect_error(m.add(&c, EventFlags::IN, 4), libc::ELOOP)?;
    // Nor with an epoll between the two.
    let between = Epoll::new()?;
    between.add(&c, EventFlags::IN, 5)?;
    expect_error(m.add(&between, EventFlags::IN, 6), libc::ELOOP)?;
    signal(&fd)?;
    expect_one(&m, 1).map(drop)
}
