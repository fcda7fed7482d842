// SPDX-License-Identifier: MIT OR Apache-2.0
//! Multiplexed I/O, the fourth of five models: one call waits for many files, and reports which are
//! ready. Here four such calls wait for the same source, one after the other.
//!
//! In the trace: `repoll_source_poll`, and `repoll_source_wake` with `pollers=1`.

use anyhow::Result;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::select::{select, FdSet};
use repoll::{EventFlags, Events, Instance, Source};
use std::io::Read;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::time::Duration;

fn main() -> Result<()> {
    let source = Source::open()?;

    arm(&source)?;
    let mut readable = FdSet::new();
    readable.insert(source.as_fd());
    println!(
        "select: {} ready",
        select(None, &mut readable, None, None, None)?
    );
    drain(&source)?;

    arm(&source)?;
    let mut fds = [PollFd::new(source.as_fd(), PollFlags::POLLIN)];
    let count = poll(&mut fds, PollTimeout::NONE)?;
    println!("poll:   {count} ready, {:?}", fds[0].revents());
    drain(&source)?;

    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&source, EpollEvent::new(EpollFlags::EPOLLIN, 1))?;
    arm(&source)?;
    let mut events = [EpollEvent::empty(); 4];
    let count = epoll.wait(&mut events, EpollTimeout::NONE)?;
    println!("epoll:  {count} ready, {:?}", events[0].events());
    drain(&source)?;

    let instance = Instance::open()?;
    instance.add(&source, EventFlags::IN, 1)?;
    arm(&source)?;
    let mut events = Events::with_capacity(4);
    let count = instance.wait(&mut events, None)?;
    println!("repoll: {count} ready, {:?}", events[0].flags());
    drain(&source)
}

/// Makes the timer add one message in 50 ms, from an interrupt.
fn arm(source: &Source) -> Result<()> {
    Ok(source.start_timer(Duration::from_millis(50), NonZeroU64::new(1))?)
}

/// Reads the message: select, poll and level-triggered epoll report the file until that is done.
fn drain(mut source: &Source) -> Result<()> {
    Ok(source.read_exact(&mut [0; 8])?)
}
