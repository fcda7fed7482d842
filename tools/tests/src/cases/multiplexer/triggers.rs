// SPDX-License-Identifier: GPL-2.0
//! Level-triggered, edge-triggered, one-shot; ADD, MOD and DEL.

use crate::prelude::*;

pub fn tests() -> Vec<Test> {
    let mut tests = of::<Epoll>();
    tests.extend(of::<Repoll>());
    tests
}

/// The tests for the multiplexer `M`.
pub fn of<M: Multiplexer>() -> Vec<Test> {
    each!("triggers", M:
        level_is_reported_until_drained,
        edge_is_reported_once_per_change,
        edge_is_reported_at_add_when_ready,
        oneshot_is_reported_once_until_mod,
        oneshot_event_while_disarmed_is_reported_after_mod,
        oneshot_with_edge_is_armed_again_by_mod,
        mod_looks_again_at_once,
        mod_to_edge_reports_once_more,
        mod_changes_events_and_datum,
        del_ends_reports,
        del_of_a_ready_file_takes_it_out_of_the_queue,
        events_that_were_not_asked_for_stay_silent,
        hangup_and_error_are_reported_unasked,
        shutdown_of_the_peer_is_reported_when_asked_for,
        writable_is_reported,
    )
}

fn level_is_reported_until_drained<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    signal(&fd)?;
    for _ in 0..5 {
        expect_one(&m, 1)?;
    }
    read_all(&fd)?;
    expect_none(&m)?;
    signal(&fd)?;
    expect_one(&m, 1).map(drop)
}

fn edge_is_reported_once_per_change<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN | EventFlags::ET, 1)?;
    for _ in 0..3 {
        signal(&fd)?;
        expect_one(&m, 1)?;
        expect_none(&m)?;
    }
    // Two changes before the look are one report.
    signal(&fd)?;
    signal(&fd)?;
    expect_one(&m, 1)?;
    expect_none(&m)
}

fn edge_is_reported_at_add_when_ready<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    m.add(&fd, EventFlags::IN | EventFlags::ET, 1)?;
    expect_one(&m, 1)?;
    expect_none(&m)
}

fn oneshot_is_reported_once_until_mod<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN | EventFlags::ONESHOT, 1)?;
    signal(&fd)?;
    expect_one(&m, 1)?;
    expect_none(&m)?;
    signal(&fd)?;
    expect_none(&m)?;
    m.modify(&fd, EventFlags::IN | EventFlags::ONESHOT, 2)?;
    expect_one(&m, 2)?;
    expect_none(&m)
}

fn oneshot_event_while_disarmed_is_reported_after_mod<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN | EventFlags::ONESHOT, 1)?;
    signal(&fd)?;
    expect_one(&m, 1)?;
    read_all(&fd)?;
    signal(&fd)?;
    expect_none(&m)?;
    m.modify(&fd, EventFlags::IN | EventFlags::ONESHOT, 1)?;
    expect_one(&m, 1).map(drop)
}

fn oneshot_with_edge_is_armed_again_by_mod<M: Multiplexer>() -> Result<()> {
    let flags = EventFlags::IN | EventFlags::ONESHOT | EventFlags::ET;
    let (m, fd) = watching_eventfd::<M>(flags, 1)?;
    for _ in 0..3 {
        signal(&fd)?;
        expect_one(&m, 1)?;
        signal(&fd)?;
        expect_none(&m)?;
        read_all(&fd)?;
        m.modify(&fd, flags, 1)?;
        expect_none(&m)?;
    }
    Ok(())
}

fn mod_looks_again_at_once<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::PRI, 1)?;
    signal(&fd)?;
    expect_none(&m)?;
    m.modify(&fd, EventFlags::IN, 1)?;
    expect_one(&m, 1).map(drop)
}

fn mod_to_edge_reports_once_more<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN | EventFlags::ET, 1)?;
    signal(&fd)?;
    expect_one(&m, 1)?;
    expect_none(&m)?;
    m.modify(&fd, EventFlags::IN | EventFlags::ET, 2)?;
    expect_one(&m, 2)?;
    expect_none(&m)
}

fn mod_changes_events_and_datum<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    signal(&fd)?;
    ensure!(expect_one(&m, 1)? == EventFlags::IN);
    m.modify(&fd, EventFlags::IN | EventFlags::OUT, 2)?;
    ensure!(expect_one(&m, 2)? == EventFlags::IN | EventFlags::OUT);
    m.modify(&fd, EventFlags::OUT, 3)?;
    ensure!(expect_one(&m, 3)? == EventFlags::OUT);
    m.modify(&fd, EventFlags::empty(), 4)?;
    expect_none(&m)
}

fn del_ends_reports<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    m.delete(&fd)?;
    signal(&fd)?;
    expect_none(&m)?;
    m.add(&fd, EventFlags::IN, 2)?;
    expect_one(&m, 2).map(drop)
}

fn del_of_a_ready_file_takes_it_out_of_the_queue<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (a, b) = (files::eventfd()?, files::eventfd()?);
    m.add(&a, EventFlags::IN, 1)?;
    m.add(&b, EventFlags::IN, 2)?;
    signal(&a)?;
    signal(&b)?;
    m.delete(&a)?;
    expect_one(&m, 2)?;
    m.delete(&b)?;
    expect_none(&m)
}

fn events_that_were_not_asked_for_stay_silent<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (reader, writer) = files::pipe()?;
    m.add(&reader, EventFlags::PRI, 1)?;
    m.add(&writer, EventFlags::IN, 2)?;
    files::write(&writer, b"x")?;
    expect_none(&m)
}

fn hangup_and_error_are_reported_unasked<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (reader, writer) = files::pipe()?;
    m.add(&reader, EventFlags::empty(), 1)?;
    expect_none(&m)?;
    drop(writer);
    ensure!(expect_one(&m, 1)? == EventFlags::HUP);
    m.delete(&reader)?;

    let (reader, writer) = files::pipe()?;
    m.add(&writer, EventFlags::empty(), 2)?;
    expect_none(&m)?;
    drop(reader);
    ensure!(expect_one(&m, 2)? == EventFlags::ERR);
    Ok(())
}

fn shutdown_of_the_peer_is_reported_when_asked_for<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (near, far) = std::os::unix::net::UnixStream::pair()?;
    m.add(&near, EventFlags::RDHUP, 1)?;
    expect_none(&m)?;
    far.shutdown(std::net::Shutdown::Write)?;
    ensure!(expect_one(&m, 1)? == EventFlags::RDHUP);
    m.modify(&near, EventFlags::IN, 1)?;
    ensure!(expect_one(&m, 1)? == EventFlags::IN);
    Ok(())
}

fn writable_is_reported<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (reader, writer) = files::pipe()?;
    while files::write(&writer, &[0; 4096]).is_ok() {}
    m.add(&writer, EventFlags::OUT, 1)?;
    expect_none(&m)?;
    read_all(&reader)?;
    ensure!(expect_one(&m, 1)? == EventFlags::OUT);
    Ok(())
}
