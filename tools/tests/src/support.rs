// SPDX-License-Identifier: GPL-2.0
//! Helpers that several themes need.

use crate::settings;
use anyhow::{ensure, Context, Result};
use repoll::{Event, EventFlags};
use repoll_testkit::files::{self, signal};
use repoll_testkit::multiplexer::Multiplexer;
use repoll_testkit::skip::skip;
use repoll_testkit::threads;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::thread::{scope, sleep, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// Long enough for anything that must happen; a test that waits for it has failed.
pub const LONG: Duration = Duration::from_secs(20);
/// Long enough for another thread to get somewhere, usually. Nothing may depend on it.
pub const MOMENT: Duration = Duration::from_millis(20);

/// Waits for one event, which must have this datum, and returns what it says.
pub fn expect_one(m: &impl Multiplexer, data: u64) -> Result<EventFlags> {
    let events = m.wait(16, Some(settings::get().scaled(LONG)))?;
    let [event] = events[..] else {
        anyhow::bail!("one event is expected: {events:?}");
    };
    ensure!(
        event.data() == data,
        "the datum {data} is expected: {event:?}"
    );
    Ok(event.flags())
}

/// An instance that watches a new eventfd, with this datum.
pub fn watching_eventfd<M: Multiplexer>(events: EventFlags, data: u64) -> io::Result<(M, OwnedFd)> {
    let (m, fd) = (M::new()?, files::eventfd()?);
    m.add(&fd, events, data)?;
    Ok((m, fd))
}

/// Does `call`, and `act` in another thread when `delay` has passed.
pub fn after<T, U: Send>(
    delay: Duration,
    act: impl FnOnce() -> U + Send,
    call: impl FnOnce() -> T,
) -> T {
    scope(|threads| {
        threads.spawn(|| {
            sleep(delay);
            act()
        });
        call()
    })
}

/// Waits for the end of a thread; its panic is an error.
pub fn join<T>(thread: ScopedJoinHandle<'_, T>) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("panic"))
}

/// Asserts that nothing is ready now.
pub fn expect_none(m: &impl Multiplexer) -> Result<()> {
    let events = m.ready()?;
    ensure!(events.is_empty(), "no event is expected: {events:?}");
    Ok(())
}

/// Asserts that a call failed with this error.
pub fn expect_error<T: std::fmt::Debug>(result: io::Result<T>, errno: i32) -> Result<()> {
    let expected = io::Error::from_raw_os_error(errno);
    match result {
        Err(error) if error.raw_os_error() == Some(errno) => Ok(()),
        other => anyhow::bail!("expected: {expected}; got: {other:?}"),
    }
}

/// Waits until something is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + settings::get().scaled(LONG);
    while !is_so()? {
        ensure!(Instant::now() < deadline, "it never happens: {what}");
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Waits until a thread, or a process of one thread, sleeps in a WAIT of either side.
pub fn eventually_waits(thread: i32) -> Result<()> {
    eventually("the thread sleeps in WAIT", || {
        Ok(threads::is_in_wait(thread)?)
    })
}

/// A thread that others wait for to be asleep in WAIT.
#[derive(Default)]
pub struct Sleeper(AtomicI32);

impl Sleeper {
    /// It is the calling thread, which is about to call WAIT.
    pub fn is_this_thread(&self) {
        self.0.store(threads::this_thread(), SeqCst);
    }

    /// Waits until it sleeps there.
    pub fn eventually_waits(&self) -> Result<()> {
        eventually("the thread has begun", || Ok(self.0.load(SeqCst) != 0))?;
        eventually_waits(self.0.load(SeqCst))
    }
}

/// The datum of the eventfd that ends [`while_waiting`].
const STOP: u64 = u64::MAX;

/// Does `body` while another thread sits in WAIT; the events that it got.
pub fn while_waiting<M: Multiplexer>(
    m: &M,
    body: impl FnOnce() -> Result<()>,
) -> Result<Vec<Event>> {
    let stop = files::eventfd()?;
    m.add(&stop, EventFlags::IN, STOP)?;
    let sleeper = Sleeper::default();
    let events = scope(|threads| {
        let waiter = threads.spawn(|| -> io::Result<Vec<Event>> {
            sleeper.is_this_thread();
            let mut seen = Vec::new();
            loop {
                let events = m.wait(16, None)?;
                let end = events.iter().any(|event| event.data() == STOP);
                seen.extend(events.into_iter().filter(|event| event.data() != STOP));
                if end {
                    return Ok(seen);
                }
            }
        });
        let done = sleeper.eventually_waits().and_then(|()| body());
        sleep(MOMENT);
        signal(&stop)?;
        let events = join(waiter)?;
        done?;
        events.context("WAIT in the other thread")
    })?;
    m.delete(&stop)?;
    Ok(events)
}

/// The number of descriptors that this process has open.
pub fn open_descriptors() -> Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

/// Whether this kernel is a PREEMPT_RT one.
pub fn is_realtime() -> Result<bool> {
    let version = std::fs::read_to_string("/proc/sys/kernel/version")?;
    Ok(version.contains("PREEMPT_RT"))
}

/// Whether this is the debug kernel.
pub fn has_kasan() -> bool {
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    symbols.lines().any(|line| line.ends_with(" kasan_report"))
}

/// Skips a test that counts kernel memory where that says nothing: KASAN keeps what is freed for a
/// while.
pub fn memory_is_countable() -> Result<()> {
    if has_kasan() {
        return skip("KASAN keeps freed objects: they cannot be counted");
    }
    Ok(())
}
