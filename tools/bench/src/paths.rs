// SPDX-License-Identifier: GPL-2.0
//! The paths, each measured on one side.

use crate::call::{pipe, Call};
use crate::clock::Clock;
use crate::memory;
use crate::multiplexer::{Set, Side};
use anyhow::{ensure, Result};
use libc::{EPOLLET, EPOLLIN, EPOLL_CTL_DEL, EPOLL_CTL_MOD};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// How many calls go into a block that has no number of its own.
const CALLS: u32 = 50;
/// How many files are written to, or added, in a block.
const FEW: usize = 16;

/// Eventfds at zero.
pub struct Files(Vec<OwnedFd>);

impl Files {
    /// Makes `count`.
    pub fn new(count: usize) -> io::Result<Self> {
        (0..count)
            .map(|_| Call::eventfd().descriptor())
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// The descriptors of the first `count`.
    pub fn some(&self, count: usize) -> impl Iterator<Item = RawFd> + '_ {
        self.0.iter().take(count).map(AsRawFd::as_raw_fd)
    }
}

fn make_all(calls: &[Call]) {
    for call in calls {
        call.make();
    }
}

fn check_all(calls: &[Call]) -> io::Result<()> {
    calls.iter().try_for_each(|call| call.check().map(drop))
}

fn watch(set: &Set, fds: impl Iterator<Item = RawFd>, bits: i32) -> io::Result<()> {
    fds.into_iter()
        .try_for_each(|fd| set.add(fd, bits).check().map(drop))
}

/// The same call, over and over.
pub fn repeat(clock: &Clock, call: Call) -> f64 {
    clock.each(CALLS, || {
        call.make();
    })
}

/// Making an instance and closing it.
pub fn create_and_close(clock: &Clock, side: &Side) -> Result<f64> {
    let make = side.create();
    drop(make.descriptor()?);
    Ok(clock.each(CALLS, || {
        Call::close(make.make() as RawFd).make();
    }))
}

/// Making many eventfds, and closing them all: so that the addresses of many files count.
pub fn eventfds_and_close(clock: &Clock) -> Result<f64> {
    const COUNT: u32 = 128;
    let make = Call::eventfd();
    drop(make.descriptor()?);
    let mut fds = [0; COUNT as usize];
    Ok(clock.each(1, || {
        for fd in &mut fds {
            *fd = make.make() as RawFd;
        }
        for fd in fds {
            Call::close(fd).make();
        }
    }) / f64::from(COUNT))
}

/// WAIT without waiting, of a set with `watched` files, of which the first `ready` are.
pub fn wait_ready(clock: &Clock, side: &Side, watched: usize, ready: usize) -> Result<f64> {
    let files = Files::new(watched)?;
    let set = side.instance()?;
    watch(&set, files.some(watched), EPOLLIN)?;
    files
        .some(ready)
        .try_for_each(|fd| Call::write(fd).check().map(drop))?;
    let wait = set.wait(ready.max(8), true);
    ensure!(wait.check()? == ready as i64, "not what is ready");
    Ok(repeat(clock, wait))
}

/// WAIT of a set in which `ready` files have had an event each, edge-triggered.
pub fn wait_edges(clock: &Clock, side: &Side, ready: usize) -> Result<f64> {
    let files = Files::new(ready)?;
    let set = side.instance()?;
    watch(&set, files.some(ready), EPOLLIN | EPOLLET)?;
    let writes: Vec<_> = files.some(ready).map(Call::write).collect();
    let wait = set.wait(ready, true);
    check_all(&writes)?;
    ensure!(wait.check()? == ready as i64, "not all are ready");
    ensure!(wait.check()? == 0, "an edge was told twice");
    Ok(clock.least(1, |clock| {
        make_all(&writes);
        clock.time(|| {
            wait.make();
        })
    }))
}

/// What a write finds, when it wakes the file's wait queue.
#[derive(Clone, Copy, PartialEq)]
pub enum Watching {
    /// Nobody.
    None,
    /// An item that is in the ready queue already.
    Queued,
    /// An item that it puts there.
    Idle,
}

/// Writing to an eventfd.
pub fn write(clock: &Clock, side: &Side, watching: Watching) -> Result<f64> {
    let files = Files::new(FEW)?;
    let set = side.instance()?;
    match watching {
        Watching::None => (),
        Watching::Queued => watch(&set, files.some(FEW), EPOLLIN)?,
        Watching::Idle => watch(&set, files.some(FEW), EPOLLIN | EPOLLET)?,
    }
    let writes: Vec<_> = files.some(FEW).map(Call::write).collect();
    let wait = set.wait(FEW, true);
    check_all(&writes)?;
    let expected = if watching == Watching::None {
        0
    } else {
        FEW as i64
    };
    ensure!(wait.check()? == expected, "not what was written to");
    Ok(clock.least(FEW as u32, |clock| {
        if watching == Watching::Idle {
            wait.make();
        }
        clock.time(|| make_all(&writes))
    }))
}

/// ADD and DEL of a few files, of a set that watches `watched` others of `files`.
pub fn add_and_delete(
    clock: &Clock,
    side: &Side,
    files: &Files,
    watched: usize,
) -> Result<[f64; 2]> {
    let set = side.instance()?;
    // The few are from among the others, as their addresses are.
    let total = watched + FEW;
    let step = total / FEW;
    let is_few = |&(index, _): &(usize, RawFd)| index % step == 0 && index / step < FEW;
    let all: Vec<_> = files.some(total).enumerate().collect();
    let (few, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_few);
    ensure!(few.len() == FEW && others.len() == watched, "too few files");
    watch(&set, others.into_iter().map(|(_, fd)| fd), EPOLLIN)?;
    let adds: Vec<_> = few.iter().map(|&(_, fd)| set.add(fd, EPOLLIN)).collect();
    let deletes: Vec<_> = few
        .iter()
        .map(|&(_, fd)| set.control(EPOLL_CTL_DEL, fd, 0))
        .collect();
    check_all(&adds)?;
    check_all(&deletes)?;
    let mut delete = f64::MAX;
    let add = clock.least(FEW as u32, |clock| {
        let add = clock.time(|| make_all(&adds));
        let took = clock.time(|| make_all(&deletes));
        delete = delete.min(took as f64 / FEW as f64);
        add
    });
    Ok([add, delete])
}

/// MOD of a few files that are not ready.
pub fn modify(clock: &Clock, side: &Side) -> Result<f64> {
    let files = Files::new(FEW)?;
    let set = side.instance()?;
    watch(&set, files.some(FEW), EPOLLIN)?;
    let calls: Vec<_> = files
        .some(FEW)
        .map(|fd| set.control(EPOLL_CTL_MOD, fd, EPOLLIN))
        .collect();
    check_all(&calls)?;
    Ok(clock.least(FEW as u32, |clock| clock.time(|| make_all(&calls))))
}

/// WAIT with one ready file, of a set that watches `watched` of `files`.
pub fn wait_among(clock: &Clock, side: &Side, files: &Files, watched: usize) -> Result<f64> {
    let ready = files.some(watched).nth(watched / 2).unwrap_or(-1);
    let set = side.instance()?;
    watch(&set, files.some(watched), EPOLLIN)?;
    Call::write(ready).check()?;
    let wait = set.wait(8, true);
    ensure!(wait.check()? == 1, "not one is ready");
    let result = repeat(clock, wait);
    Call::read(ready).check()?;
    Ok(result)
}

/// What the kernel allocates for each of `count` watches.
pub fn memory_of_watch(side: &Side, files: &Files, count: usize) -> Result<f64> {
    let set = side.instance()?;
    let before = memory::allocated()?;
    watch(&set, files.some(count), EPOLLIN)?;
    let bytes = memory::allocated()?.saturating_sub(before);
    Ok(bytes as f64 / count as f64)
}

/// What creating and closing an eventfd costs while `watched` others are watched.
pub fn eventfds_among(clock: &Clock, side: &Side, files: &Files, watched: usize) -> Result<f64> {
    let set = side.instance()?;
    watch(&set, files.some(watched), EPOLLIN)?;
    eventfds_and_close(clock)
}

/// One of two who pass a token through pipes, each asleep until it comes.
struct Player {
    _set: Set,
    wait: Call,
    read: Call,
    write: Call,
}

impl Player {
    fn new(side: &Side, from: &OwnedFd, to: &OwnedFd) -> io::Result<Self> {
        let set = side.instance()?;
        set.add(from.as_raw_fd(), EPOLLIN).check()?;
        Ok(Self {
            wait: set.wait(8, false),
            read: Call::read(from.as_raw_fd()),
            write: Call::write(to.as_raw_fd()),
            _set: set,
        })
    }

    fn receive(&self) {
        self.wait.make();
        self.read.make();
    }
}

/// A token's way there and back.
pub fn round_trip(clock: &Clock, side: &Side) -> Result<f64> {
    const ROUNDS: u32 = 20;
    let (here, to_here) = pipe()?;
    let (there, to_there) = pipe()?;
    let first = Player::new(side, &here, &to_there)?;
    let second = Player::new(side, &there, &to_here)?;
    let over = AtomicBool::new(false);
    Ok(thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                second.receive();
                second.write.make();
            }
        });
        let result = clock.each(ROUNDS, || {
            first.write.make();
            first.receive();
        });
        over.store(true, Relaxed);
        first.write.make();
        result
    }))
}
