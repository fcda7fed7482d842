// SPDX-License-Identifier: GPL-2.0
//! Instances that watch instances of the same make.

use crate::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

pub fn tests() -> Vec<Test> {
    both!("nesting":
        an_outer_instance_sees_what_is_ready_in_the_inner_one,
        an_outer_wait_is_woken,
        a_chain_passes_an_event_all_the_way_up,
        an_outer_edge_is_reported_once_per_change,
        an_outer_oneshot_is_reported_once,
        a_file_in_both_is_reported_in_both,
        a_cycle_is_eloop,
        a_chain_that_is_too_long_is_eloop,
        a_chain_is_not_made_too_long_at_its_lower_end,
        too_many_ways_upwards_are_einval,
        the_close_of_the_inner_ends_the_watch,
        the_close_of_the_outer_leaves_the_inner,
        the_close_of_the_file_is_seen_by_the_outer,
        opposite_adds_at_the_same_time_make_no_cycle,
        events_while_the_topology_changes,
    )
}

/// Instances, each of which watches the one before it. The data are 100 and up.
fn chain<M: Multiplexer>(length: usize) -> Result<Vec<M>> {
    let mut instances: Vec<M> = Vec::new();
    for at in 0..length {
        let m = M::new()?;
        if let Some(below) = instances.last() {
            m.add(below, EventFlags::IN, 100 + at as u64)?;
        }
        instances.push(m);
    }
    Ok(instances)
}

fn an_outer_instance_sees_what_is_ready_in_the_inner_one<M: Multiplexer>() -> Result<()> {
    let [inner, outer] = [M::new()?, M::new()?];
    let fd = files::eventfd()?;
    outer.add(&inner, EventFlags::IN, 2)?;
    inner.add(&fd, EventFlags::IN, 1)?;
    expect_none(&outer)?;
    signal(&fd)?;
    ensure!(expect_one(&outer, 2)? == EventFlags::IN);
    expect_one(&outer, 2)?;
    expect_one(&inner, 1)?;
    expect_one(&outer, 2)?;
    read_all(&fd)?;
    expect_none(&outer)?;
    expect_none(&inner)?;
    // Events that are ready when the inner one is added are seen too.
    outer.delete(&inner)?;
    signal(&fd)?;
    expect_none(&outer)?;
    outer.add(&inner, EventFlags::IN, 3)?;
    expect_one(&outer, 3).map(drop)
}

fn an_outer_wait_is_woken<M: Multiplexer>() -> Result<()> {
    let instances = chain::<M>(2)?;
    let fd = files::eventfd()?;
    instances[0].add(&fd, EventFlags::IN, 1)?;
    let events = after(3 * MOMENT, || signal(&fd), || instances[1].wait(4, None))?;
    ensure!(events.len() == 1 && events[0].data() == 101, "{events:?}");
    Ok(())
}

fn a_chain_passes_an_event_all_the_way_up<M: Multiplexer>() -> Result<()> {
    let instances = chain::<M>(5)?;
    let fd = files::eventfd()?;
    instances[0].add(&fd, EventFlags::IN, 1)?;
    for _ in 0..3 {
        let events = after(MOMENT, || signal(&fd), || instances[4].wait(4, None))?;
        ensure!(events.len() == 1 && events[0].data() == 104, "{events:?}");
        for (at, m) in (101..).zip(&instances[1..]) {
            expect_one(m, at)?;
        }
        expect_one(&instances[0], 1)?;
        read_all(&fd)?;
        for m in &instances {
            expect_none(m)?;
        }
    }
    Ok(())
}

fn an_outer_edge_is_reported_once_per_change<M: Multiplexer>() -> Result<()> {
    let [inner, outer] = [M::new()?, M::new()?];
    let fd = files::eventfd()?;
    outer.add(&inner, EventFlags::IN | EventFlags::ET, 2)?;
    inner.add(&fd, EventFlags::IN | EventFlags::ET, 1)?;
    for _ in 0..3 {
        signal(&fd)?;
        expect_one(&outer, 2)?;
        expect_none(&outer)?;
        expect_one(&inner, 1)?;
        expect_none(&inner)?;
        expect_none(&outer)?;
    }
    Ok(())
}

fn an_outer_oneshot_is_reported_once<M: Multiplexer>() -> Result<()> {
    let [inner, outer] = [M::new()?, M::new()?];
    let fd = files::eventfd()?;
    outer.add(&inner, EventFlags::IN | EventFlags::ONESHOT, 2)?;
    inner.add(&fd, EventFlags::IN, 1)?;
    signal(&fd)?;
    expect_one(&outer, 2)?;
    signal(&fd)?;
    expect_none(&outer)?;
    outer.modify(&inner, EventFlags::IN | EventFlags::ONESHOT, 3)?;
    expect_one(&outer, 3)?;
    expect_none(&outer)
}

fn a_file_in_both_is_reported_in_both<M: Multiplexer>() -> Result<()> {
    let [inner, outer] = [M::new()?, M::new()?];
    let fd = files::eventfd()?;
    inner.add(&fd, EventFlags::IN, 1)?;
    outer.add(&fd, EventFlags::IN, 2)?;
    outer.add(&inner, EventFlags::IN, 3)?;
    signal(&fd)?;
    let mut data = outer.ready_data()?;
    data.sort_unstable();
    ensure!(data == [2, 3], "{data:?}");
    expect_one(&inner, 1).map(drop)
}

fn a_cycle_is_eloop<M: Multiplexer>() -> Result<()> {
    for length in 2..=4 {
        let instances = chain::<M>(length)?;
        let (first, last) = (&instances[0], &instances[length - 1]);
        expect_error(first.add(last, EventFlags::IN, 1), libc::ELOOP)?;
        let copy = last.duplicate()?;
        expect_error(first.add(&copy, EventFlags::IN, 1), libc::ELOOP)?;
        // All is as before.
        let fd = files::eventfd()?;
        first.add(&fd, EventFlags::IN, 1)?;
        signal(&fd)?;
        expect_one(last, 99 + length as u64)?;
    }
    Ok(())
}

fn a_chain_that_is_too_long_is_eloop<M: Multiplexer>() -> Result<()> {
    let instances = chain::<M>(5)?;
    let above = M::new()?;
    expect_error(above.add(&instances[4], EventFlags::IN, 1), libc::ELOOP)?;
    above.add(&instances[3], EventFlags::IN, 1)?;
    Ok(())
}

fn a_chain_is_not_made_too_long_at_its_lower_end<M: Multiplexer>() -> Result<()> {
    let upper = chain::<M>(3)?;
    let lower = chain::<M>(3)?;
    expect_error(upper[0].add(&lower[2], EventFlags::IN, 1), libc::ELOOP)?;
    upper[0].add(&lower[1], EventFlags::IN, 1)?;
    Ok(())
}

/// An event would have to go all of them with interrupts off.
fn too_many_ways_upwards_are_einval<M: Multiplexer>() -> Result<()> {
    let inner = M::new()?;
    let (fd, other) = (files::eventfd()?, files::eventfd()?);
    let mut outers = Vec::new();
    for data in 0..500 {
        let outer = M::new()?;
        outer.add(&inner, EventFlags::IN, data)?;
        outers.push(outer);
    }
    inner.add(&fd, EventFlags::IN, 1)?;
    let one_more = M::new()?;
    expect_error(one_more.add(&inner, EventFlags::IN, 1), libc::EINVAL)?;
    inner.delete(&fd)?;
    one_more.add(&inner, EventFlags::IN, 1)?;
    expect_error(inner.add(&other, EventFlags::IN, 1), libc::EINVAL)?;
    drop(one_more);
    inner.add(&other, EventFlags::IN, 1)?;
    signal(&other)?;
    for (data, outer) in (0..).zip(&outers) {
        expect_one(outer, data)?;
    }
    Ok(())
}

fn the_close_of_the_inner_ends_the_watch<M: Multiplexer>() -> Result<()> {
    let [inner, outer] = [M::new()?, M::new()?];
    let fd = files::eventfd()?;
    inner.add(&fd, EventFlags::IN, 1)?;
    outer.add(&inner, EventFlags::IN, 2)?;
    signal(&fd)?;
    expect_one(&outer, 2)?;
    drop(inner);
    expect_none(&outer)?;
    signal(&fd)?;
    expect_none(&outer)
}

fn the_close_of_the_outer_leaves_the_inner<M: Multiplexer>() -> Result<()> {
    let [inner, outer] = [M::new()?, M::new()?];
    let fd = files::eventfd()?;
    inner.add(&fd, EventFlags::IN, 1)?;
    outer.add(&inner, EventFlags::IN, 2)?;
    drop(outer);
    signal(&fd)?;
    expect_one(&inner, 1).map(drop)
}

fn the_close_of_the_file_is_seen_by_the_outer<M: Multiplexer>() -> Result<()> {
    let instances = chain::<M>(3)?;
    let fd = files::eventfd()?;
    instances[0].add(&fd, EventFlags::IN, 1)?;
    signal(&fd)?;
    expect_one(&instances[2], 102)?;
    drop(fd);
    for m in instances.iter().rev() {
        expect_none(m)?;
    }
    Ok(())
}

fn opposite_adds_at_the_same_time_make_no_cycle<M: Multiplexer>() -> Result<()> {
    let fd = files::eventfd()?;
    for _ in 0..settings::get().loops(200) {
        let [a, b] = [M::new()?, M::new()?];
        a.add(&fd, EventFlags::IN, 1)?;
        let (one, other) = scope(|threads| {
            let one = threads.spawn(|| a.add(&b, EventFlags::IN, 2).is_ok());
            let other = b.add(&a, EventFlags::IN, 3).is_ok();
            (one.join().unwrap_or(false), other)
        });
        ensure!(one != other, "both or none: {one}");
        signal(&fd)?;
        read_all(&fd)?;
    }
    Ok(())
}

fn events_while_the_topology_changes<M: Multiplexer>() -> Result<()> {
    let fds = repoll_testkit::files::eventfds(4)?;
    let instances = (0..4).map(|_| M::new()).collect::<Result<Vec<M>, _>>()?;
    for (m, fd) in instances.iter().zip(&fds) {
        m.add(fd, EventFlags::IN, 1)?;
    }
    let over = AtomicBool::new(false);
    let body = |step: usize, action: &(dyn Fn(usize) + Sync)| {
        let mut round = 0;
        while !over.load(SeqCst) {
            action(round);
            round += step;
        }
    };
    let at = |round: usize| &instances[round % 4];
    scope(|threads| {
        threads.spawn(|| body(1, &|n| drop(signal(&fds[n % 4]))));
        threads.spawn(|| {
            body(1, &|n| {
                drop(at(n).add(at(n / 4), EventFlags::IN | EventFlags::ET, 2))
            })
        });
        threads.spawn(|| body(3, &|n| drop(at(n).delete(at(n / 4)))));
        threads.spawn(|| {
            body(1, &|n| {
                drop(at(n).wait(3, Some(Duration::from_millis(1))));
                drop(read_all(&fds[n % 4]));
            });
        });
        let end = Instant::now() + settings::get().stress() / 2;
        while Instant::now() < end {
            sleep(MOMENT);
        }
        over.store(true, SeqCst);
    });
    let fd = files::eventfd()?;
    instances[0].add(&fd, EventFlags::IN | EventFlags::ET, 77)?;
    signal(&fd)?;
    ensure!(instances[0].ready_data()?.contains(&77));
    Ok(())
}
