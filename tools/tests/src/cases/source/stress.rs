// SPDX-License-Identifier: GPL-2.0
//! The event source under load: many readers and writers, killed and interrupted, and nothing is
//! lost, doubled or left behind.

use crate::cases::source::device::{open, poll_now, read_messages};
use crate::module::{load, references, unload, unload_when_unused, Reload};
use crate::prelude::*;
use repoll::Source;
use repoll_testkit::memory::Place;
use repoll_testkit::processes::fork;
use repoll_testkit::stall::StallingPage;
use rustix::io::ReadWriteFlags;
use std::io::{Read, Write};

pub fn tests() -> Vec<Test> {
    repoll_only!("source_stress" within 300:
        every_message_is_read_once,
        faulting_readers_lose_nothing,
        a_stalled_reader_holds_nobody_up,
        a_stalled_writer_holds_nobody_up,
        the_killed_leave_nothing_behind,
        the_module_stays_while_one_is_open,
    )
}

const WRITERS: u32 = 4;

/// A message: who wrote it, which of his it is, and a length and content that follow from these.
fn message(writer: u32, number: u32) -> Vec<u8> {
    let length = 12 + (writer.wrapping_mul(7).wrapping_add(number) % 50) as usize;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(writer.to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.resize(length - 4, (number ^ writer) as u8);
    let sum: u32 = bytes.iter().fold(17, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
    });
    bytes.extend(sum.to_ne_bytes());
    bytes
}

/// The messages that one reader has read.
#[derive(Default)]
struct Seen {
    /// The numbers of each writer, in order.
    numbers: [Vec<u32>; WRITERS as usize],
    ended: bool,
}

impl Seen {
    /// Takes a message in; one of no writer is the end.
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes == b"end" {
            self.ended = true;
            return Ok(());
        }
        let word = |at: usize| -> Result<u32> {
            let word = bytes.get(at..at + 4).context("a short message")?;
            Ok(u32::from_ne_bytes(word.try_into()?))
        };
        let (writer, number) = (word(0)?, word(4)?);
        ensure!(
            bytes == message(writer, number),
            "a changed message: {bytes:x?}"
        );
        let numbers = self.numbers.get_mut(writer as usize).context("writer")?;
        ensure!(
            numbers.last().is_none_or(|last| *last < number),
            "{number} of writer {writer} after {:?}",
            numbers.last()
        );
        numbers.push(number);
        Ok(())
    }
}

/// Reads by sleeping.
fn sleeping_reader(mut source: &Source) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut buffer = [0; 100];
    while !seen.ended {
        let length = source.read(&mut buffer)?;
        seen.take(&buffer[..length])?;
    }
    Ok(seen)
}

/// Reads after poll(2) reports input: one message each time, or all that there are.
fn watching_reader<M: Multiplexer>(source: &Source, edge: bool) -> Result<Seen> {
    let m = M::new()?;
    let flags = if edge {
        EventFlags::ET
    } else {
        EventFlags::empty()
    };
    m.add(source, EventFlags::IN | flags, 1)?;
    let mut seen = Seen::default();
    let mut buffer = [0; 100];
    while !seen.ended {
        m.wait(1, None)?;
        loop {
            match files::read_with(source, &mut buffer, ReadWriteFlags::NOWAIT) {
                Ok(length) => seen.take(&buffer[..length])?,
                Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => break,
                Err(error) => return Err(error.into()),
            }
            if seen.ended || !edge {
                break;
            }
        }
    }
    Ok(seen)
}

/// All of everybody's numbers are there, once each.
fn check_all(all: Vec<Seen>, each: u32) -> Result<()> {
    for writer in 0..WRITERS as usize {
        let mut numbers: Vec<u32> = all
            .iter()
            .flat_map(|seen| seen.numbers[writer].iter().copied())
            .collect();
        numbers.sort_unstable();
        let right =
            numbers.len() == each as usize && numbers.iter().zip(0..each).all(|(a, b)| *a == b);
        ensure!(
            right,
            "of {each} messages of writer {writer}, {} came",
            numbers.len()
        );
    }
    Ok(())
}

fn every_message_is_read_once() -> Result<()> {
    let each = settings::get().loops(25_000) as u32;
    let source = Source::open()?;
    // A queue that is full and empty again and again.
    source.set_up(16, 64, false)?;
    let readers: [fn(&Source) -> Result<Seen>; 5] = [
        sleeping_reader,
        sleeping_reader,
        |s| watching_reader::<Epoll>(s, false),
        |s| watching_reader::<Repoll>(s, false),
        |s| watching_reader::<Repoll>(s, true),
    ];
    let all = scope(|threads| {
        let source = &source;
        let readers = readers.map(|reader| threads.spawn(move || reader(source)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                threads.spawn(move || -> Result<()> {
                    for number in 0..each {
                        let bytes = message(writer, number);
                        ensure!((&mut &*source).write(&bytes)? == bytes.len());
                    }
                    Ok(())
                })
            })
            .collect();
        for writer in writers {
            join(writer)??;
        }
        for _ in &readers {
            (&mut &*source).write_all(b"end")?;
        }
        let seen = readers.into_iter().map(|reader| join(reader)?);
        seen.collect::<Result<Vec<_>>>()
    })?;
    check_all(all, each)?;
    let status = source.status()?;
    let total = u64::from(WRITERS * each) + readers.len() as u64;
    ensure!(
        status.arrived == total && status.read == total,
        "{status:?}"
    );
    // Every buffer is back.
    source.set_up(1, 16, false)?;
    Ok(())
}

/// Readers whose memory is not there compete with one that is well: each message comes to that one.
fn faulting_readers_lose_nothing() -> Result<()> {
    let each = settings::get().loops(3_000) as u32;
    let source = Source::open()?;
    source.set_up(8, 64, false)?;
    let all = scope(|threads| {
        let source = &source;
        let bad: Vec<_> = (0..2)
            .map(|_| {
                threads.spawn(move || -> Result<u32> {
                    let mut faults = 0;
                    loop {
                        let nowhere = Place::nowhere(16);
                        expect_error(files::read_to(source, nowhere, 100), libc::EFAULT)?;
                        faults += 1;
                        if source.status()?.read >= u64::from(WRITERS * each) {
                            return Ok(faults);
                        }
                    }
                })
            })
            .collect();
        let well = threads.spawn(move || -> Result<Vec<Vec<u8>>> {
            let mut messages = Vec::new();
            let mut buffer = [0; 100];
            while messages.len() < (WRITERS * each) as usize {
                let length = (&mut &*source).read(&mut buffer)?;
                messages.push(buffer[..length].to_vec());
            }
            Ok(messages)
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                threads.spawn(move || -> Result<()> {
                    for number in 0..each {
                        (&mut &*source).write_all(&message(writer, number))?;
                    }
                    Ok(())
                })
            })
            .collect();
        for writer in writers {
            join(writer)??;
        }
        let messages = join(well)??;
        // One more each, for them to fail at.
        (&mut &*source).write_all(b"end")?;
        let mut faults = 0;
        for bad in bad {
            faults += join(bad)??;
        }
        ensure!(faults > 2, "{faults} faults");
        anyhow::Ok(messages)
    })?;
    // Two that fail at once may swap their messages, so the order is not checked.
    let mut expected: Vec<_> = (0..WRITERS)
        .flat_map(|writer| (0..each).map(move |number| message(writer, number)))
        .collect();
    let mut all = all;
    all.sort_unstable();
    expected.sort_unstable();
    ensure!(
        all == expected,
        "{} of {} messages",
        all.len(),
        expected.len()
    );
    ensure!((&mut &source).read(&mut [0; 100])? == 3);
    source.set_up(1, 16, false)?;
    Ok(())
}

/// A reader that waits for its memory has the message; all others go on without it.
fn a_stalled_reader_holds_nobody_up() -> Result<()> {
    let mut source = open()?;
    source.set_up(3, 64, false)?;
    for message in [b"first", b"later"] {
        source.write_all(message)?;
    }
    let page = StallingPage::new()?;
    let stalled = scope(|threads| {
        let reader = threads.spawn(|| files::read_to(&source, page.place(), 64));
        let others = || -> Result<()> {
            page.wait_for_touch(LONG)?;
            ensure!(source.status()?.queued == 1);
            ensure!(read_messages(&source)? == [b"later"]);
            // The message that it holds can neither be read nor overwritten.
            ensure!(poll_now(&source)? & libc::POLLIN == 0);
            expect_error(source.set_up(3, 64, false), libc::EBUSY)?;
            (&mut &source).write_all(b"a")?;
            (&mut &source).write_all(b"b")?;
            expect_error((&mut &source).write(b"c"), libc::EAGAIN)?;
            ensure!(read_messages(&source)?.len() == 2);
            Ok(())
        };
        let result = others();
        page.let_go()?;
        let read = join(reader)?;
        result?;
        Ok::<_, anyhow::Error>(read?)
    })?;
    ensure!(stalled == 5, "{stalled}");
    source.set_up(3, 64, false)?;
    Ok(())
}

/// A writer that waits for its memory has room; messages of others pass it.
fn a_stalled_writer_holds_nobody_up() -> Result<()> {
    let source = open()?;
    source.set_up(2, 64, false)?;
    let page = StallingPage::new()?;
    scope(|threads| {
        let writer = threads.spawn(|| files::write_from(&source, page.address(), 7));
        let others = || -> Result<()> {
            page.wait_for_touch(LONG)?;
            ensure!(source.status()?.queued == 0);
            (&mut &source).write_all(b"passes")?;
            expect_error((&mut &source).write(b"no room"), libc::EAGAIN)?;
            ensure!(poll_now(&source)? & libc::POLLOUT == 0);
            ensure!(read_messages(&source)? == [b"passes"]);
            Ok(())
        };
        let result = others();
        page.let_go()?;
        let written = join(writer)?;
        result?;
        ensure!(written? == 7);
        anyhow::Ok(())
    })?;
    ensure!(read_messages(&source)? == [[0; 7]]);
    Ok(())
}

/// Readers and writers of all kinds, killed at any moment. Then every buffer is free or has a
/// message.
fn the_killed_leave_nothing_behind() -> Result<()> {
    let source = Source::open()?;
    source.set_up(4, 64, false)?;
    let deadline = Instant::now() + settings::get().stress();
    let mut random = 1u32;
    let mut rounds = 0;
    while Instant::now() < deadline {
        let mut children = Vec::new();
        for kind in 0..6 {
            children.push(fork::<()>(|| loop {
                let mut buffer = [0; 100];
                let _ = match kind {
                    0 | 1 => (&mut &source).read(&mut buffer).map(drop),
                    2 | 3 => (&mut &source).write(&buffer[..40]).map(drop),
                    4 => files::poll(&source, libc::POLLIN, MOMENT).map(drop),
                    _ => files::read_with(&source, &mut buffer, ReadWriteFlags::NOWAIT).map(drop),
                };
            })?);
        }
        for child in children {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            sleep(Duration::from_micros(u64::from(random >> 16) % 3000));
            child.kill_and_wait()?;
        }
        // A process that was killed may take a moment to let go; the file is ours, so nothing
        // waits.
        source.set_nonblocking(true)?;
        read_messages(&source)?;
        source
            .set_up(4, 64, false)
            .with_context(|| format!("round {rounds}: a buffer is missing"))?;
        let status = source.status()?;
        ensure!(status.arrived == status.read, "{status:?}");
        source.set_nonblocking(false)?;
        rounds += 1;
    }
    ensure!(rounds > 0, "no round");
    Ok(())
}

fn the_module_stays_while_one_is_open() -> Result<()> {
    let _reload = Reload::later()?;
    for _ in 0..10 {
        let source = open()?;
        source.start_timer(Duration::from_nanos(1), None)?;
        source.attach("lo", 0x88b5)?;
        source.signal_this_process(libc::SIGURG)?;
        ensure!(references() > 0, "it is not in use");
        expect_error(unload(), libc::EWOULDBLOCK)?;
        let m = Epoll::new()?;
        m.add(&source, EventFlags::IN, 1)?;
        drop(source);
        unload_when_unused()?;
        load()?;
    }
    let mut source = open()?;
    source.write_all(b"as ever")?;
    ensure!(read_messages(&source)? == [b"as ever"]);
    Ok(())
}
