// SPDX-License-Identifier: GPL-2.0
//! The counts that SELECT, POLL and WAIT return on request, and their tracepoints.

use crate::cases::tracing::contexts::{recording, records_of};
use crate::prelude::*;
use repoll::sys::{repoll_poll, repoll_select, repoll_wait, REPOLL_COUNTS_SIZE_VER0};
use repoll::{Counts, Event, FdSet, Instance, PollFd, PollFlags, SelectSets};
use repoll_testkit::memory::Mapping;
use repoll_testkit::scanner::{pollfds, set_of, Ours, Side};
use repoll_trace::record::Record;

pub fn tests() -> Vec<Test> {
    repoll_only!("counts":
        poll_counts_what_it_does,
        poll_adds_no_entries_once_something_is_found,
        a_file_may_have_several_wait_queues,
        entries_beyond_the_first_are_counted_too,
        select_counts_what_it_does,
        a_sleep_and_a_wake_up_are_counted,
        a_wake_up_for_other_events_does_not_reach_the_task,
        wait_counts_what_it_does,
        failures_are_counted,
        counts_of_another_size,
        bad_counts_are_refused_before_anything_is_done,
        unknown_flags_are_einval,
        the_tracepoints_say_the_same,
    )
}

const SHORT: Option<Duration> = Some(Duration::from_millis(1));
const NOW: Option<Duration> = Some(Duration::ZERO);

fn interest(fds: &[OwnedFd]) -> Vec<PollFd> {
    fds.iter()
        .map(|fd| PollFd::new(fd, PollFlags::IN))
        .collect()
}

/// The counts of a call that polls `files` files in each of some passes.
fn counted(passes: u64, files: u64, bytes_in: u64, bytes_out: u64) -> Counts {
    Counts {
        bytes_in,
        bytes_out,
        passes,
        polled: passes * files,
        polled_first: files,
        polled_last: files,
        ..Default::default()
    }
}

fn poll_counts_what_it_does() -> Result<()> {
    let instance = Instance::open()?;
    let fds = eventfds(3)?;
    let mut counts = Counts::default();
    let mut array = interest(&fds);
    array.push(PollFd::from_raw(-1, PollFlags::IN));
    ensure!(instance.poll_counted(&mut array, SHORT, &mut counts)? == 0);
    let expected = Counts {
        added: 3,
        sleeps: 1,
        ..counted(2, 3, 4 * 8, 4 * 2)
    };
    ensure!(counts == expected);
    ensure!(instance.poll_counted(&mut array, NOW, &mut counts)? == 0);
    ensure!(counts == counted(1, 3, 32, 8));
    Ok(())
}

/// But it polls the rest.
fn poll_adds_no_entries_once_something_is_found() -> Result<()> {
    let instance = Instance::open()?;
    let fds = eventfds(10)?;
    signal(&fds[4])?;
    let mut counts = Counts::default();
    ensure!(instance.poll_counted(&mut interest(&fds), Some(LONG), &mut counts)? == 1);
    let expected = Counts {
        // The one that is found has added its entry before it was looked at.
        added: 5,
        ..counted(1, 10, 80, 20)
    };
    ensure!(counts == expected);
    Ok(())
}

fn a_file_may_have_several_wait_queues() -> Result<()> {
    let instance = Instance::open()?;
    let terminal = repoll_testkit::file_kinds::KINDS
        .iter()
        .find(|kind| kind.name == "fifo")
        .context("a fifo")?
        .make()?;
    let mut counts = Counts::default();
    let mut array = [PollFd::new(&terminal.fd, PollFlags::IN)];
    ensure!(instance.poll_counted(&mut array, SHORT, &mut counts)? == 0);
    ensure!(
        counts.added == 2 && counts.polled_first == 1,
        "{}",
        counts.added
    );
    Ok(())
}

/// Nine are on the stack, sixty-three in each page.
fn entries_beyond_the_first_are_counted_too() -> Result<()> {
    let instance = Instance::open()?;
    let fds = eventfds(600)?;
    let mut counts = Counts::default();
    for count in [1, 9, 10, 72, 73, 135, 136, 600] {
        let mut array = interest(&fds[..count]);
        ensure!(instance.poll_counted(&mut array, SHORT, &mut counts)? == 0);
        ensure!(counts.added == count as u64, "{} of {count}", counts.added);
    }
    Ok(())
}

fn select_counts_what_it_does() -> Result<()> {
    let instance = Instance::open()?;
    let fds = eventfds(3)?;
    let mut set = FdSet::new();
    fds.iter().for_each(|fd| set.insert(fd));
    let words = (fds[2].as_raw_fd() as u64).div_ceil(64) * 8;
    let (mut other, mut counts) = (set.clone(), Counts::default());
    let sets = SelectSets {
        read: Some(&mut set),
        write: None,
        except: Some(&mut other),
    };
    ensure!(instance.select_counted(sets, SHORT, &mut counts)? == 0);
    let expected = Counts {
        added: 3,
        sleeps: 1,
        ..counted(2, 3, 2 * words, 2 * words)
    };
    ensure!(counts == expected);
    Ok(())
}

fn a_sleep_and_a_wake_up_are_counted() -> Result<()> {
    let instance = Instance::open()?;
    let fds = eventfds(2)?;
    let mut array = interest(&fds);
    let mut counts = Counts::default();
    let ready = after(
        3 * MOMENT,
        || signal(&fds[1]),
        || instance.poll_counted(&mut array, Some(LONG), &mut counts),
    )?;
    ensure!(ready == 1);
    let expected = Counts {
        added: 2,
        wakeups: 1,
        sleeps: 1,
        ..counted(2, 2, 16, 4)
    };
    ensure!(counts == expected);
    Ok(())
}

/// Else each write would cost a pass over all files.
fn a_wake_up_for_other_events_does_not_reach_the_task() -> Result<()> {
    let instance = Instance::open()?;
    // A write to an eventfd is IN, and nothing else.
    let fd = files::eventfd()?;
    let mut array = [PollFd::new(&fd, PollFlags::PRI)];
    let mut counts = Counts::default();
    let ready = scope(|threads| {
        threads.spawn(|| {
            for _ in 0..10 {
                sleep(Duration::from_millis(10));
                let _ = signal(&fd);
            }
        });
        instance.poll_counted(&mut array, Some(20 * MOMENT), &mut counts)
    })?;
    ensure!(ready == 0);
    ensure!(counts.wakeups == 0, "{} wake-ups", counts.wakeups);
    ensure!(counts.passes == 2 && counts.sleeps == 1);
    Ok(())
}

fn wait_counted(m: &Repoll, max: usize, timeout: i64, counts: &mut Counts) -> Result<usize> {
    let mut events = vec![Event::default(); max];
    let argument = repoll_wait {
        events: events.as_mut_ptr() as u64,
        maxevents: max as i32,
        timeout,
        counts: std::ptr::from_mut(counts) as u64,
        counts_size: size_of::<Counts>() as u64,
        ..Default::default()
    };
    // SAFETY: events and counts are ours.
    Ok(unsafe { m.wait_raw(&argument) }?)
}

fn wait_counts_what_it_does() -> Result<()> {
    let m = Repoll::new()?;
    let fds = eventfds(100)?;
    m.add_all(&fds, EventFlags::IN, 0)?;
    let mut counts = Counts::default();
    ensure!(wait_counted(&m, 10, 0, &mut counts)? == 0);
    ensure!(counts == Counts::default());
    for fd in &fds[..3] {
        signal(fd)?;
    }
    ensure!(wait_counted(&m, 10, 0, &mut counts)? == 3);
    let event = size_of::<Event>() as u64;
    let once = |polled, delivered| counted(1, polled, 0, delivered * event);
    ensure!(counts == once(3, 3));
    // One of them is not ready any more.
    files::read_all(&fds[1])?;
    ensure!(wait_counted(&m, 10, 0, &mut counts)? == 2);
    ensure!(counts == once(3, 2));
    for fd in &fds[..3] {
        files::read_all(fd)?;
    }
    ensure!(wait_counted(&m, 10, 1_000_000, &mut counts)? == 0);
    ensure!(counts.sleeps == 1 && counts.wakeups == 0 && counts.polled == 2);
    let delivered = after(
        3 * MOMENT,
        || signal(&fds[50]),
        || wait_counted(&m, 10, -1, &mut counts),
    )?;
    ensure!(delivered == 1);
    let expected = Counts {
        wakeups: 1,
        sleeps: 1,
        ..once(1, 1)
    };
    ensure!(counts == expected);
    Ok(())
}

fn failures_are_counted() -> Result<()> {
    let instance = Instance::open()?;
    let fd = files::eventfd()?;
    signals::handle_signal(libc::SIGUSR1, 0)?;
    let number = signals::Thread::current();
    let mut counts = Counts::default();
    let mut array = [PollFd::new(&fd, PollFlags::IN)];
    let result = after(
        3 * MOMENT,
        || number.kill(libc::SIGUSR1),
        || instance.poll_counted(&mut array, None, &mut counts),
    );
    expect_error(result, libc::EINTR)?;
    ensure!(counts.passes == 2 && counts.sleeps == 1 && counts.wakeups == 0);
    Ok(())
}

fn counts_of_another_size() -> Result<()> {
    let ours = Ours::new()?;
    let fds = eventfds(2)?;
    let numbers: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let mut array = pollfds(&numbers, libc::POLLIN);
    let mut room = [u64::MAX; 20];
    let ver0 = REPOLL_COUNTS_SIZE_VER0 as usize;
    let mut poll = |size: usize, room: &mut [u64]| {
        let mut argument = repoll_poll {
            fds: array.as_mut_ptr() as u64,
            nfds: 2,
            counts: room.as_mut_ptr() as u64,
            counts_size: size as u64,
            ..Default::default()
        };
        // SAFETY: the array is ours, and no more is written to the counts than there is room.
        unsafe { ours.poll_raw(&mut argument) }
    };
    ensure!(poll(ver0 + 16, &mut room)? == 0);
    ensure!(room[..2] == [16, 4] && room[ver0 / 8..ver0 / 8 + 2] == [0, 0]);
    ensure!(room[ver0 / 8 + 2..].iter().all(|word| *word == u64::MAX));
    for size in [0, 1, 8, ver0 - 1, 4097, usize::MAX] {
        expect_error(poll(size, &mut room), libc::EINVAL)?;
    }
    Ok(())
}

fn bad_counts_are_refused_before_anything_is_done() -> Result<()> {
    let ours = Ours::new()?;
    let (m, fd) = watching_eventfd::<Repoll>(EventFlags::IN | EventFlags::ET, 1)?;
    signal(&fd)?;
    let mut array = pollfds(&[fd.as_raw_fd()], libc::POLLIN);
    let mut set = set_of(&[fd.as_raw_fd()], 64);
    let mut event = Event::default();
    let memory = Mapping::read_only_with(&[0u64; 9])?;
    let read_only = memory.address();
    for address in [1, 4096, usize::MAX - 4095, read_only] {
        let (counts, counts_size) = (address as u64, size_of::<Counts>() as u64);
        let mut poll = repoll_poll {
            fds: array.as_mut_ptr() as u64,
            nfds: 1,
            timeout: -1,
            counts,
            counts_size,
            ..Default::default()
        };
        let mut select = repoll_select {
            readfds: set.as_mut_ptr() as u64,
            nfds: 64,
            timeout: -1,
            counts,
            counts_size,
            ..Default::default()
        };
        let wait = repoll_wait {
            events: std::ptr::from_mut(&mut event) as u64,
            maxevents: 1,
            timeout: -1,
            counts,
            counts_size,
            ..Default::default()
        };
        // SAFETY: array, set and event are ours; the counts can't be written.
        unsafe {
            expect_error(ours.poll_raw(&mut poll), libc::EFAULT)?;
            expect_error(ours.select_raw(&mut select), libc::EFAULT)?;
            expect_error(m.wait_raw(&wait), libc::EFAULT)?;
        }
    }
    ensure!(array[0].revents == 0);
    // The edge is still there.
    ensure!(m.ready_data()? == [1]);
    Ok(())
}

fn unknown_flags_are_einval() -> Result<()> {
    let ours = Ours::new()?;
    for flags in [1, 1 << 31, u32::MAX] {
        let mut poll = repoll_poll {
            flags,
            ..Default::default()
        };
        let mut select = repoll_select {
            flags,
            ..Default::default()
        };
        // SAFETY: there are no arrays and no sets.
        unsafe {
            expect_error(ours.poll_raw(&mut poll), libc::EINVAL)?;
            expect_error(ours.select_raw(&mut select), libc::EINVAL)?;
        }
    }
    Ok(())
}

fn field(record: &Record, name: &str) -> Result<String> {
    ensure!(
        record.names().any(|known| known == name),
        "no {name} in {record:?}"
    );
    Ok(record.show(name))
}

fn the_tracepoints_say_the_same() -> Result<()> {
    let instance = Instance::open()?;
    let fds = eventfds(3)?;
    let mut session = recording()?;
    let mut array = interest(&fds);
    let mut counts = Counts::default();
    after(
        3 * MOMENT,
        || signal(&fds[1]),
        || instance.poll_counted(&mut array, Some(LONG), &mut counts),
    )?;
    let mut set = FdSet::new();
    set.insert(&fds[0]);
    ensure!(
        instance.select(
            SelectSets {
                read: Some(&mut set),
                ..Default::default()
            },
            SHORT
        )? == 0
    );

    let me = threads::this_thread().to_string();
    let mut trail = Vec::new();
    records_of(&mut session, "repoll_select_result")?;
    for record in session.read()?.records {
        if record.event().starts_with("repoll_select_") {
            ensure!(field(&record, "task")? == me, "{record:?}");
            trail.push(record);
        }
    }
    let names: Vec<_> = trail
        .iter()
        .map(|record| record.event().trim_start_matches("repoll_select_"))
        .collect();
    let one = "setup poll poll poll pass sleep wake poll poll poll pass result";
    let other = "setup poll pass sleep poll pass result";
    ensure!(names.join(" ") == format!("{one} {other}"), "{names:?}");
    for (index, poll) in trail[7..10].iter().enumerate() {
        ensure!(field(poll, "fd")? == fds[index].as_raw_fd().to_string());
        let readable = field(poll, "ready")?.parse::<u32>()? & libc::POLLIN as u32 != 0;
        ensure!(readable == (index == 1), "{poll:?}");
    }
    let wake = &trail[6];
    ensure!(field(wake, "fd")? == fds[1].as_raw_fd().to_string());
    ensure!(field(wake, "matched")? == "1" && field(wake, "context")? == "task");
    let result = &trail[11];
    ensure!(field(result, "call")? == "poll" && field(result, "ret")? == "1");
    for (name, value) in [
        ("passes", counts.passes),
        ("polled", counts.polled),
        ("entries", counts.added),
        ("wakeups", counts.wakeups),
        ("sleeps", counts.sleeps),
        ("bytes_in", counts.bytes_in),
        ("bytes_out", counts.bytes_out),
    ] {
        ensure!(field(result, name)? == value.to_string(), "{name}");
    }
    ensure!(field(&trail[18], "call")? == "select" && field(&trail[18], "ret")? == "0");
    Ok(())
}
