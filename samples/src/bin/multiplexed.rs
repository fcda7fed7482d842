// SPDX-License-Identifier: MIT OR Apache-2.0
//! Multiplexed I/O, the fourth of five models: one call waits for many files, and says which are ready.
//! Here four such calls wait for the same source, one after the other.
//!
//! In the trace: `repoll_source_poll`, and `repoll_source_wake` with `pollers=1`.

use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::select::{select, FdSet};
use repoll::{Event, Events, Instance, Source};
use std::error::Error;
use std::io::Read;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
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
    instance.add(&source, Events::IN, 1)?;
    arm(&source)?;
    let mut buffer = [Event::default(); 4];
    let ready = instance.wait(&mut buffer, None)?;
    println!("repoll: {} ready, {:?}", ready.len(), ready[0].events());
    drain(&source)
}

/// A message in a moment, from an interrupt.
fn arm(source: &Source) -> Result<(), Box<dyn Error>> {
    Ok(source.start_timer(Duration::from_millis(50), NonZeroU64::new(1))?)
}

/// Reads it: with select, poll and level-triggered epoll a file is ready until that is done.
fn drain(mut source: &Source) -> Result<(), Box<dyn Error>> {
    Ok(source.read_exact(&mut [0; 8])?)
}
