// SPDX-License-Identifier: GPL-2.0
//! Asynchronous I/O: the kernel waits, copies, and reports the completion.

use crate::prelude::*;
use crate::rare_calls::has_aio;
use crate::ring::Ring;
use repoll::Source;
use repoll_testkit::files::{block, bytes_left};
use std::os::fd::BorrowedFd;

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "Asynchronous I/O: io_uring",
        text: "The program submits a whole read, with its buffer, and goes on. The kernel waits \
               for the data through its own entry in the file's wait queue, copies them, and puts \
               a completion into a ring that it shares with the program. A readiness event says \
               that the file can be read, a completion says that it has been read. All models \
               before this one are synchronous: the program's own call makes the copy.",
        sample: Some("asynchronous"),
        claims: vec![
            Claim {
                text: "Linux has no asynchronous I/O",
                expected: Verdict::Fails,
                because: "AIO came in 2002 (2.5) and serves files that are opened with O_DIRECT; \
                          io_uring came in 2019 (5.1).",
                source: "fs/aio.c, io_setup(); io_uring/io_uring.c, io_uring_setup()",
                experiment: there_is_some,
            },
            Claim {
                text: "with asynchronous I/O the kernel waits and copies, and then reports",
                expected: Verdict::Holds,
                because: "",
                source: "io_uring/poll.c, io_arm_poll_handler(); io_uring/rw.c",
                experiment: waits_and_copies,
            },
            Claim {
                text: "a completion loop makes one call for each message, a readiness loop two: \
                       wait and read",
                expected: Verdict::Holds,
                because: "After a readiness event the data must still be read.",
                source: "io_uring/io_uring.c, io_uring_enter(); fs/eventpoll.c, epoll_wait()",
                experiment: calls_of_loops,
            },
        ],
    }
}

fn there_is_some() -> Result<Finding> {
    let (aio, ring) = (has_aio(), Ring::new().is_ok());
    let seen =
        format!("io_setup(2) makes a context: {aio}; io_uring_setup(2) makes a ring: {ring}");
    Finding::of(Side::Kernel, Verdict::holds(!aio && !ring), seen)
}

/// A file to read from and a file to write to.
enum Files {
    Pipe(OwnedFd, OwnedFd),
    Source(Source),
}

impl Files {
    fn new(code: Code) -> Result<Self> {
        Ok(match code {
            Code::Kernel => {
                let (reader, writer) = pipe()?;
                // io_uring does not wait for a file in non-blocking mode.
                block(&reader, true)?;
                Self::Pipe(reader, writer)
            }
            Code::Repoll => Self::Source(Source::open()?),
        })
    }

    fn ends(&self) -> (BorrowedFd<'_>, BorrowedFd<'_>) {
        match self {
            Self::Pipe(reader, writer) => (reader.as_fd(), writer.as_fd()),
            Self::Source(source) => (source.as_fd(), source.as_fd()),
        }
    }
}

fn waits_and_copies() -> Result<Finding> {
    let experiment = || {
        Finding::of_files(|code| {
            let files = Files::new(code)?;
            let (reader, writer) = files.ends();
            let mut ring = Ring::new()?;
            ring.read(reader)?;
            let early = ring.completions();
            write(writer, b"data")?;
            let data = ring.finish()?;
            let left = bytes_left(reader)?;
            let seen = format!(
                "a read of an empty {}: {early} completions before the data; with the completion \
                 {:?} is in the buffer, and {left} bytes are left in the file",
                match code {
                    Code::Kernel => "pipe",
                    Code::Repoll => "source",
                },
                String::from_utf8_lossy(&data)
            );
            let holds = early == 0 && data == b"data" && left == 0;
            Ok((Verdict::holds(holds), seen))
        })
    };
    let (finding, trace) = record_story(experiment)?;
    Ok(finding.with(trace))
}

fn calls_of_loops() -> Result<Finding> {
    const MESSAGES: usize = 20;
    Finding::of_calls(|side| {
        let files = Files::new(side.files())?;
        let (reader, writer) = files.ends();
        let mut ring = Ring::new()?;
        let before = ring.calls;
        for _ in 0..MESSAGES {
            // The message is there already, so that neither loop submits and waits in two calls.
            write(writer, b"data")?;
            ensure!(ring.read_now(reader)? == b"data");
        }
        let completions = ring.calls - before;

        let m = Multiplexer::new(side)?;
        m.add(&reader, EventFlags::IN)?;
        let mut calls = 0;
        for _ in 0..MESSAGES {
            write(writer, b"data")?;
            calls += 1;
            ensure!(m.wait(FOR_EVER)? == 1);
            ensure!(bytes_left(reader)? == 4, "the event has taken the data");
            calls += 1;
            ensure!(read(reader, &mut [0; 64])? == 4);
        }
        let seen = format!(
            "{MESSAGES} messages: {completions} calls with completions, {calls} with readiness"
        );
        let holds = completions == MESSAGES && calls == 2 * MESSAGES;
        Ok((Verdict::holds(holds), seen))
    })
}
