// SPDX-License-Identifier: GPL-2.0
//! The events that WAIT delivers: their data, their order, a share for each item, and no loss.

use crate::prelude::*;
use repoll::Event;
use repoll_testkit::memory::{Mapping, Place};
use std::collections::HashSet;

pub fn tests() -> Vec<Test> {
    both!("delivery":
        data_come_back_untouched,
        events_come_in_the_order_of_arrival,
        a_small_buffer_serves_everyone_in_turn,
        a_small_buffer_keeps_edges_for_later,
        many_ready_files_fit_into_one_wait,
        a_watch_per_descriptor_is_reported_each,
        efault_on_the_second_event_loses_nothing,
        efault_on_the_first_event_loses_nothing,
        the_buffer_beyond_the_events_stays_untouched,
    )
}

fn data_come_back_untouched<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    m.add(&fd, EventFlags::IN, 0)?;
    for data in [0, 1, 0x0123_4567_89ab_cdef, 1 << 63, u64::MAX] {
        m.modify(&fd, EventFlags::IN, data)?;
        expect_one(&m, data)?;
    }
    Ok(())
}

fn events_come_in_the_order_of_arrival<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fds = eventfds(8)?;
    for (data, fd) in (0..).zip(&fds) {
        m.add(fd, EventFlags::IN | EventFlags::ET, data)?;
    }
    let order = [5, 0, 7, 3, 1, 6, 2, 4];
    for at in order {
        signal(&fds[at as usize])?;
    }
    ensure!(m.ready_data()? == order);
    Ok(())
}

/// Level-triggered files go to the end of the queue, so that none starves.
fn a_small_buffer_serves_everyone_in_turn<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fds = eventfds(10)?;
    for (data, fd) in (0..).zip(&fds) {
        m.add(fd, EventFlags::IN, data)?;
        signal(fd)?;
    }
    let mut next = 0;
    for _ in 0..10 {
        for event in m.wait(3, Some(Duration::ZERO))? {
            ensure!(event.data() == next, "{event:?}, {next} is due");
            next = (next + 1) % 10;
        }
    }
    ensure!(next == 0, "10 times 3 of 10 events: {next}");
    Ok(())
}

fn a_small_buffer_keeps_edges_for_later<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fds = eventfds(10)?;
    for (data, fd) in (0..).zip(&fds) {
        m.add(fd, EventFlags::IN | EventFlags::ET, data)?;
        signal(fd)?;
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.extend(m.wait(2, Some(Duration::ZERO))?.iter().map(Event::data));
    }
    ensure!(seen == (0..10).collect::<Vec<_>>(), "{seen:?}");
    expect_none(&m)
}

fn many_ready_files_fit_into_one_wait<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fds = eventfds(800)?;
    for (data, fd) in (0..).zip(&fds) {
        m.add(fd, EventFlags::IN, data)?;
        signal(fd)?;
    }
    let events = m.wait(10_000, Some(LONG))?;
    let distinct: HashSet<_> = events.iter().map(Event::data).collect();
    ensure!(
        events.len() == 800 && distinct.len() == 800,
        "{}",
        events.len()
    );
    Ok(())
}

/// The key of a watch is the open file and the number together.
fn a_watch_per_descriptor_is_reported_each<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = files::eventfd()?;
    let copy = fd.try_clone()?;
    m.add(&fd, EventFlags::IN, 1)?;
    m.add(&copy, EventFlags::IN, 2)?;
    signal(&fd)?;
    let data: HashSet<_> = m.ready_data()?.into_iter().collect();
    ensure!(data == HashSet::from([1, 2]), "{data:?}");
    m.delete(&fd)?;
    expect_one(&m, 2).map(drop)
}

fn efault_after<M: Multiplexer>(fitting: usize) -> Result<()> {
    let m = M::new()?;
    // The events that fit, and then nothing.
    let room = vec![Event::default(); fitting];
    let (edge, offset) = Mapping::ending_with(&room)?;
    let fds = eventfds(6)?;
    for (data, fd) in (0..).zip(&fds) {
        // A file of each trigger on either side of the edge.
        let trigger = [
            EventFlags::ET,
            EventFlags::ET | EventFlags::ONESHOT,
            EventFlags::ONESHOT,
        ][data as usize % 3];
        m.add(fd, EventFlags::IN | trigger, data)?;
        signal(fd)?;
    }
    let result = m.wait_at(edge.place(offset), 6, Some(LONG));
    let mut seen: Vec<u64> = Vec::new();
    if fitting == 0 {
        expect_error(result, libc::EFAULT)?;
    } else {
        let count = result?;
        ensure!(count == fitting, "{count} events in the room of {fitting}");
        let events: Vec<Event> = edge.values(offset, fitting);
        seen.extend(events.iter().map(Event::data));
    }
    seen.extend(m.ready_data()?);
    seen.sort_unstable();
    ensure!(seen == [0, 1, 2, 3, 4, 5], "each once: {seen:?}");
    expect_none(&m)
}

fn efault_on_the_second_event_loses_nothing<M: Multiplexer>() -> Result<()> {
    efault_after::<M>(1)?;
    efault_after::<M>(4)
}

fn efault_on_the_first_event_loses_nothing<M: Multiplexer>() -> Result<()> {
    efault_after::<M>(0)
}

fn the_buffer_beyond_the_events_stays_untouched<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fds = eventfds(2)?;
    for fd in &fds {
        m.add(fd, EventFlags::IN, 1)?;
        signal(fd)?;
    }
    let sentinel = Event::new(EventFlags::from_bits_retain(0xdead_beef), 0xdead_beef);
    let mut buffer = [sentinel; 8];
    let count = m.wait_at(Place::of(&mut buffer), 8, Some(LONG))?;
    ensure!(count == 2);
    ensure!(
        buffer[2..].iter().all(|event| *event == sentinel),
        "{buffer:?}"
    );
    Ok(())
}
