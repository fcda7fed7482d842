// SPDX-License-Identifier: GPL-2.0
//! A signal when a file is ready.

use crate::claim::{Claim, Finding, Mechanism, Verdict};
use crate::rare_calls::send_sigio;
use crate::recording::record_story;
use anyhow::Result;
use repoll::Source;
use repoll_testkit::files::{bytes_left, read, write};
use repoll_testkit::side::Side;
use repoll_testkit::signals::{next_signal, signalfd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "Signal-driven I/O",
        text: "The program names itself the owner of a file (F_SETOWN), and asks for signals (O_ASYNC). When the file \
               becomes ready the kernel sends SIGIO, beside calling the wait queue. So nobody waits; but \
               the signal only says that something has come. The read is the program's own call, and a signal \
               that is pending already is not counted: one may stand for many.",
        sample: Some("signal-driven"),
        claims: vec![
            Claim {
                text: "SIGIO tells that a file is ready; the read is the caller's",
                expected: Verdict::Holds,
                because: "",
                source: "fs/fcntl.c, kill_fasync(); rust/kernel_ext/fasync.rs",
                experiment: sigio,
            },
            Claim {
                text: "each arrival has a signal of its own",
                expected: Verdict::Fails,
                because: "SIGIO is not queued: the handler must read until EAGAIN. (Real-time signals are, F_SETSIG.)",
                source: "kernel/signal.c, legacy_queue()",
                experiment: a_signal_each,
            },
        ],
    }
}

/// A file to read from, one to write to, and what must stay open for them.
enum Files {
    Sockets(UnixStream, UnixStream),
    Source(Source),
}

impl Files {
    fn new(side: Side) -> Result<Self> {
        let files = match side {
            Side::Kernel => {
                let (reader, writer) = UnixStream::pair()?;
                reader.set_nonblocking(true)?;
                Self::Sockets(reader, writer)
            }
            Side::Repoll => Self::Source(Source::open_nonblocking()?),
        };
        send_sigio(files.reader())?;
        Ok(files)
    }

    fn reader(&self) -> BorrowedFd<'_> {
        match self {
            Self::Sockets(reader, _) => reader.as_fd(),
            Self::Source(source) => source.as_fd(),
        }
    }

    fn writer(&self) -> BorrowedFd<'_> {
        match self {
            Self::Sockets(_, writer) => writer.as_fd(),
            Self::Source(source) => source.as_fd(),
        }
    }
}

/// How many signals there are to take.
fn signals_of(signals: &OwnedFd) -> usize {
    let came = |_: &i32| matches!(next_signal(signals), Ok(Some(_)));
    (0..10).take_while(came).count()
}

fn sigio() -> Result<Finding> {
    let experiment = || {
        let signals = signalfd(libc::SIGIO)?;
        Finding::both(|side| {
            let files = Files::new(side)?;
            let early = signals_of(&signals);
            write(files.writer(), b"x")?;
            let came = signals_of(&signals);
            let left = bytes_left(files.reader())?;
            let taken = read(files.reader(), &mut [0; 8])?;
            let seen = format!(
                "{early} signals before the data, {came} after; then there is {left} byte to read, and the program reads {taken}"
            );
            let holds = (early, came, left, taken) == (0, 1, 1, 1);
            Ok((Verdict::holds(holds), seen))
        })
    };
    let (finding, trace) = record_story(experiment)?;
    Ok(finding.with(trace))
}

fn a_signal_each() -> Result<Finding> {
    const ARRIVALS: usize = 3;
    let experiment = || {
        let signals = signalfd(libc::SIGIO)?;
        Finding::both(|side| {
            let files = Files::new(side)?;
            for _ in 0..ARRIVALS {
                write(files.writer(), b"x")?;
            }
            let came = signals_of(&signals);
            let seen = format!("{ARRIVALS} arrivals, {came} signal");
            Ok((Verdict::holds(came == ARRIVALS), seen))
        })
    };
    // In a thread of its own, whose signals they are.
    std::thread::scope(|threads| {
        let thread = crate::threads::start(threads, "program", experiment)?;
        thread.end()
    })
}
