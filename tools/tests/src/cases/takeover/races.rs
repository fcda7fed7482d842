// SPDX-License-Identifier: GPL-2.0
//! Takeover that is switched while calls are made.

use super::setup::{eventually_hooked, instance_of, on};
use crate::module::{self, unload_when_unused, Reload};
use crate::prelude::*;
use repoll::{Hooks, Policy, Takeover, TakeoverCalls};
use repoll_testkit::scanner::{Kernel, Poll, Scanner, Select};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

pub fn tests() -> Vec<Test> {
    let tests = repoll_only!("takeover":
        each_answer_is_right_while_takeover_goes_on_and_off,
        the_module_goes_while_tasks_enter_its_functions,
        dup2_in_the_middle_of_a_wait_ends_on_one_of_the_two,
    );
    tests
        .into_iter()
        .map(|test| test.within(if settings::get().long { 7200 } else { 300 }))
        .collect()
}

/// Has threads do `work` again and again while `body` runs; the number of times.
fn meanwhile(work: &[fn() -> Result<()>], body: impl FnOnce() -> Result<()>) -> Result<usize> {
    let (over, times) = (AtomicBool::new(false), AtomicUsize::new(0));
    scope(|threads| {
        let (over, times) = (&over, &times);
        let workers: Vec<_> = work
            .iter()
            .map(|work| {
                threads.spawn(move || -> Result<()> {
                    while !over.load(SeqCst) {
                        work()?;
                        times.fetch_add(1, SeqCst);
                    }
                    Ok(())
                })
            })
            .collect();
        let done = body();
        over.store(true, SeqCst);
        for worker in workers {
            join(worker)??;
        }
        done
    })?;
    Ok(times.load(SeqCst))
}

/// The life of an instance of either side.
fn lives() -> Result<()> {
    let (m, fd) = (Epoll::of_any_side()?, files::eventfd()?);
    m.add(&fd, EventFlags::IN, 4)?;
    ensure!(m.ready()?.is_empty(), "an event too early");
    ensure!(m.wait(1, Some(Duration::from_micros(50)))?.is_empty());
    signal(&fd)?;
    let data = m.wait(1, None)?.first().map(|event| event.data());
    ensure!(data == Some(4), "{data:?}");
    m.modify(&fd, EventFlags::OUT, 5)?;
    ensure!(m.ready_data()? == [5]);
    m.delete(&fd)?;
    ensure!(
        m.ready()?.is_empty(),
        "an event of a file that is not watched"
    );
    Ok(())
}

fn scans() -> Result<()> {
    let fd = files::eventfd()?;
    signal(&fd)?;
    let fds = [fd.as_raw_fd()];
    ensure!(Poll(Kernel).readable(&fds, None)? == fds, "poll");
    ensure!(Select(Kernel).readable(&fds, None)? == fds, "select");
    Ok(())
}

fn each_answer_is_right_while_takeover_goes_on_and_off() -> Result<()> {
    let takeover = Takeover::open()?;
    let rounds = if settings::get().long { 1000 } else { 10 };
    meanwhile(&[lives, lives, scans], || {
        for _ in 0..rounds {
            let _on = on(TakeoverCalls::all())?;
            drop(instance_of(Side::Repoll)?);
        }
        Ok(())
    })?;
    eventually_hooked(&takeover, Hooks::empty())
}

/// All threads are in calls of the kernel's own functions, or at their beginning or end, when the
/// module goes.
fn the_module_goes_while_tasks_enter_its_functions() -> Result<()> {
    let _reload = Reload::later()?;
    // An instance that such a thread has open keeps the module loaded for a moment.
    let wait = || -> Result<()> {
        let m = Epoll::of_any_side()?;
        for _ in 0..50 {
            ensure!(m.ready()?.is_empty());
        }
        Ok(())
    };
    meanwhile(&[wait, lives, scans], || {
        for _ in 0..settings::get().loops(5) {
            let takeover = Takeover::open()?;
            takeover.set(Policy::All(TakeoverCalls::all()))?;
            drop(instance_of(Side::Repoll)?);
            takeover.set(Policy::Off)?;
            drop(takeover);
            unload_when_unused()?;
            module::load()?;
        }
        Ok(())
    })
    .map(drop)
}

/// The descriptor is looked up once by the function that decides, and once by the kernel's.
fn dup2_in_the_middle_of_a_wait_ends_on_one_of_the_two() -> Result<()> {
    let c = instance_of(Side::Kernel)?;
    let _on = on(TakeoverCalls::EPOLL)?;
    let ours = instance_of(Side::Repoll)?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    c.add(&fd, EventFlags::IN, 1)?;
    ours.add(&fd, EventFlags::IN, 2)?;
    let place = c.duplicate()?;
    let number = place.as_raw_fd();
    let over = AtomicBool::new(false);
    let mut seen = [0; 3];
    scope(|threads| {
        let switching = threads.spawn(|| -> io::Result<()> {
            while !over.load(SeqCst) {
                for m in [&ours, &c] {
                    files::dup_onto(m.duplicate()?.into_descriptor(), number)?;
                }
            }
            Ok(())
        });
        for _ in 0..settings::get().loops(20_000) {
            match place.ready_data().as_deref() {
                Ok([datum @ (1 | 2)]) => seen[*datum as usize] += 1,
                // Documented: the look found a C epoll, and the kernel then the other one.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => seen[0] += 1,
                other => anyhow::bail!("{other:?}"),
            }
        }
        over.store(true, SeqCst);
        join(switching)??;
        Ok(())
    })?;
    ensure!(
        seen[1] > 0 && seen[2] > 0,
        "only one of the two was seen: {seen:?}"
    );
    Ok(())
}
