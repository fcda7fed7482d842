// SPDX-License-Identifier: GPL-2.0
//! Who sleeps, and who is woken.

use crate::multiplexer::both;
use crate::sys::{check, eventfd, owned, pipe, read, sleeps, write};
use crate::{holds_if, only_if, Claim, Finding, Verdict};
use anyhow::{anyhow, bail, Result};
use repoll::{Events, Instance};
use repoll_trace::record::Context;
use repoll_trace::tracefs::Session;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread::{scope, sleep};
use std::time::Duration;

pub fn claims() -> Vec<Claim> {
    vec![
        Claim {
            text: "a blocking read costs two process switches for each arrival",
            expected: Verdict::OnlyIf("the reader is faster than what comes"),
            experiment: switches_of_a_read,
        },
        Claim {
            text: "a non-blocking read returns EAGAIN at once",
            expected: Verdict::Holds,
            experiment: again,
        },
        Claim {
            text:
                "with signal-driven I/O, SIGIO tells that a file is ready; the read is the caller's",
            expected: Verdict::Holds,
            experiment: sigio,
        },
        Claim {
            text: "Linux has no asynchronous I/O",
            expected: Verdict::Fails,
            experiment: asynchronous,
        },
        Claim {
            text: "one event wakes all threads that wait on one instance",
            expected: Verdict::OnlyIf("it is level-triggered, and nobody has read yet"),
            experiment: threads_of_one,
        },
        Claim {
            text: "the work of softirqs is done by ksoftirqd",
            expected: Verdict::OnlyIf("there is more of it than a softirq may do at once"),
            experiment: who_runs_softirqs,
        },
        Claim {
            text: "one event wakes a herd: all who wait for the file",
            expected: Verdict::OnlyIf("they do not ask for EXCLUSIVE"),
            experiment: herd,
        },
    ]
}

fn switches_of_a_read() -> Result<Finding> {
    const COUNT: i64 = 50;
    let mut slept = [0; 2];
    for (slept, pause) in slept
        .iter_mut()
        .zip([Duration::from_millis(2), Duration::ZERO])
    {
        let (reader, writer) = UnixStream::pair()?;
        *slept = scope(|threads| {
            let reading = threads.spawn(|| -> std::io::Result<i64> {
                // Without a pause: after all has come.
                sleep(if pause.is_zero() {
                    Duration::from_millis(50)
                } else {
                    Duration::ZERO
                });
                let before = sleeps()?;
                for _ in 0..COUNT {
                    read(&reader, &mut [0])?;
                }
                Ok(sleeps()? - before)
            });
            for _ in 0..COUNT {
                sleep(pause);
                write(&writer, b"x")?;
            }
            reading
                .join()
                .map_err(|_| anyhow!("panic"))?
                .map_err(anyhow::Error::from)
        })?;
    }
    only_if(
        "the reader is faster than what comes",
        slept[0] >= COUNT / 2 && slept[1] < COUNT / 2,
        format!(
            "{COUNT} reads slept {} times (away, and back) when each byte came alone, {} times when all were there",
            slept[0], slept[1]
        ),
    )
}

fn again() -> Result<Finding> {
    let (reader, _writer) = pipe()?;
    let result = read(&reader, &mut [0]);
    let again = matches!(&result, Err(error) if error.kind() == ErrorKind::WouldBlock);
    holds_if(again, format!("a read of an empty pipe: {result:?}"))
}

fn sigio() -> Result<Finding> {
    let (reader, writer) = UnixStream::pair()?;
    // SAFETY: the set lives through the calls; all zeroes is a valid one.
    let signals = unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGIO);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        owned(libc::signalfd(
            -1,
            &set,
            libc::SFD_NONBLOCK | libc::SFD_CLOEXEC,
        ))?
    };
    // SAFETY: no pointers.
    unsafe {
        check(libc::fcntl(
            reader.as_raw_fd(),
            libc::F_SETOWN,
            libc::getpid(),
        ))?;
        let flags = check(libc::fcntl(reader.as_raw_fd(), libc::F_GETFL))?;
        check(libc::fcntl(
            reader.as_raw_fd(),
            libc::F_SETFL,
            flags | libc::O_ASYNC,
        ))?;
    }
    let mut info = [0; size_of::<libc::signalfd_siginfo>()];
    let early = read(&signals, &mut info).is_ok();
    write(&writer, b"x")?;
    let came = read(&signals, &mut info).is_ok();
    let byte = read(&reader, &mut [0])?;
    holds_if(
        !early && came && byte == 1,
        format!("before the write a signal: {early}; after it: {came}; then the program reads {byte} byte itself"),
    )
}

fn asynchronous() -> Result<Finding> {
    let mut context = 0usize;
    // SAFETY: the context lives through the calls, and is destroyed.
    let aio = unsafe {
        let made = libc::syscall(libc::SYS_io_setup, 8, &mut context) == 0;
        if made {
            libc::syscall(libc::SYS_io_destroy, context);
        }
        made
    };
    // As the kernel's struct io_uring_params.
    let mut parameters = [0u8; 120];
    // SAFETY: there is room for the parameters; the descriptor is new.
    let ring = unsafe {
        owned(libc::syscall(libc::SYS_io_uring_setup, 8, parameters.as_mut_ptr()) as i32)
    };
    holds_if(
        !aio && ring.is_err(),
        format!("io_setup(2), of 2002, makes a context: {aio}; io_uring_setup(2), of 2019, makes a ring: {}", ring.is_ok()),
    )
}

/// How many of several instances, each with a waiter, one event wakes.
fn woken(kind: usize, events: Events) -> Result<usize> {
    const WAITERS: usize = 4;
    let fd = eventfd(0)?;
    let (_, first) = both()?
        .into_iter()
        .nth(kind)
        .ok_or_else(|| anyhow!("there are two"))?;
    let instances: Vec<_> = (0..WAITERS)
        .map(|_| first.another())
        .collect::<Result<_, _>>()?;
    for m in &instances {
        m.add(&fd, events)?;
    }
    scope(|threads| {
        let waiters: Vec<_> = instances
            .iter()
            .map(|m| threads.spawn(|| m.wait(1000)))
            .collect();
        sleep(Duration::from_millis(200));
        write(&fd, &1u64.to_ne_bytes())?;
        sleep(Duration::from_millis(100));
        // Whoever is woken by its time-out finds nothing.
        read(&fd, &mut [0; 8])?;
        let mut woken = 0;
        for waiter in waiters {
            woken += waiter.join().map_err(|_| anyhow!("panic"))??;
        }
        Ok(woken)
    })
}

/// How many of several threads that wait on one instance get an event that none of them takes.
fn threads_woken(events: Events) -> Result<Vec<(&'static str, usize)>> {
    let mut counts = Vec::new();
    for (name, m) in both()? {
        let fd = eventfd(0)?;
        m.add(&fd, events)?;
        let woken = scope(|threads| {
            let waiters: Vec<_> = (0..4).map(|_| threads.spawn(|| m.wait(700))).collect();
            sleep(Duration::from_millis(200));
            write(&fd, &1u64.to_ne_bytes())?;
            let mut woken = 0;
            for waiter in waiters {
                woken += waiter.join().map_err(|_| anyhow!("panic"))??;
            }
            Ok::<_, anyhow::Error>(woken)
        })?;
        counts.push((name, woken));
    }
    Ok(counts)
}

fn threads_of_one() -> Result<Finding> {
    let level = threads_woken(Events::IN)?;
    let edge = threads_woken(Events::IN | Events::ET)?;
    let is_so =
        level.iter().all(|(_, woken)| *woken == 4) && edge.iter().all(|(_, woken)| *woken == 1);
    let each = level.iter().zip(&edge);
    let evidence: Vec<_> = each
        .map(|((name, level), (_, edge))| {
            format!("{name}: of 4 threads, level-triggered {level} get it, edge-triggered {edge}")
        })
        .collect();
    only_if(
        "it is level-triggered, and nobody has read yet",
        is_so,
        evidence.join("; "),
    )
}

fn who_runs_softirqs() -> Result<Finding> {
    const COUNT: usize = 50;
    let mut session = Session::new()?;
    if !session.enable("repoll", "repoll_callback")? {
        bail!("there are no tracepoints of repoll: is the module loaded?");
    }
    let receiver = UdpSocket::bind(("127.0.0.1", 0))?;
    let sender = UdpSocket::bind(("127.0.0.1", 0))?;
    let instance = Instance::open()?;
    instance.add(&receiver, Events::IN, 0)?;
    session.start()?;
    for _ in 0..COUNT {
        sender.send_to(b"x", receiver.local_addr()?)?;
    }
    let records = session.stop()?.records;
    let softirqs = records
        .iter()
        .filter(|record| record.context == Context::Softirq);
    let (mut all, mut by_thread) = (0, 0);
    for record in softirqs {
        all += 1;
        by_thread += usize::from(record.comm.starts_with("ksoftirqd"));
    }
    only_if(
        "there is more of it than a softirq may do at once",
        all >= COUNT / 2 && by_thread < all,
        format!(
            "of {all} datagrams over loopback, {by_thread} called back in ksoftirqd; the others in the softirq at the end \
             of what was interrupted, or of the system call that sent them (kernel/softirq.c, MAX_SOFTIRQ_RESTART)"
        ),
    )
}

fn herd() -> Result<Finding> {
    let mut evidence = Vec::new();
    let mut as_told = true;
    for (kind, name) in ["epoll", "repoll"].into_iter().enumerate() {
        let shared = woken(kind, Events::IN)?;
        let exclusive = woken(kind, Events::IN | Events::EXCLUSIVE)?;
        as_told &= shared == 4 && exclusive == 1;
        evidence.push(format!(
            "{name}: of 4 waiters one event woke {shared}; with EXCLUSIVE {exclusive}"
        ));
    }
    only_if(
        "they do not ask for EXCLUSIVE",
        as_told,
        evidence.join("; "),
    )
}
