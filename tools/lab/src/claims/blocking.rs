// SPDX-License-Identifier: GPL-2.0
//! Blocking and non-blocking reads.

use crate::prelude::*;
use crate::rare_calls::sleeps;
use repoll::Source;
use repoll_testkit::files;
use repoll_trace::record::Trace;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "Blocking read",
        text: "The process finds nothing to read. It makes a wait entry, which holds the process \
               and a function, puts it into the wait queue of the file, and gives up the CPU. When \
               data arrive, the kernel walks the wait queue and calls the function, which makes \
               the process runnable. Later the process runs, removes its entry, checks the file \
               again, and copies the data. It waits for one file only, so a server needs a process \
               for each connection.",
        sample: Some("blocking"),
        claims: vec![
            Claim {
                text: "a blocking read costs two context switches for each arrival: away and back",
                expected: Verdict::OnlyIf("the reader is faster than the data"),
                because: "If data are there when it checks, a read does not sleep at all.",
                source: "kernel/sched/core.c, schedule(); net/unix/af_unix.c, \
                         unix_stream_data_wait()",
                experiment: switches,
            },
            Claim {
                text: "a blocking read waits twice: for the data, and while they are copied",
                expected: Verdict::OnlyIf("copying counts as waiting"),
                because: "The first is a sleep; during the copy the process runs.",
                source: "net/unix/af_unix.c, unix_stream_read_generic()",
                experiment: stages,
            },
            Claim {
                text: "a process in a blocking read can wait for one file only: one process per \
                       connection",
                expected: Verdict::Holds,
                because: "Its only wait entry is in the wait queue of that file.",
                source: "rust/source/queue.rs; net/unix/af_unix.c, unix_stream_data_wait()",
                experiment: one_file,
            },
            Claim {
                text: "the wait entry's function is default_wake_function",
                expected: Verdict::Fails,
                because:
                    "Most entries remove themselves when they wake (autoremove_wake_function) \
                          or set a flag (woken_wake_function); both call default_wake_function.",
                source: "kernel/sched/wait.c:403, :459; kernel/sched/core.c, \
                         default_wake_function()",
                experiment: || Finding::read(Verdict::Fails),
            },
        ],
    }
}

pub fn without_blocking() -> Mechanism {
    Mechanism {
        name: "Non-blocking read",
        text: "With O_NONBLOCK a call that would have to wait fails at once with EAGAIN. Nobody \
               sleeps, and nobody is notified when data arrive: the program must try again, and \
               each early try is a wasted system call. It pays if data are there nearly always, or \
               together with a call that reports readiness: select, poll or epoll.",
        sample: Some("non-blocking"),
        claims: vec![
            Claim {
                text: "a non-blocking read returns EAGAIN at once",
                expected: Verdict::Holds,
                because: "It checks the file and does not sleep.",
                source: "fs/pipe.c, anon_pipe_read(); rust/source/queue.rs",
                experiment: again,
            },
            Claim {
                text: "a program that reads without blocking must poll in a loop, with wasted \
                       calls",
                expected: Verdict::Holds,
                because: "A blocking read makes one call for each message, however late the \
                          message.",
                source: "rust/source/queue.rs",
                experiment: polling_loop,
            },
        ],
    }
}

/// A file that one thread reads and another writes, of the kernel's own or of repoll's.
enum Pair {
    Sockets(UnixStream, UnixStream),
    Source(Source),
}

impl Pair {
    fn new(code: Code) -> io::Result<Self> {
        match code {
            Code::Kernel => UnixStream::pair().map(|(a, b)| Self::Sockets(a, b)),
            Code::Repoll => Ok(Self::Source(Source::open()?)),
        }
    }

    fn read(&self) -> io::Result<usize> {
        match self {
            Self::Sockets(reader, _) => files::read(reader, &mut [0]),
            Self::Source(source) => files::read(source, &mut [0; 8]),
        }
    }

    fn write(&self) -> io::Result<usize> {
        match self {
            Self::Sockets(_, writer) => files::write(writer, b"x"),
            Self::Source(source) => files::write(source, b"x"),
        }
    }
}

const COUNT: i64 = 20;

/// The sleeps of a reader that must wait for each message, or that finds all of them.
fn sleeps_of_reader(code: Code, must_wait: bool) -> Result<i64> {
    let pair = Pair::new(code)?;
    if !must_wait {
        for _ in 0..COUNT {
            pair.write()?;
        }
    }
    let done = AtomicUsize::new(0);
    scope(|threads| {
        let reader = start(threads, "reader", || {
            let before = sleeps()?;
            for _ in 0..COUNT {
                pair.read()?;
                done.fetch_add(1, Ordering::SeqCst);
            }
            Ok(sleeps()? - before)
        })?;
        if must_wait {
            for number in 0..COUNT as usize {
                while done.load(Ordering::SeqCst) < number {
                    std::thread::yield_now();
                }
                reader.until_asleep()?;
                pair.write()?;
            }
        }
        reader.end()
    })
}

fn switches() -> Result<Finding> {
    let finding = Finding::of_files(|code| {
        let waited = sleeps_of_reader(code, true)?;
        let found = sleeps_of_reader(code, false)?;
        let seen = format!(
            "{COUNT} reads of {} slept {waited} times when they came before the data, {found} \
             times when they came after",
            match code {
                Code::Kernel => "a socket",
                Code::Repoll => "/dev/repoll-source",
            }
        );
        let verdict = Verdict::only_if(
            "the reader is faster than the data",
            waited >= COUNT,
            found >= COUNT,
        );
        Ok((verdict, seen))
    })?;
    let ((), trace) = record_story(|| one_arrival(Code::Repoll))?;
    Ok(finding.with(trace))
}

/// One blocking read that sleeps and is woken.
fn one_arrival(code: Code) -> Result<()> {
    let pair = Pair::new(code)?;
    scope(|threads| {
        let reader = start(threads, "reader", || Ok(pair.read()?))?;
        reader.until_asleep()?;
        pair.write()?;
        ensure!(reader.end()? == 1);
        Ok(())
    })
}

fn stages() -> Result<Finding> {
    Finding::of_files(|code| {
        let pair = Pair::new(code)?;
        pair.write()?;
        let (slept, read) = scope(|threads| {
            let reader = start(threads, "reader", || {
                let before = sleeps()?;
                let read = pair.read()?;
                Ok((sleeps()? - before, read))
            })?;
            reader.end()
        })?;
        let waits = sleeps_of_reader(code, true)? >= COUNT;
        let seen = format!(
            "without data it sleeps: {waits}; with data it copied {read} byte and slept {slept} \
             times"
        );
        let verdict = Verdict::only_if("copying counts as waiting", waits && read == 1, slept > 0);
        Ok((verdict, seen))
    })
}

fn one_file() -> Result<Finding> {
    Finding::of_files(|code| {
        let (one, other) = (Pair::new(code)?, Pair::new(code)?);
        let experiment = || {
            scope(|threads| {
                let reader = start(threads, "reader", || Ok(one.read()?))?;
                reader.until_asleep()?;
                let tid = reader.tid;
                other.write()?;
                // When the write returns, its wake-ups are done.
                let slept_on = reader.is_asleep();
                one.write()?;
                reader.end()?;
                Ok((tid, slept_on))
            })
        };
        let ((tid, slept_on), trace) = record_story(experiment)?;
        let wakings = wakings(&trace, tid);
        let seen = format!(
            "data on another file: it sleeps on: {slept_on}; it became runnable {wakings} time in \
             all, through its own file"
        );
        Ok((Verdict::holds(slept_on && wakings == 1), seen))
    })
}

/// Counts the wake-ups of a thread during its last read.
fn wakings(trace: &Trace, tid: i32) -> usize {
    let mut asleep = false;
    let mut wakings = 0;
    for record in &trace.records {
        let number = |field| record.number(field).unwrap_or(0);
        if record.is("sys_enter_read") && record.pid == tid {
            asleep = true;
            wakings = 0;
        } else if record.is("sched_waking") && number("pid") == i64::from(tid) && asleep {
            wakings += 1;
        }
    }
    wakings
}

fn again() -> Result<Finding> {
    Finding::of_files(|code| {
        let before = sleeps()?;
        let result = match code {
            Code::Kernel => {
                let (reader, _writer) = pipe()?;
                read(&reader, &mut [0])
            }
            Code::Repoll => read(&Source::open_nonblocking()?, &mut [0; 8]),
        };
        let slept = sleeps()? - before;
        let again = matches!(&result, Err(error) if error.kind() == ErrorKind::WouldBlock);
        let said = result.map_or_else(|error| error.to_string(), |count| format!("{count} bytes"));
        let seen = format!(
            "an empty {}: {said}; it slept {slept} times",
            match code {
                Code::Kernel => "pipe",
                Code::Repoll => "source",
            }
        );
        Ok((Verdict::holds(again && slept == 0), seen))
    })
}

fn polling_loop() -> Result<Finding> {
    const TRIES: usize = 20;
    // The message arrives after this many tries.
    let looping = |code| -> Result<(usize, i64)> {
        let (reader, writer) = pipe()?;
        let source = Source::open_nonblocking()?;
        let before = sleeps()?;
        let mut calls = 0;
        loop {
            calls += 1;
            let result = match code {
                Code::Kernel => read(&reader, &mut [0]),
                Code::Repoll => read(&source, &mut [0; 8]),
            };
            match result {
                Ok(_) => return Ok((calls, sleeps()? - before)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if calls == TRIES {
                match code {
                    Code::Kernel => write(&writer, b"x")?,
                    Code::Repoll => write(&source, b"x")?,
                };
            }
        }
    };
    let experiment = || {
        Finding::of_files(|code| {
            let (calls, slept) = looping(code)?;
            let seen = format!(
                "one late message: {calls} calls, {} of them wasted, {slept} sleeps",
                calls - 1
            );
            Ok((Verdict::holds(calls > 2 && slept == 0), seen))
        })
    };
    let (finding, trace) = record_story(experiment)?;
    Ok(finding.with(trace))
}
