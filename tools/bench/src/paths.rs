// SPDX-License-Identifier: GPL-2.0
//! The measured paths, each on one side.

use crate::call::Call;
use crate::clock::Clock;
use crate::memory;
use crate::multiplexer::{Maker, Set};
use anyhow::{ensure, Result};
use libc::{EPOLL_CTL_DEL, EPOLL_CTL_MOD};
use repoll::EventFlags;
use repoll_testkit::files::{eventfds, pipe};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// The calls in a block, unless a path has another number.
const CALLS: u32 = 50;
/// The files that a block writes to, or adds.
const FEW: usize = 16;

/// Eventfds with the count 0.
pub struct Files(Vec<OwnedFd>);

impl Files {
    /// Makes `count`.
    pub fn new(count: usize) -> io::Result<Self> {
        eventfds(count).map(Self)
    }

    /// The descriptors of the first `count`.
    pub fn some(&self, count: usize) -> impl Iterator<Item = RawFd> + '_ {
        self.0.iter().take(count).map(AsRawFd::as_raw_fd)
    }
}

fn run_all(calls: &[Call]) {
    for call in calls {
        call.run();
    }
}

fn check_all(calls: &[Call]) -> io::Result<()> {
    calls.iter().try_for_each(|call| call.check().map(drop))
}

fn watch(set: &Set, fds: impl Iterator<Item = RawFd>, events: EventFlags) -> io::Result<()> {
    fds.into_iter()
        .try_for_each(|fd| set.add(fd, events).check().map(drop))
}

/// The same call, repeated.
pub fn repeat(clock: &Clock, call: Call) -> f64 {
    clock.each(CALLS, || {
        call.run();
    })
}

/// Making and closing an instance.
pub fn create_and_close(clock: &Clock, maker: &Maker) -> Result<f64> {
    let create = maker.create();
    drop(create.descriptor()?);
    Ok(clock.each(CALLS, || {
        Call::close(create.run() as RawFd).run();
    }))
}

/// Making many eventfds, then closing all: so the addresses of many files play a part.
pub fn eventfds_and_close(clock: &Clock) -> Result<f64> {
    const COUNT: u32 = 128;
    let make = Call::eventfd();
    drop(make.descriptor()?);
    let mut fds = [0; COUNT as usize];
    Ok(clock.each(1, || {
        for fd in &mut fds {
            *fd = make.run() as RawFd;
        }
        for fd in fds {
            Call::close(fd).run();
        }
    }) / f64::from(COUNT))
}

/// WAIT with a timeout of zero, of `watched` files, of which the first `ready` are ready.
pub fn wait_ready(clock: &Clock, maker: &Maker, watched: usize, ready: usize) -> Result<f64> {
    let files = Files::new(watched)?;
    let set = maker.instance()?;
    watch(&set, files.some(watched), EventFlags::IN)?;
    files
        .some(ready)
        .try_for_each(|fd| Call::write(fd).check().map(drop))?;
    let wait = set.wait(ready.max(8), true);
    ensure!(
        wait.check()? == ready as i64,
        "another number of files is ready"
    );
    Ok(repeat(clock, wait))
}

/// WAIT of `ready` edge-triggered files, each of which has had one event.
pub fn wait_edges(clock: &Clock, maker: &Maker, ready: usize) -> Result<f64> {
    let files = Files::new(ready)?;
    let set = maker.instance()?;
    watch(&set, files.some(ready), EventFlags::IN | EventFlags::ET)?;
    let writes: Vec<_> = files.some(ready).map(Call::write).collect();
    let wait = set.wait(ready, true);
    check_all(&writes)?;
    ensure!(wait.check()? == ready as i64, "not all are ready");
    ensure!(wait.check()? == 0, "an edge was reported twice");
    Ok(clock.least(1, |clock| {
        run_all(&writes);
        clock.time(|| {
            wait.run();
        })
    }))
}

/// The entry that a write finds in the file's wait queue.
#[derive(Clone, Copy, PartialEq)]
pub enum Watching {
    /// No entry.
    None,
    /// An item that is already in the ready queue.
    Queued,
    /// An item that the callback puts there.
    Idle,
}

/// A write to an eventfd.
pub fn write(clock: &Clock, maker: &Maker, watching: Watching) -> Result<f64> {
    let files = Files::new(FEW)?;
    let set = maker.instance()?;
    match watching {
        Watching::None => (),
        Watching::Queued => watch(&set, files.some(FEW), EventFlags::IN)?,
        Watching::Idle => watch(&set, files.some(FEW), EventFlags::IN | EventFlags::ET)?,
    }
    let writes: Vec<_> = files.some(FEW).map(Call::write).collect();
    let wait = set.wait(FEW, true);
    check_all(&writes)?;
    let expected = if watching == Watching::None {
        0
    } else {
        FEW as i64
    };
    ensure!(
        wait.check()? == expected,
        "another number of files was written to"
    );
    Ok(clock.least(FEW as u32, |clock| {
        if watching == Watching::Idle {
            wait.run();
        }
        clock.time(|| run_all(&writes))
    }))
}

/// ADD and DEL of a few files, to and from a set that watches `watched` others of `files`.
pub fn add_and_delete(
    clock: &Clock,
    maker: &Maker,
    files: &Files,
    watched: usize,
) -> Result<[f64; 2]> {
    let set = maker.instance()?;
    // The few are spread among the others, and so are their addresses.
    let total = watched + FEW;
    let step = total / FEW;
    let is_few = |&(index, _): &(usize, RawFd)| index % step == 0 && index / step < FEW;
    let all: Vec<_> = files.some(total).enumerate().collect();
    let (few, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_few);
    ensure!(few.len() == FEW && others.len() == watched, "too few files");
    watch(&set, others.into_iter().map(|(_, fd)| fd), EventFlags::IN)?;
    let adds: Vec<_> = few
        .iter()
        .map(|&(_, fd)| set.add(fd, EventFlags::IN))
        .collect();
    let deletes: Vec<_> = few
        .iter()
        .map(|&(_, fd)| set.control(EPOLL_CTL_DEL, fd, EventFlags::empty()))
        .collect();
    check_all(&adds)?;
    check_all(&deletes)?;
    let mut delete = f64::MAX;
    let add = clock.least(FEW as u32, |clock| {
        let add = clock.time(|| run_all(&adds));
        let took = clock.time(|| run_all(&deletes));
        delete = delete.min(took as f64 / FEW as f64);
        add
    });
    Ok([add, delete])
}

/// MOD of a few files that are not ready.
pub fn modify(clock: &Clock, maker: &Maker) -> Result<f64> {
    let files = Files::new(FEW)?;
    let set = maker.instance()?;
    watch(&set, files.some(FEW), EventFlags::IN)?;
    let calls: Vec<_> = files
        .some(FEW)
        .map(|fd| set.control(EPOLL_CTL_MOD, fd, EventFlags::IN))
        .collect();
    check_all(&calls)?;
    Ok(clock.least(FEW as u32, |clock| clock.time(|| run_all(&calls))))
}

/// WAIT for one ready file of `watched` files.
pub fn wait_among(clock: &Clock, maker: &Maker, files: &Files, watched: usize) -> Result<f64> {
    let ready = files.some(watched).nth(watched / 2).unwrap_or(-1);
    let set = maker.instance()?;
    watch(&set, files.some(watched), EventFlags::IN)?;
    Call::write(ready).check()?;
    let wait = set.wait(8, true);
    ensure!(wait.check()? == 1, "more or less than one file is ready");
    let result = repeat(clock, wait);
    Call::read(ready).check()?;
    Ok(result)
}

/// The kernel memory of each of `count` watches.
pub fn memory_of_watch(maker: &Maker, files: &Files, count: usize) -> Result<f64> {
    let set = maker.instance()?;
    let before = memory::allocated()?;
    watch(&set, files.some(count), EventFlags::IN)?;
    let bytes = memory::allocated()?.saturating_sub(before);
    Ok(bytes as f64 / count as f64)
}

/// Making and closing an eventfd while `watched` others are watched.
pub fn eventfds_among(clock: &Clock, maker: &Maker, files: &Files, watched: usize) -> Result<f64> {
    let set = maker.instance()?;
    watch(&set, files.some(watched), EventFlags::IN)?;
    eventfds_and_close(clock)
}

/// One of two threads that pass a token through pipes, each asleep until it comes.
struct Player {
    _set: Set,
    wait: Call,
    read: Call,
    write: Call,
}

impl Player {
    fn new(maker: &Maker, from: &OwnedFd, to: &OwnedFd) -> io::Result<Self> {
        let set = maker.instance()?;
        set.add(from.as_raw_fd(), EventFlags::IN).check()?;
        Ok(Self {
            wait: set.wait(8, false),
            read: Call::read(from.as_raw_fd()),
            write: Call::write(to.as_raw_fd()),
            _set: set,
        })
    }

    fn receive(&self) {
        self.wait.run();
        self.read.run();
    }
}

/// A round trip of the token.
pub fn round_trip(clock: &Clock, maker: &Maker) -> Result<f64> {
    const ROUNDS: u32 = 20;
    let (here, to_here) = pipe()?;
    let (there, to_there) = pipe()?;
    let first = Player::new(maker, &here, &to_there)?;
    let second = Player::new(maker, &there, &to_here)?;
    let over = AtomicBool::new(false);
    Ok(thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                second.receive();
                second.write.run();
            }
        });
        let result = clock.each(ROUNDS, || {
            first.write.run();
            first.receive();
        });
        over.store(true, Relaxed);
        first.write.run();
        result
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths check the results of their calls. The C epoll is on every host.
    #[test]
    fn paths_can_be_measured_on_the_c_epoll() -> Result<()> {
        let (clock, maker) = (Clock::new(), Maker::Epoll);
        let files = Files::new(100)?;
        for ready in [0, 1] {
            wait_ready(&clock, &maker, 1, ready)?;
        }
        wait_edges(&clock, &maker, 64)?;
        for watching in [Watching::None, Watching::Queued, Watching::Idle] {
            write(&clock, &maker, watching)?;
        }
        add_and_delete(&clock, &maker, &files, 50)?;
        modify(&clock, &maker)?;
        wait_among(&clock, &maker, &files, 50)?;
        eventfds_among(&clock, &maker, &files, 50)?;
        create_and_close(&clock, &maker)?;
        assert!(round_trip(&clock, &maker)? > 0.0);
        Ok(())
    }
}
