// SPDX-License-Identifier: GPL-2.0
//! The module goes while tasks are at each stage of a call.
//!
//! With the module of `REPOLL_WIDEN=1` a task stays at the first and last instructions of each
//! call, so that it is there when the module goes.

use super::setup::instance_of;
use crate::module::{self, Reload};
use crate::prelude::*;
use repoll::{Policy, Takeover, TakeoverCalls};
use repoll_testkit::scanner::{Kernel, Poll, Scanner, Select};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};

pub fn tests() -> Vec<Test> {
    let tests = repoll_only!("takeover":
        the_module_goes_while_tasks_are_at_each_stage_of_a_call,
    );
    tests.into_iter().map(|test| test.within(300)).collect()
}

fn the_module_goes_while_tasks_are_at_each_stage_of_a_call() -> Result<()> {
    let _reload = Reload::later()?;
    for _ in 0..settings::get().loops(2) {
        poll_returns_last()?;
        module::load()?;
        round()?;
        module::load()?;
    }
    Ok(())
}

/// No instance is open, so all functions are put back while the task still sleeps in its call.
fn poll_returns_last() -> Result<()> {
    let woken = files::eventfd()?;
    let takeover = Takeover::open()?;
    takeover.set(Policy::All(TakeoverCalls::POLL))?;
    let sleeper = AtomicI32::new(0);
    scope(|threads| {
        let waiter = threads.spawn(|| asleep(&sleeper, || found(&Poll(Kernel), &woken)));
        let off = eventually_sleeps(&sleeper).and_then(|()| Ok(takeover.set(Policy::Off)?));
        drop(takeover);
        signal(&woken)?;
        let gone = off.and_then(|()| unload_at_once());
        join(waiter)??;
        gone
    })
}

fn round() -> Result<()> {
    let old = instance_of(Side::Kernel)?;
    let (woken, late) = (files::eventfd()?, files::eventfd()?);
    old.add(&late, EventFlags::IN, 1)?;
    let takeover = Takeover::open()?;
    takeover.set(Policy::All(TakeoverCalls::all()))?;
    let ours = instance_of(Side::Repoll)?;
    ours.add(&woken, EventFlags::IN, 2)?;

    let over = AtomicBool::new(false);
    let sleepers: [AtomicI32; 4] = Default::default();
    let [of_ours, of_poll, of_select, of_c] = &sleepers;
    scope(|threads| {
        let (old, woken, over) = (&old, &woken, &over);
        let waiters = [
            threads.spawn(|| asleep(of_ours, move || expect_one(&ours, 2).map(drop))),
            threads.spawn(|| asleep(of_poll, || found(&Poll(Kernel), woken))),
            threads.spawn(|| asleep(of_select, || found(&Select(Kernel), woken))),
            threads.spawn(|| asleep(of_c, || expect_one(old, 1).map(drop))),
            threads.spawn(|| until(over, enter_and_return)),
            threads.spawn(|| until(over, enter_and_return)),
        ];
        let gone = sleepers
            .iter()
            .try_for_each(eventually_sleeps)
            .and_then(|()| Ok(takeover.set(Policy::Off)?));
        drop(takeover);
        // Those that are served leave now. None is served when the module can be unloaded.
        let woken = signal(woken);
        let gone = gone.and_then(|()| unload_at_once());
        over.store(true, SeqCst);
        signal(&late)?;
        for waiter in waiters {
            join(waiter)??;
        }
        woken?;
        gone
    })
}

/// Makes a call that sleeps, and says by which thread.
fn asleep(thread: &AtomicI32, call: impl FnOnce() -> Result<()>) -> Result<()> {
    thread.store(threads::this_thread(), SeqCst);
    call()
}

fn eventually_sleeps(thread: &AtomicI32) -> Result<()> {
    eventually("the thread sleeps", || {
        let thread = thread.load(SeqCst);
        Ok(thread != 0 && threads::is_asleep(thread)?)
    })
}

fn found(scanner: &impl Scanner, fd: &OwnedFd) -> Result<()> {
    let fd = [fd.as_raw_fd()];
    ensure!(scanner.readable(&fd, None)? == fd);
    Ok(())
}

fn until(over: &AtomicBool, work: fn() -> Result<()>) -> Result<()> {
    while !over.load(SeqCst) {
        work()?;
    }
    Ok(())
}

/// Calls that never sleep.
fn enter_and_return() -> Result<()> {
    let fd = files::eventfd()?;
    signal(&fd)?;
    let m = Epoll::of_any_side()?;
    m.add(&fd, EventFlags::IN, 3)?;
    expect_one(&m, 3)?;
    drop(m);
    found(&Poll(Kernel), &fd)?;
    found(&Select(Kernel), &fd)
}

/// Unloads the module in the moment in which nobody uses it any more.
fn unload_at_once() -> Result<()> {
    eventually("the module can be unloaded", || match module::unload() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        result => Ok(result.map(|()| true)?),
    })
}
