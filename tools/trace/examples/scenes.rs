// SPDX-License-Identifier: GPL-2.0
//! Runs one scene after another for the recording that the page's tests step through.
//!
//! `repoll-trace record -o scenes.dat -- scenes`, run in a guest, made `tests/fixtures/scenes.dat`.

use repoll::{
    CreateFlags, EventFlags, Events, FdSet, Instance, PollFd, PollFlags, SelectSets, Source,
};
use std::error::Error;
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::os::unix::net::UnixDatagram;
use std::thread::{sleep, spawn};
use std::time::Duration;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// Long enough for the other threads to sleep; the tests fail on a recording in which they did not.
const MOMENT: Duration = Duration::from_millis(60);

fn main() -> Outcome {
    triggers()?;
    nested()?;
    exclusive()?;
    scans()?;
    many()?;
    source()
}

/// Waits until `count` events have come.
fn take(instance: &Instance, count: usize, read: impl Fn(u64)) -> Outcome {
    let mut events = Events::with_capacity(8);
    let mut seen = 0;
    while seen < count {
        instance.wait(&mut events, None)?;
        for event in &events {
            read(event.data());
            seen += 1;
        }
    }
    Ok(())
}

/// Level-triggered, edge-triggered and ONESHOT items.
fn triggers() -> Outcome {
    let pairs = pairs(3)?;
    let instance = Instance::open()?;
    let oneshot = EventFlags::IN | EventFlags::ONESHOT;
    for (number, events) in (0..).zip([EventFlags::IN, EventFlags::IN | EventFlags::ET, oneshot]) {
        instance.add(&pairs[number as usize].0, events, number)?;
    }
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            take(&instance, 4, |number| {
                // No other thread reads the socket, so a message is there.
                let _ = pairs[number as usize].0.recv(&mut [0; 8]);
            })
        });
        for (_, far) in &pairs {
            sleep(MOMENT);
            far.send(b"message")?;
        }
        sleep(MOMENT);
        // The callback drops this event, since the item is disarmed; MOD finds it by polling.
        pairs[2].1.send(b"again")?;
        instance.modify(&pairs[2].0, oneshot, 2)?;
        waiter.join().map_err(|_| "the waiter panicked")?
    })
}

/// An instance watches an instance.
fn nested() -> Outcome {
    let (near, far) = UnixDatagram::pair()?;
    let outer = Instance::open()?;
    let inner = outer.create(CreateFlags::empty())?;
    inner.add(&near, EventFlags::IN, 1)?;
    outer.add(&inner, EventFlags::IN, 2)?;
    let waiter = spawn(move || -> Outcome {
        take(&outer, 1, |_| {})?;
        take(&inner, 1, |_| {})?;
        near.recv(&mut [0; 8])?;
        Ok(())
    });
    sleep(MOMENT);
    far.send(b"message")?;
    waiter.join().map_err(|_| "the waiter panicked")?
}

/// Two instances watch one file by EXCLUSIVE: each event calls one of them.
fn exclusive() -> Outcome {
    let (near, far) = UnixDatagram::pair()?;
    let mut waiters = Vec::new();
    for _ in 0..2 {
        let instance = Instance::open()?;
        let mine = near.try_clone()?;
        instance.add(&mine, EventFlags::IN | EventFlags::EXCLUSIVE, 1)?;
        waiters.push(spawn(move || -> Outcome {
            take(&instance, 1, |_| {})?;
            mine.recv(&mut [0; 8])?;
            Ok(())
        }));
        sleep(MOMENT);
    }
    for _ in 0..2 {
        far.send(b"message")?;
        sleep(MOMENT);
    }
    waiters.into_iter().try_for_each(|waiter| {
        waiter
            .join()
            .map_err(|_| "a waiter panicked".into())
            .and_then(|outcome| outcome)
    })
}

/// POLL and SELECT, woken once each: they enter all wait queues and poll all files again.
fn scans() -> Outcome {
    let device = Instance::open()?;
    let pairs = pairs(12)?;
    let mut fds: Vec<_> = pairs
        .iter()
        .map(|(near, _)| PollFd::new(near, PollFlags::IN))
        .collect();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| -> Outcome {
            device.poll(&mut fds, None)?;
            pairs[7].0.recv(&mut [0; 8])?;
            let mut readable = FdSet::new();
            for (near, _) in &pairs {
                readable.insert(near);
            }
            let sets = SelectSets {
                read: Some(&mut readable),
                ..Default::default()
            };
            device.select(sets, None)?;
            pairs[2].0.recv(&mut [0; 8])?;
            Ok(())
        });
        for number in [7, 2] {
            sleep(MOMENT);
            pairs[number].1.send(b"message")?;
        }
        waiter.join().map_err(|_| "the waiter panicked")?
    })
}

/// A hundred files in an instance, then in a POLL; one of them becomes ready.
fn many() -> Outcome {
    let device = Instance::open()?;
    let pairs = pairs(100)?;
    for (number, (near, _)) in (0..).zip(&pairs) {
        device.add(near, EventFlags::IN, number)?;
    }
    let mut fds: Vec<_> = pairs
        .iter()
        .map(|(near, _)| PollFd::new(near, PollFlags::IN))
        .collect();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| -> Outcome {
            take(&device, 1, |number| {
                let _ = pairs[number as usize].0.recv(&mut [0; 8]);
            })?;
            device.poll(&mut fds, None)?;
            Ok(())
        });
        for _ in 0..2 {
            sleep(MOMENT);
            pairs[77].1.send(b"message")?;
        }
        waiter.join().map_err(|_| "the waiter panicked")?
    })
}

/// The event source: a sleeping reader, a timer, a full queue.
fn source() -> Outcome {
    let mut source = Source::open()?;
    source.set_up(4, 64, false)?;
    let mut reader = source.try_clone()?;
    let waiter = spawn(move || reader.read(&mut [0; 64]));
    sleep(MOMENT);
    source.write_all(b"message")?;
    waiter.join().map_err(|_| "the reader panicked")??;

    let instance = Instance::open()?;
    instance.add(&source, EventFlags::IN | EventFlags::ET, 1)?;
    source.start_timer(Duration::from_millis(1), NonZeroU64::new(6))?;
    take(&instance, 1, |_| {})?;
    sleep(MOMENT);
    for _ in 0..4 {
        source.read_exact(&mut [0; 8])?;
    }
    Ok(())
}

fn pairs(count: usize) -> Result<Vec<(UnixDatagram, UnixDatagram)>, std::io::Error> {
    (0..count).map(|_| UnixDatagram::pair()).collect()
}
