// SPDX-License-Identifier: GPL-2.0
//! Signal-driven I/O: a signal when a file is ready.

use crate::prelude::*;
use crate::rare_calls::send_sigio;
use repoll::Source;
use repoll_testkit::files::bytes_left;
use repoll_testkit::signals::{next_signal, signalfd};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "Signal-driven I/O",
        text: "The program makes itself the owner of a file (F_SETOWN) and asks for signals \
               (O_ASYNC). When the file becomes ready the kernel sends SIGIO, besides waking the \
               wait queue. No thread waits, but the signal only says that the file is ready. The \
               read is the program's own call, and a signal that is already pending is not queued \
               again: one signal can stand for many arrivals.",
        sample: Some("signal-driven"),
        claims: vec![
            Claim {
                text: "SIGIO says that a file is ready; the read is the program's",
                expected: Verdict::Holds,
                because: "",
                source: "fs/fcntl.c, kill_fasync(); rust/kernel_ext/fasync.rs",
                experiment: sigio,
            },
            Claim {
                text: "each arrival has a signal of its own",
                expected: Verdict::Fails,
                because: "SIGIO is not queued: the handler must read until EAGAIN. (Real-time \
                          signals are queued: F_SETSIG.)",
                source: "kernel/signal.c, legacy_queue()",
                experiment: a_signal_each,
            },
        ],
    }
}

/// A file to read from and a file to write to.
enum Files {
    Sockets(UnixStream, UnixStream),
    Source(Source),
}

impl Files {
    fn new(code: Code) -> Result<Self> {
        let files = match code {
            Code::Kernel => {
                let (reader, writer) = UnixStream::pair()?;
                reader.set_nonblocking(true)?;
                Self::Sockets(reader, writer)
            }
            Code::Repoll => Self::Source(Source::open_nonblocking()?),
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

/// Takes the pending signals, and counts them.
fn signals_of(signals: &OwnedFd) -> usize {
    let came = |_: &i32| matches!(next_signal(signals), Ok(Some(_)));
    (0..10).take_while(came).count()
}

fn sigio() -> Result<Finding> {
    let experiment = || {
        let signals = signalfd(libc::SIGIO)?;
        Finding::of_files(|code| {
            let files = Files::new(code)?;
            let early = signals_of(&signals);
            write(files.writer(), b"x")?;
            let came = signals_of(&signals);
            let left = bytes_left(files.reader())?;
            let taken = read(files.reader(), &mut [0; 8])?;
            let seen = format!(
                "{early} signals before the data, {came} after; then {left} byte can be read, and \
                 the program reads {taken}"
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
        Finding::of_files(|code| {
            let files = Files::new(code)?;
            for _ in 0..ARRIVALS {
                write(files.writer(), b"x")?;
            }
            let came = signals_of(&signals);
            let seen = format!("{ARRIVALS} arrivals, {came} signal");
            Ok((Verdict::holds(came == ARRIVALS), seen))
        })
    };
    // The signals go to the calling thread, which must be a new one.
    std::thread::scope(|threads| {
        let thread = crate::threads::start(threads, "program", experiment)?;
        thread.end()
    })
}
