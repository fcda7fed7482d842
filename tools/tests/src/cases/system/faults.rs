// SPDX-License-Identifier: GPL-2.0
//! Each allocation and each copy of each operation fails once: the error is the right one, nothing
//! is left behind, and the same operation works afterwards.

use crate::faults::Faults;
use crate::prelude::*;
use repoll::sys::{repoll_counts, repoll_wait};
use repoll::{CreateFlags, Event, FdSet, OpenError, PollFd, PollFlags, SelectSets, Source};
use repoll_testkit::file_kinds::{Kind, KINDS};
use repoll_testkit::memory;
use repoll_testkit::watch_limit::WatchLimit;
use std::fs::File;
use std::io::Read;
use std::path::Path;

pub fn tests() -> Vec<Test> {
    repoll_only!("faults" within 120:
        an_instance_is_made_or_not,
        a_watch_is_added_or_not,
        a_nested_watch_is_added_or_not,
        a_watch_is_changed_or_not,
        a_watch_is_always_removed,
        a_wait_loses_no_event,
        a_wait_leaves_the_signal_mask,
        poll_and_select_leave_nothing,
        an_instance_is_watched_by_others_or_not,
        fdinfo_is_shown_or_not,
        a_source_is_made_and_set_up_or_not,
        a_message_is_passed_whole_or_not,
        the_feeds_of_a_source_are_there_or_not,
    )
}

const NOW: Option<Duration> = Some(Duration::ZERO);
/// The most watches of a user here: so few that one left behind is noticed.
const ALLOWED: usize = 40;

/// The faults, in a world where all watches must have been given back in the end.
fn injecting(body: impl FnOnce(&Faults) -> Result<()>) -> Result<()> {
    let faults = Faults::new()?;
    let _limit = WatchLimit::set(ALLOWED)?;
    body(&faults)?;
    let m = Repoll::new()?;
    let fds = eventfds(ALLOWED)?;
    let mut added = 0;
    // The last watches may not have been given back yet.
    let enough = eventually("there is room for all watches", || {
        while added < ALLOWED && m.add(&fds[added], EventFlags::IN, 1).is_ok() {
            added += 1;
        }
        Ok(added == ALLOWED)
    });
    ensure!(
        enough.is_ok(),
        "{} watches are still counted",
        ALLOWED - added
    );
    Ok(())
}

/// The number of watches of an instance, by fdinfo.
fn watches(m: &Repoll) -> Result<usize> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", m.as_raw_fd()))?;
    Ok(text.lines().filter(|line| line.starts_with("tfd:")).count())
}

/// Checks that the watch was added, or that it was not and can be added now.
fn added_or_not(m: &Repoll, fd: &impl AsRawFd, result: io::Result<()>) -> Result<()> {
    let added = result.is_ok();
    ensure!(
        watches(m)? == usize::from(added),
        "added: {added}, but {} are there",
        watches(m)?
    );
    if added {
        expect_error(m.add(fd, EventFlags::IN, 1), libc::EEXIST)?;
    } else {
        m.add(fd, EventFlags::IN, 1)?;
    }
    m.delete(fd)?;
    ensure!(watches(m)? == 0);
    Ok(())
}

fn an_instance_is_made_or_not() -> Result<()> {
    injecting(|faults| {
        let points = faults.each("open", || Ok(()), |()| Repoll::new(), |_, _| Ok(()))?;
        ensure!(points > 2, "only {points} points of failure");
        faults.each(
            "CREATE",
            || Ok(Repoll::new()?),
            |m| m.instance().create(CreateFlags::CLOEXEC),
            |m, _| Ok(m.instance().create(CreateFlags::CLOEXEC).map(drop)?),
        )?;
        // mmap() is refused before it allocates, so no fault is injected.
        let m = Repoll::new()?;
        expect_error(memory::map_file(&m), libc::ENODEV)
    })
}

fn a_watch_is_added_or_not() -> Result<()> {
    injecting(|faults| {
        // A terminal and a FIFO that is open for both have two wait queues each.
        let some = ["eventfd", "fifo", "ptmx", "udp"];
        let kinds: Vec<&Kind> = KINDS
            .iter()
            .filter(|kind| settings::get().long || some.contains(&kind.name))
            .collect();
        for kind in kinds {
            for how in [EventFlags::ET, EventFlags::EXCLUSIVE] {
                let points = faults.each(
                    &format!("ADD of a {} ({how:?})", kind.name),
                    || Ok((Repoll::new()?, kind.make()?)),
                    |(m, file)| m.add(&file.fd, EventFlags::IN | how, 1),
                    |(m, file), result| added_or_not(m, &file.fd, result),
                )?;
                ensure!(points > 1, "only {points} points of failure");
            }
        }
        // The last close ends it, whatever fails then.
        faults.each(
            "the last close",
            || {
                let (m, fd, other) = (Repoll::new()?, files::eventfd()?, files::eventfd()?);
                m.add(&fd, EventFlags::IN, 1)?;
                Ok((m, fd, other))
            },
            |(_, fd, other)| files::dup_onto(other, fd.as_raw_fd()),
            |(m, ..), result| {
                let left = watches(m)?;
                ensure!(
                    left == usize::from(result.is_err()),
                    "{result:?}, {left} left"
                );
                Ok(())
            },
        )?;
        Ok(())
    })
}

/// Instances, each watched by the next one.
fn chain(length: usize) -> Result<Vec<Repoll>> {
    let chain = (0..length)
        .map(|_| Repoll::new())
        .collect::<io::Result<Vec<_>>>()?;
    for pair in chain.windows(2) {
        pair[1].add(&pair[0], EventFlags::IN, 1)?;
    }
    Ok(chain)
}

fn a_nested_watch_is_added_or_not() -> Result<()> {
    injecting(|faults| {
        for depth in 1..=3 {
            faults.each(
                &format!("ADD of a chain of {depth}"),
                || Ok((Repoll::new()?, chain(depth)?)),
                |(m, chain)| m.add(&chain[depth - 1], EventFlags::IN, 1),
                |(m, chain), result| added_or_not(m, &chain[depth - 1], result),
            )?;
            faults.each(
                &format!("ADD of a file at the end of a chain of {depth}"),
                || Ok((chain(depth)?, files::eventfd()?)),
                |(chain, fd)| chain[0].add(fd, EventFlags::IN, 1),
                |(chain, fd), result| added_or_not(&chain[0], fd, result),
            )?;
        }
        // Many above and many below.
        faults.each(
            "ADD between five and five",
            || {
                let (inner, outer) = (chain(1)?, chain(1)?);
                let others = (0..10)
                    .map(|_| Repoll::new())
                    .collect::<io::Result<Vec<_>>>()?;
                for other in &others[..5] {
                    inner[0].add(other, EventFlags::IN, 1)?;
                }
                for other in &others[5..] {
                    other.add(&outer[0], EventFlags::IN, 1)?;
                }
                Ok((inner, outer, others))
            },
            |(inner, outer, _)| outer[0].add(&inner[0], EventFlags::IN, 1),
            |(inner, outer, _), result| added_or_not(&outer[0], &inner[0], result),
        )?;
        Ok(())
    })
}

fn a_watch_is_changed_or_not() -> Result<()> {
    injecting(|faults| {
        faults.each(
            "MOD",
            || {
                let (m, fd) = (Repoll::new()?, files::eventfd()?);
                m.add(&fd, EventFlags::IN, 1)?;
                Ok((m, fd))
            },
            |(m, fd)| m.modify(fd, EventFlags::OUT, 2),
            |(m, fd), result| {
                let ready = m.ready_data()?;
                match result {
                    Ok(()) => ensure!(ready == [2], "{ready:?} after MOD"),
                    Err(_) => {
                        ensure!(ready.is_empty(), "{ready:?} after MOD failed");
                        signal(fd)?;
                        ensure!(m.ready_data()? == [1]);
                    }
                }
                m.modify(fd, EventFlags::OUT, 3)?;
                ensure!(m.ready_data()? == [3]);
                Ok(())
            },
        )?;
        Ok(())
    })
}

fn a_watch_is_always_removed() -> Result<()> {
    injecting(|faults| {
        faults.each(
            "DEL",
            || {
                let (m, fd) = (Repoll::new()?, files::eventfd()?);
                m.add(&fd, EventFlags::IN, 1)?;
                Ok((m, fd))
            },
            |(m, fd)| m.delete(fd),
            |(m, fd), result| {
                // Only its argument can be missed.
                if let Err(error) = result {
                    ensure!(error.raw_os_error() == Some(libc::EFAULT), error);
                    m.delete(fd)?;
                }
                ensure!(watches(m)? == 0);
                m.add(fd, EventFlags::IN, 1)?;
                Ok(())
            },
        )?;
        Ok(())
    })
}

/// An instance with `count` events.
fn full(count: usize, how: EventFlags) -> Result<(Repoll, Vec<OwnedFd>)> {
    let (m, fds) = (Repoll::new()?, eventfds(count)?);
    for (at, fd) in fds.iter().enumerate() {
        m.add(fd, EventFlags::IN | how, at as u64)?;
        signal(fd)?;
    }
    Ok((m, fds))
}

fn a_wait_loses_no_event() -> Result<()> {
    injecting(|faults| {
        for (count, how) in [
            (1, EventFlags::ET),
            (16, EventFlags::ET | EventFlags::ONESHOT),
            (16, EventFlags::empty()),
        ] {
            faults.each(
                &format!("WAIT with {count} events ({how:?})"),
                || full(count, how),
                |(m, _)| m.wait(count, NOW),
                |(m, _), result| {
                    let had = result.unwrap_or_default().len();
                    let left = m.ready()?.len();
                    let all = if how.is_empty() { left } else { had + left };
                    ensure!(all == count, "{had} events delivered, {left} later");
                    Ok(())
                },
            )?;
            let counted = |m: &Repoll, events: &mut [Event], counts: &mut repoll_counts| {
                let argument = repoll_wait {
                    events: events.as_mut_ptr() as u64,
                    maxevents: events.len() as i32,
                    counts: std::ptr::from_mut(counts) as u64,
                    counts_size: size_of::<repoll_counts>() as u64,
                    ..Default::default()
                };
                // SAFETY: the events and the counts are exclusively ours.
                unsafe { m.wait_raw(&argument) }
            };
            faults.each(
                &format!("WAIT with counts of {count} events ({how:?})"),
                || full(count, how),
                |(m, _)| {
                    let (mut events, mut counts) = ([Event::default(); 16], Default::default());
                    counted(m, &mut events[..count], &mut counts)
                },
                |(m, _), result| {
                    let again = m.ready()?.len();
                    if how.is_empty() {
                        ensure!(again == count, "{again} of {count} are left");
                    }
                    if let Ok(had) = result {
                        ensure!(had <= count && (how.is_empty() || had + again == count));
                    }
                    Ok(())
                },
            )?;
        }
        Ok(())
    })
}

fn a_wait_leaves_the_signal_mask() -> Result<()> {
    injecting(|faults| {
        faults.each(
            "WAIT with a signal mask",
            || full(1, EventFlags::empty()),
            |(m, _)| m.wait_masked(NOW, &[libc::SIGUSR1]),
            |(m, _), _| {
                ensure!(
                    !signals::is_blocked(libc::SIGUSR1),
                    "the mask is not as before"
                );
                ensure!(m.wait_masked(NOW, &[libc::SIGUSR1])?.len() == 1);
                Ok(())
            },
        )?;
        Ok(())
    })
}

fn poll_and_select_leave_nothing() -> Result<()> {
    const FEW: usize = 3;
    const MANY: usize = 300;
    injecting(|faults| {
        for count in [FEW, MANY] {
            let prepare = || {
                let fds = eventfds(count)?;
                signal(&fds[0])?;
                Ok((Repoll::new()?, fds))
            };
            let poll = |(m, fds): &(Repoll, Vec<OwnedFd>)| {
                let mut fds: Vec<_> = fds
                    .iter()
                    .map(|fd| PollFd::new(fd, PollFlags::IN))
                    .collect();
                m.instance().poll(&mut fds, Some(Duration::from_millis(1)))
            };
            faults.each(&format!("POLL of {count}"), prepare, poll, |world, _| {
                ensure!(poll(world)? == 1);
                Ok(())
            })?;
            let select = |(m, fds): &(Repoll, Vec<OwnedFd>)| {
                let mut set = FdSet::new();
                fds.iter().for_each(|fd| set.insert(fd));
                let (mut read, mut none) = (set, FdSet::new());
                let sets = SelectSets {
                    read: Some(&mut read),
                    write: Some(&mut none),
                    except: None,
                };
                m.instance().select(sets, Some(Duration::from_millis(1)))
            };
            faults.each(
                &format!("SELECT of {count}"),
                prepare,
                select,
                |world, _| {
                    ensure!(select(world)? == 1);
                    Ok(())
                },
            )?;
        }
        Ok(())
    })
}

fn an_instance_is_watched_by_others_or_not() -> Result<()> {
    injecting(|faults| {
        let poll = |(m, _): &(Repoll, Vec<OwnedFd>)| files::poll(m, libc::POLLIN, Duration::ZERO);
        faults.each(
            "poll(2) of an instance",
            || full(1, EventFlags::empty()),
            poll,
            |world, _| {
                ensure!(poll(world)? == libc::POLLIN);
                Ok(())
            },
        )?;
        faults.each(
            "ADD of an instance to a C epoll",
            || Ok((full(1, EventFlags::empty())?, Epoll::new()?)),
            |((m, _), c)| c.add(m, EventFlags::IN, 1),
            |((m, _), c), result| {
                if result.is_err() {
                    c.add(m, EventFlags::IN, 1)?;
                }
                ensure!(c.ready()?.len() == 1);
                Ok(())
            },
        )?;
        Ok(())
    })
}

fn fdinfo_is_shown_or_not() -> Result<()> {
    injecting(|faults| {
        faults.each(
            "fdinfo",
            || {
                let world = full(16, EventFlags::empty())?;
                let path = format!("/proc/self/fdinfo/{}", world.0.as_raw_fd());
                Ok((world, path, std::cell::RefCell::new([0; 8192])))
            },
            |(_, path, buffer)| File::open(Path::new(path))?.read(&mut *buffer.borrow_mut()),
            |((m, _), ..), _| {
                ensure!(watches(m)? == 16);
                Ok(())
            },
        )?;
        Ok(())
    })
}

/// It takes a message and gives it back.
fn passes(source: &Source) -> Result<()> {
    files::write(source, b"a message")?;
    let mut buffer = [0; 64];
    let length = files::read(source, &mut buffer)?;
    ensure!(buffer[..length].ends_with(b"a message"));
    Ok(())
}

fn a_source_is_made_and_set_up_or_not() -> Result<()> {
    injecting(|faults| {
        faults.each(
            "open of a source",
            || Ok(()),
            |()| Source::open_nonblocking().map_err(OpenError::into_inner),
            |(), result| result.map_or(Ok(()), |source| passes(&source)),
        )?;
        // The larger, the more pages, and the more points of failure.
        let many = if settings::get().long { 256 } else { 16 };
        for (messages, size) in [(4, 64), (many, 1024)] {
            faults.each(
                &format!("SETUP of {messages} messages"),
                || Ok(Source::open_nonblocking()?),
                |source| source.set_up(messages, size, true),
                |source, result| {
                    let now = source.status()?;
                    let changed = now.messages == messages && now.message_size == size;
                    ensure!(changed == result.is_ok(), "{result:?}, but {now:?}");
                    passes(source)?;
                    source.set_up(8, 128, false)?;
                    passes(source)
                },
            )?;
        }
        faults.each(
            "STATUS",
            || Ok(Source::open_nonblocking()?),
            Source::status,
            |source, _| passes(source),
        )?;
        Ok(())
    })
}

fn a_message_is_passed_whole_or_not() -> Result<()> {
    injecting(|faults| {
        for headers in [false, true] {
            let prepare = || {
                let source = Source::open_nonblocking()?;
                source.set_up(4, 4096, headers)?;
                Ok(source)
            };
            let message = [7; 4000];
            faults.each(
                "write to a source",
                prepare,
                |source| files::write(source, &message),
                |source, result| {
                    let queued = source.status()?.queued;
                    ensure!(
                        queued == u32::from(result.is_ok()),
                        "{result:?}, {queued} queued"
                    );
                    Ok(())
                },
            )?;
            faults.each(
                "read of a source",
                || {
                    let source = prepare()?;
                    files::write(&source, &message)?;
                    Ok((source, std::cell::RefCell::new([0; 8192])))
                },
                |(source, buffer)| files::read(source, &mut *buffer.borrow_mut()),
                |(source, buffer), result| {
                    // A message that could not be copied is still there.
                    let queued = source.status()?.queued;
                    ensure!(
                        queued == u32::from(result.is_err()),
                        "{result:?}, {queued} queued"
                    );
                    if result.is_err() {
                        files::read(source, &mut *buffer.borrow_mut())?;
                    }
                    passes(source)
                },
            )?;
        }
        Ok(())
    })
}

fn the_feeds_of_a_source_are_there_or_not() -> Result<()> {
    injecting(|faults| {
        let source = || Ok(Source::open_nonblocking()?);
        faults.each(
            "TIMER_SET",
            source,
            |source| source.start_timer(Duration::from_secs(100), None),
            |source, result| {
                let ticks = source.status()?.period != Duration::ZERO;
                ensure!(ticks == result.is_ok(), "{result:?}, ticks: {ticks}");
                source.start_timer(Duration::from_secs(100), None)?;
                source.stop_timer()?;
                passes(source)
            },
        )?;
        faults.each(
            "ATTACH",
            source,
            |source| source.attach("lo", 0x88b5),
            |source, result| {
                if result.is_err() {
                    expect_error(source.detach(), libc::ENOTCONN)?;
                    source.attach("lo", 0x88b5)?;
                }
                source.detach()?;
                passes(source)
            },
        )?;
        faults.each(
            "FASYNC",
            source,
            |source| source.signal_this_process(libc::SIGURG),
            |source, _| {
                source.signal_this_process(libc::SIGURG)?;
                passes(source)
            },
        )?;
        Ok(())
    })
}
