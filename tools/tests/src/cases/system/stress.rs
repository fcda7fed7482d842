// SPDX-License-Identifier: GPL-2.0
//! Everything at once, for some seconds. What goes wrong shows in the kernel log, or hangs.

use crate::prelude::*;
use repoll_testkit::descriptor::Number;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

pub fn tests() -> Vec<Test> {
    repoll_only!("stress" within 120:
        add_del_write_and_close_against_wait,
        watched_files_close_while_threads_wait,
        instances_close_while_events_arrive,
        an_instance_and_its_only_file_close_together,
        timers_and_sockets_against_close,
    )
}

/// Runs bodies in a thread each, again and again, until the time is over.
fn all_at_once(bodies: &[&(dyn Fn(usize) + Sync)]) {
    let over = AtomicBool::new(false);
    scope(|threads| {
        for body in bodies {
            threads.spawn(|| {
                let mut round = 0;
                while !over.load(SeqCst) {
                    body(round);
                    round += 1;
                }
            });
        }
        let end = Instant::now() + settings::get().stress();
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        over.store(true, SeqCst);
    });
}

/// The instance is as good as new.
fn still_works(m: &Repoll) -> Result<()> {
    let m2 = Repoll::new()?;
    let fd = files::eventfd()?;
    for m in [m, &m2] {
        m.add(&fd, EventFlags::IN | EventFlags::ET, 12345)?;
        while !m.ready()?.is_empty() {}
        signal(&fd)?;
        expect_one(m, 12345)?;
        m.delete(&fd)?;
    }
    Ok(())
}

const FILES: usize = 16;
const SHORT: Option<Duration> = Some(Duration::from_millis(2));

fn add_del_write_and_close_against_wait() -> Result<()> {
    let m = Repoll::new()?;
    let fds = eventfds(FILES)?;
    let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let had = AtomicUsize::new(0);
    let number = |round: usize| numbers[round % FILES];
    all_at_once(&[
        &|round| {
            let triggers = [EventFlags::empty(), EventFlags::ET, EventFlags::ONESHOT];
            let _ = m.add(
                &number(round),
                EventFlags::IN | triggers[round % 3],
                round as u64,
            );
            if round % 5 == 0 {
                let _ = m.modify(&number(round / 5), EventFlags::IN | EventFlags::OUT, 1);
            }
        },
        &|round| drop(m.delete(&number(round * 7))),
        &|round| drop(signal(Number(number(round * 5)))),
        &|round| {
            // The last close of what the number was.
            if let Ok(fresh) = files::eventfd() {
                let _ = files::dup_onto(&fresh, number(round * 3));
            }
        },
        &|round| {
            let events = m.wait(1 + round % 9, SHORT).unwrap_or_default();
            had.fetch_add(events.len(), SeqCst);
        },
        &|round| {
            let events = m.wait(3 + round % 20, SHORT).unwrap_or_default();
            had.fetch_add(events.len(), SeqCst);
        },
    ]);
    ensure!(had.load(SeqCst) > 0, "no event at all");
    for number in &numbers {
        let _ = m.delete(number);
    }
    still_works(&m)
}

fn watched_files_close_while_threads_wait() -> Result<()> {
    let m = Repoll::new()?;
    let wait = |round: usize| drop(m.wait(1 + round % 5, SHORT));
    let close = |round: usize| {
        let Ok((reader, writer)) = files::pipe() else {
            return;
        };
        let _ = m.add(&reader, EventFlags::IN, round as u64);
        let _ = m.add(&writer, EventFlags::OUT | EventFlags::ET, round as u64);
        let _ = files::write(&writer, b"x");
        if round % 2 == 0 {
            drop(reader);
            drop(writer);
        }
    };
    all_at_once(&[&wait, &wait, &close, &close]);
    ensure!(m.ready()?.is_empty(), "files are left that were closed");
    still_works(&m)
}

fn instances_close_while_events_arrive() -> Result<()> {
    let keep = Repoll::new()?;
    let fds = eventfds(FILES)?;
    all_at_once(&[
        &|round| drop(signal(&fds[round % FILES])),
        &|round| drop(signal(&fds[(round * 3) % FILES])),
        &|round| {
            let Ok(m) = Repoll::new() else { return };
            for (at, fd) in fds.iter().enumerate() {
                let _ = m.add(fd, EventFlags::IN | EventFlags::ET, at as u64);
            }
            if round % 3 == 0 {
                let _ = m.wait(8, Some(Duration::ZERO));
            }
        },
        &|_| {
            let Ok(m) = Repoll::new() else { return };
            scope(|threads| {
                threads.spawn(|| m.wait(4, SHORT));
                let _ = m.add(&fds[0], EventFlags::IN, 1);
            });
        },
    ]);
    still_works(&keep)
}

/// Callbacks in hard interrupts and in softirqs, while what they call about goes away. The end of
/// an instance must be done with the file's wait queue before the file's own end, which may not see
/// that there was a watch, goes on.
fn an_instance_and_its_only_file_close_together() -> Result<()> {
    const PAIRS: usize = 64;
    let end = Instant::now() + settings::get().stress();
    while Instant::now() < end {
        let instances = (0..PAIRS)
            .map(|_| Ok(Repoll::new()?))
            .collect::<Result<Vec<_>>>()?;
        let files = eventfds(PAIRS)?;
        for (m, fd) in instances.iter().zip(&files) {
            m.add(fd, EventFlags::IN, 1)?;
        }
        // Each waits until the other has come as far.
        let closed = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let together = |own: usize, pair: usize| {
            closed[own].store(pair + 1, SeqCst);
            while closed[1 - own].load(SeqCst) <= pair {
                std::hint::spin_loop();
            }
        };
        scope(|threads| {
            threads.spawn(|| {
                for (pair, m) in instances.into_iter().enumerate() {
                    together(0, pair);
                    drop(m);
                }
            });
            threads.spawn(|| {
                for (pair, fd) in files.into_iter().enumerate() {
                    together(1, pair);
                    // The way to the watch's end is longer than that to the file's: sooner or later
                    // they meet.
                    for step in 0..pair * 100 {
                        std::hint::black_box(step);
                    }
                    drop(fd);
                }
            });
        });
    }
    still_works(&Repoll::new()?)
}

fn timers_and_sockets_against_close() -> Result<()> {
    let m = Repoll::new()?;
    let sender = std::net::UdpSocket::bind("127.0.0.1:0")?;
    all_at_once(&[
        &|round| {
            let Ok(timer) = files::timerfd() else { return };
            let _ = m.add(&timer, EventFlags::IN, 1);
            let soon = Duration::from_micros(1 + (round % 50) as u64 * 10);
            let _ = files::arm(&timer, soon, Duration::from_micros(100));
            std::thread::sleep(Duration::from_micros((round % 7) as u64 * 100));
        },
        &|round| {
            let Ok(socket) = std::net::UdpSocket::bind("127.0.0.1:0") else {
                return;
            };
            let _ = m.add(&socket, EventFlags::IN, 2);
            if let Ok(address) = socket.local_addr() {
                for _ in 0..round % 4 {
                    let _ = sender.send_to(b"x", address);
                }
            }
        },
        &|_| drop(m.wait(4, SHORT)),
        &|round| drop(m.wait(1 + round % 3, SHORT)),
    ]);
    ensure!(m.ready()?.is_empty(), "files are left that were closed");
    still_works(&m)
}
