// SPDX-License-Identifier: GPL-2.0
//! The five I/O models on the event source, as the samples show them, and in their corners.

use crate::cases::source::device::{open, read_messages, read_one};
use crate::cases::tracing::contexts::{context_of_timers, name_of, recording};
use crate::prelude::*;
use anyhow::bail;
use io_uring::{cqueue, opcode, squeue, types, IoUring};
use repoll::Source;
use repoll_testkit::signals::{next_signal, signalfd};
use repoll_trace::record::Record;
use repoll_trace::tracefs::Session;
use rustix::fs::OFlags;
use rustix::io::ReadWriteFlags;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

pub fn tests() -> Vec<Test> {
    repoll_only!("source_models":
        blocking_sleeps_and_is_woken,
        non_blocking_is_told_eagain,
        signal_driven_gets_signals,
        multiplexed_is_polled_and_woken,
        asynchronous_neither_sleeps_nor_spins,
        one_call_may_be_non_blocking,
        a_signal_tells_the_band_and_the_file,
        signals_end_with_the_flag_and_the_file,
        a_read_in_a_ring_waits_without_a_worker,
        a_write_in_a_ring_waits_without_a_worker,
        a_poll_in_a_ring_reports_each_message,
        requests_in_a_ring_share_the_messages,
        requests_in_a_ring_can_be_cancelled,
        a_ring_may_go_first,
    )
}

/// Runs a sample, and what it left in the trace.
fn sample(name: &str) -> Result<Vec<Record>> {
    let mut session = recording()?;
    let output = Command::new(name)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("the sample {name}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {said}{complained}");
    println!("{said}");
    Ok(session.stop()?.records)
}

/// Whether there is such an event, with all these fields.
fn has(trace: &[Record], event: &str, fields: &[(&str, &str)]) -> bool {
    trace.iter().any(|record| {
        let all = fields
            .iter()
            .all(|(name, value)| record.show(name) == *value);
        record.event().strip_prefix("repoll_source_") == Some(event) && all
    })
}

fn expect_trace(trace: &[Record], expected: &[(&str, &[(&str, &str)])]) -> Result<()> {
    for (event, fields) in expected {
        ensure!(
            has(trace, event, fields),
            "no {event} {fields:?} in {trace:#?}"
        );
    }
    Ok(())
}

fn blocking_sleeps_and_is_woken() -> Result<()> {
    let trace = sample("blocking")?;
    expect_trace(
        &trace,
        &[
            ("sleep", &[("writer", "reader")]),
            ("sleep", &[("writer", "writer")]),
            ("wake", &[("sleepers", "1"), ("events", "65")]),
            ("wake", &[("sleepers", "1"), ("events", "260")]),
        ],
    )
}

fn non_blocking_is_told_eagain() -> Result<()> {
    let trace = sample("non-blocking")?;
    ensure!(!has(&trace, "sleep", &[]), "it slept: {trace:#?}");
    expect_trace(
        &trace,
        &[
            ("read", &[("nonblock", "1"), ("ret", "-11")]),
            ("write", &[("nonblock", "1"), ("ret", "-11")]),
        ],
    )
}

fn signal_driven_gets_signals() -> Result<()> {
    let trace = sample("signal-driven")?;
    ensure!(!has(&trace, "sleep", &[]), "it slept: {trace:#?}");
    let context = name_of(context_of_timers()?);
    expect_trace(
        &trace,
        &[
            ("arrive", &[("kind", "timer"), ("context", context)]),
            ("wake", &[("signal", "1")]),
        ],
    )
}

fn multiplexed_is_polled_and_woken() -> Result<()> {
    let trace = sample("multiplexed")?;
    ensure!(!has(&trace, "sleep", &[]), "it slept: {trace:#?}");
    let woken = trace
        .iter()
        .filter(|r| r.event() == "repoll_source_wake" && r.number("pollers") == Some(1));
    ensure!(woken.count() == 4, "{trace:#?}");
    ensure!(
        trace.iter().any(|r| r.event() == "repoll_callback"),
        "{trace:#?}"
    );
    expect_trace(
        &trace,
        &[
            ("poll", &[("events", "260")]),
            ("poll", &[("events", "325")]),
        ],
    )
}

fn asynchronous_neither_sleeps_nor_spins() -> Result<()> {
    let trace = sample("asynchronous")?;
    ensure!(!has(&trace, "sleep", &[]), "it slept: {trace:#?}");
    expect_trace(
        &trace,
        &[
            ("read", &[("nonblock", "1"), ("ret", "-11")]),
            ("wake", &[("pollers", "1")]),
            ("read", &[("nonblock", "1"), ("ret", "9")]),
        ],
    )
}

fn one_call_may_be_non_blocking() -> Result<()> {
    let source = Source::open()?;
    source.set_up(1, 16, false)?;
    let mut buffer = [0; 16];
    expect_error(
        files::read_with(&source, &mut buffer, ReadWriteFlags::NOWAIT),
        libc::EAGAIN,
    )?;
    ensure!(files::write_with(&source, b"one", ReadWriteFlags::NOWAIT)? == 3);
    expect_error(
        files::write_with(&source, b"two", ReadWriteFlags::NOWAIT),
        libc::EAGAIN,
    )?;
    ensure!(files::read_with(&source, &mut buffer, ReadWriteFlags::NOWAIT)? == 3);
    Ok(())
}

const POLL_IN: i32 = 1;
const POLL_OUT: i32 = 2;

fn a_signal_tells_the_band_and_the_file() -> Result<()> {
    for signal in [libc::SIGRTMIN() + 3, libc::SIGIO] {
        let signals = signalfd(signal)?;
        let mut source = open()?;
        source.set_up(1, 16, false)?;
        source.signal_this_process(signal)?;
        ensure!(next_signal(&signals)?.is_none());
        for (code, band) in [
            (POLL_IN, libc::POLLIN | libc::POLLRDNORM),
            (
                POLL_OUT,
                libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND,
            ),
        ] {
            if code == POLL_IN {
                source.write_all(b"x")?;
            } else {
                read_one(&source)?;
            }
            let info = next_signal(&signals)?.context("no signal")?;
            ensure!(info.signal == signal as u32);
            ensure!(info.code == code, "{}", info.code);
            ensure!(info.fd == source.as_raw_fd(), "{}", info.fd);
            ensure!(info.band == band as u32, "0x{:x}", info.band);
            ensure!(next_signal(&signals)?.is_none(), "one too many");
        }
    }
    Ok(())
}

fn signals_end_with_the_flag_and_the_file() -> Result<()> {
    let signals = signalfd(libc::SIGIO)?;
    for _ in 0..50 {
        let source = open()?;
        source.signal_this_process(libc::SIGIO)?;
        let mut copy = source.try_clone()?;
        drop(source);
        // The copy is the same file, so it goes on.
        copy.write_all(b"x")?;
        ensure!(next_signal(&signals)?.is_some());
        rustix::fs::fcntl_setfl(&copy, OFlags::NONBLOCK)?;
        copy.write_all(b"x")?;
        ensure!(next_signal(&signals)?.is_none());
        copy.signal_this_process(libc::SIGIO)?;
        copy.start_timer(Duration::from_nanos(1), None)?;
        // Closed while it sends.
        drop(copy);
        while next_signal(&signals)?.is_some() {}
    }
    Ok(())
}

/// A ring of this process, with its requests.
struct Ring(IoUring);

impl Ring {
    fn new() -> Result<Self> {
        Ok(Self(IoUring::new(32).context("io_uring_setup")?))
    }

    /// Hands a request over.
    ///
    /// # Safety
    ///
    /// The memory that it is about stays until it has come back.
    unsafe fn push(&mut self, entry: squeue::Entry, id: u64) -> Result<()> {
        // SAFETY: by the contract of this function.
        unsafe { self.0.submission().push(&entry.user_data(id)) }?;
        self.0.submit()?;
        Ok(())
    }

    /// The next completion, which must come.
    fn next(&mut self) -> Result<cqueue::Entry> {
        let mut found = None;
        eventually("a completion", || {
            self.0.submit()?;
            found = self.0.completion().next();
            Ok(found.is_some())
        })?;
        found.context("no completion")
    }

    /// Asserts that nothing completes for a while.
    fn expect_none(&mut self) -> Result<()> {
        sleep(5 * MOMENT);
        self.0.submit()?;
        if let Some(entry) = self.0.completion().next() {
            bail!("completed: {entry:?}");
        }
        Ok(())
    }
}

/// Asserts that the kernel made no thread that sleeps in our stead.
fn expect_no_worker() -> Result<()> {
    for task in fs::read_dir("/proc/self/task")? {
        let comm = fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
        ensure!(!comm.starts_with("iou-wrk"), "there is a worker: {comm}");
    }
    Ok(())
}

/// The number of calls that found nothing.
fn calls(session: &mut Session, event: &str) -> Result<usize> {
    let records = session.read()?.records;
    Ok(records
        .iter()
        .filter(|record| record.event() == event)
        .count())
}

fn read_of(source: &Source, buffer: &mut [u8]) -> squeue::Entry {
    let fd = types::Fd(source.as_raw_fd());
    opcode::Read::new(fd, buffer.as_mut_ptr(), buffer.len() as u32).build()
}

fn write_of(source: &Source, bytes: &[u8]) -> squeue::Entry {
    let fd = types::Fd(source.as_raw_fd());
    opcode::Write::new(fd, bytes.as_ptr(), bytes.len() as u32).build()
}

fn a_read_in_a_ring_waits_without_a_worker() -> Result<()> {
    let mut source = Source::open()?;
    let mut buffer = [0; 64];
    let mut ring = Ring::new()?;
    let mut session = recording()?;
    // SAFETY: the buffer outlives the request.
    unsafe { ring.push(read_of(&source, &mut buffer), 1) }?;
    ring.expect_none()?;
    expect_no_worker()?;
    let attempts = calls(&mut session, "repoll_source_read")?;
    ensure!(
        (1..=3).contains(&attempts),
        "{attempts} attempts at nothing"
    );
    source.write_all(b"hello")?;
    let done = ring.next()?;
    ensure!(done.user_data() == 1 && done.result() == 5, "{done:?}");
    ensure!(&buffer[..5] == b"hello");
    expect_no_worker()
}

fn a_write_in_a_ring_waits_without_a_worker() -> Result<()> {
    let mut source = Source::open()?;
    source.set_up(1, 16, false)?;
    source.write_all(b"first")?;
    let mut ring = Ring::new()?;
    let mut session = recording()?;
    // SAFETY: the bytes are static.
    unsafe { ring.push(write_of(&source, b"second"), 1) }?;
    ring.expect_none()?;
    expect_no_worker()?;
    let attempts = calls(&mut session, "repoll_source_write")?;
    ensure!(
        (1..=3).contains(&attempts),
        "{attempts} attempts at nothing"
    );
    let mut buffer = [0; 16];
    ensure!(source.read(&mut buffer)? == 5);
    let done = ring.next()?;
    ensure!(done.result() == 6, "{done:?}");
    ensure!(source.read(&mut buffer)? == 6 && buffer.starts_with(b"second"));
    expect_no_worker()
}

fn a_poll_in_a_ring_reports_each_message() -> Result<()> {
    let mut source = open()?;
    let mut ring = Ring::new()?;
    let poll = opcode::PollAdd::new(types::Fd(source.as_raw_fd()), libc::POLLIN as u32)
        .multi(true)
        .build();
    // SAFETY: it is about no memory.
    unsafe { ring.push(poll, 9) }?;
    ring.expect_none()?;
    for n in 1..=5u8 {
        source.write_all(&[n])?;
        let done = ring.next()?;
        ensure!(done.user_data() == 9, "{done:?}");
        ensure!(done.result() & i32::from(libc::POLLIN) != 0, "{done:?}");
        ensure!(cqueue::more(done.flags()), "it ended: {done:?}");
        ensure!(read_messages(&source)? == [[n]]);
        ring.expect_none()?;
    }
    expect_no_worker()
}

fn requests_in_a_ring_share_the_messages() -> Result<()> {
    const COUNT: usize = 8;
    let mut source = Source::open()?;
    let mut buffers = [[0u8; 8]; COUNT];
    let mut ring = Ring::new()?;
    for (id, buffer) in buffers.iter_mut().enumerate() {
        // SAFETY: the buffers outlive the requests.
        unsafe { ring.push(read_of(&source, buffer), id as u64) }?;
    }
    ring.expect_none()?;
    for n in 0..COUNT {
        source.write_all(&[n as u8; 8])?;
    }
    for _ in 0..COUNT {
        let done = ring.next()?;
        ensure!(done.result() == 8, "{done:?}");
    }
    buffers.sort();
    let expected: Vec<_> = (0..COUNT).map(|n| [n as u8; 8]).collect();
    ensure!(buffers[..] == expected[..], "{buffers:?}");
    expect_no_worker()
}

fn requests_in_a_ring_can_be_cancelled() -> Result<()> {
    let mut source = Source::open()?;
    let mut buffer = [0; 64];
    let mut ring = Ring::new()?;
    for _ in 0..20 {
        // SAFETY: the buffer outlives the request.
        unsafe { ring.push(read_of(&source, &mut buffer), 1) }?;
        // SAFETY: it is about no memory.
        unsafe { ring.push(opcode::AsyncCancel::new(1).build(), 2) }?;
        let results = [ring.next()?, ring.next()?];
        let cancelled = results
            .iter()
            .any(|done| done.user_data() == 1 && done.result() == -libc::ECANCELED);
        ensure!(cancelled, "{results:?}");
        source.write_all(b"not for it")?;
        ring.0.submit()?;
        ensure!(source.status()?.queued == 1);
        ensure!(source.read(&mut [0; 64])? == 10);
    }
    Ok(())
}

/// The ring has the file, and the memory; the descriptor is closed first, then the ring.
fn a_ring_may_go_first() -> Result<()> {
    for _ in 0..10 {
        let source = Source::open()?;
        source.start_timer(Duration::from_secs(1000), None)?;
        let mut buffer = [0; 64];
        let mut ring = Ring::new()?;
        // SAFETY: the ring ends the request before the buffer goes.
        unsafe { ring.push(read_of(&source, &mut buffer), 1) }?;
        drop(source);
        drop(ring);
    }
    // That the files are gone is checked after each test: the module must not be in use.
    Ok(())
}
