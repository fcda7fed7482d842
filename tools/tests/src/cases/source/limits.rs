// SPDX-License-Identifier: GPL-2.0
//! Limits of a user's event sources: memory, pollers, and time in interrupts.

use crate::cases::source::device::{monotonic, open, poll_now, read_messages};
use crate::module::{load_with, unload_when_unused, Reload};
use crate::prelude::*;
use repoll::sys::{
    REPOLL_SOURCE_DEFAULT_MESSAGES, REPOLL_SOURCE_DEFAULT_MESSAGE_SIZE, REPOLL_SOURCE_MAX_BYTES,
    REPOLL_SOURCE_MAX_MESSAGES, REPOLL_SOURCE_MAX_POLLERS, REPOLL_SOURCE_MAX_TIMERS,
};
use repoll::{OpenError, Source, SOURCE_DEVICE};
use repoll_testkit::limits;
use repoll_testkit::processes::{fork, FAILED};
use repoll_testkit::scanner::{Kernel, Side};
use std::io::Write;
use std::num::NonZeroU64;
use std::os::unix::fs::PermissionsExt;

pub fn tests() -> Vec<Test> {
    let mut tests = repoll_only!("source_limits":
        a_user_has_64_mib_of_messages,
        each_byte_is_charged,
        a_set_up_that_is_refused_changes_nothing,
        each_user_has_memory_of_their_own,
        the_opener_is_charged,
        a_namespace_of_users_is_no_way_around,
        memory_comes_back_from_racing_processes,
        more_than_5000_pollers_are_refused,
        times_are_those_of_the_readers_namespace,
    );
    let counted = repoll_only!("source_limits":
        timers_leave_the_cpu_to_others,
        light_timers_are_not_put_off,
    );
    tests.extend(counted.into_iter().map(|test| test.within(300).counted()));
    tests
}

/// Some user who is not root.
const OTHER: u32 = 4712;

/// Opens sources of the default size until one is refused.
fn open_all() -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    loop {
        match Source::open_nonblocking() {
            Ok(source) => sources.push(source),
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => return Ok(sources),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The number of sources of the default size that can be opened now.
fn room() -> Result<usize> {
    Ok(open_all()?.len())
}

/// The module, loaded so that a user may have a MiB of sources. Everybody may open the device.
fn limited() -> Result<Reload> {
    let reload = Reload::later()?;
    unload_when_unused()?;
    load_with(c"max_user_source_bytes=1048576")?;
    fs::set_permissions(SOURCE_DEVICE, fs::Permissions::from_mode(0o666))?;
    Ok(reload)
}

/// The number of sources that fit into [`limited`]: each takes somewhat more than its messages.
const ROOM: usize = 7;

/// Runs `body` in a child that has become somebody else by `change`; it returns a number that is
/// small.
fn in_child(
    change: impl FnOnce() -> io::Result<()>,
    body: impl FnOnce() -> Result<usize>,
) -> Result<usize> {
    let child = fork(|| -> Result<i32> {
        change()?;
        Ok(i32::try_from(body()?)?)
    })?;
    let status = child.wait()?;
    ensure!((0..FAILED).contains(&status), "the child failed: {status}");
    Ok(status as usize)
}

fn become_other() -> io::Result<()> {
    processes::become_user(OTHER)
}

fn a_user_has_64_mib_of_messages() -> Result<()> {
    const LARGE: u32 = 65_536;
    let mut large = Vec::new();
    let refused = loop {
        let source = open()?;
        match source.set_up(REPOLL_SOURCE_MAX_BYTES / LARGE, LARGE, false) {
            Ok(()) => large.push(source),
            Err(error) => break error,
        }
    };
    expect_error::<()>(Err(refused), libc::ENOSPC)?;
    // Four times 16 MiB would fit, if messages took no further memory.
    ensure!(large.len() == 3, "{}", large.len());
    large.pop();
    let source = open()?;
    source.set_up(REPOLL_SOURCE_MAX_BYTES / LARGE, LARGE, false)?;
    Ok(())
}

/// Not only the messages: also the places where they are kept, and rounding.
fn each_byte_is_charged() -> Result<()> {
    let _reload = limited()?;
    limits::allow_files(2000)?;
    let default = REPOLL_SOURCE_DEFAULT_MESSAGES * REPOLL_SOURCE_DEFAULT_MESSAGE_SIZE;
    let count = room()?;
    ensure!(
        count == ROOM && (1 << 20) / default > ROOM as u32,
        "{count}"
    );
    // Small messages are mostly overhead.
    let source = open()?;
    let fits = |messages, size| source.set_up(messages, size, false).is_ok();
    ensure!(fits(4096, 16) && !fits(16_384, 16), "small messages");
    ensure!(fits(1, 16));
    // 33 KiB take as much as 64.
    ensure!(fits(12, 65_536) && fits(1, 16), "large messages");
    ensure!(!fits(24, 33 * 1024), "large messages that are rounded up");
    // The file itself: else a descriptor's limit would be the only one.
    let mut small = vec![source];
    let refused = loop {
        let opened = Source::open_nonblocking().map_err(OpenError::into_inner);
        match opened.and_then(|source| source.set_up(1, 16, false).map(|()| source)) {
            Ok(source) => small.push(source),
            Err(error) => break error,
        }
    };
    expect_error::<()>(Err(refused), libc::ENOSPC)?;
    ensure!((300..500).contains(&small.len()), "{}", small.len());
    Ok(())
}

fn a_set_up_that_is_refused_changes_nothing() -> Result<()> {
    let _reload = limited()?;
    let mut source = open()?;
    source.set_up(5, 100, true)?;
    let before = source.status()?;
    let most = REPOLL_SOURCE_MAX_MESSAGES;
    expect_error(source.set_up(most, 16, false), libc::ENOSPC)?;
    ensure!(source.status()? == before);
    // A size that is never allowed is the first error.
    expect_error(source.set_up(0, 16, false), libc::EINVAL)?;
    source.write_all(b"it works")?;
    ensure!(read_messages(&source)?.len() == 1);
    // The old and the new buffers are there at the same time.
    source.set_up(9, 65_536, false)?;
    expect_error(source.set_up(9, 65_536, false), libc::ENOSPC)?;
    // A busy queue keeps what it has, and nothing more.
    source.write_all(b"busy")?;
    for _ in 0..20 {
        expect_error(source.set_up(1, 16, false), libc::EBUSY)?;
    }
    drop(source);
    ensure!(room()? == ROOM);
    Ok(())
}

fn each_user_has_memory_of_their_own() -> Result<()> {
    let _reload = limited()?;
    let sources = open_all()?;
    ensure!(sources.len() == ROOM, "{}", sources.len());
    for _ in 0..2 {
        let theirs = in_child(become_other, room)?;
        ensure!(theirs == ROOM, "the other user has {theirs}");
    }
    // A child of ours is us.
    ensure!(in_child(|| Ok(()), room)? == 0);
    drop(sources);
    ensure!(in_child(|| Ok(()), room)? == ROOM);
    Ok(())
}

/// Some user has the file then, and sets its size.
fn the_opener_is_charged() -> Result<()> {
    let _reload = limited()?;
    let source = open()?;
    let theirs = in_child(become_other, || {
        source.set_up(10, 65_536, false)?;
        expect_error(source.set_up(10, 65_536, false), libc::ENOSPC)?;
        room()
    })?;
    ensure!(theirs == ROOM, "{theirs}");
    let ours = room()?;
    ensure!(ours < ROOM, "{ours}");
    drop(source);
    ensure!(room()? == ROOM);
    Ok(())
}

/// A user namespace of the calling process's own, in which user 0 and the ones after it are `first`
/// and the ones after that.
fn user_namespace(first: u32, count: u32) -> io::Result<()> {
    // Another process writes the map: a range needs its capabilities.
    let (ready, go) = (files::pipe()?, files::pipe()?);
    let parent = std::process::id();
    let writer = fork(|| {
        files::poll_in(&ready.0, LONG)?;
        fs::write(
            format!("/proc/{parent}/uid_map"),
            format!("0 {first} {count}"),
        )?;
        files::write(&go.1, &[1]).map(drop)
    })?;
    processes::unshare(libc::CLONE_NEWUSER)?;
    files::write(&ready.1, &[1])?;
    files::poll_in(&go.0, LONG)?;
    match writer.wait()? {
        0 => Ok(()),
        status => Err(io::Error::other(format!("the map was refused: {status}"))),
    }
}

fn a_namespace_of_users_is_no_way_around() -> Result<()> {
    if !fs::exists("/proc/self/ns/user")? {
        return skip("this kernel has no user namespaces");
    }
    let _reload = limited()?;
    let mut sources = open_all()?;
    ensure!(sources.len() == ROOM, "{}", sources.len());
    sources.truncate(ROOM - 2);
    // Mapped onto itself it is the same user.
    let same = in_child(|| user_namespace(0, 1), room)?;
    ensure!(same == 2, "{same} in a namespace of the same user");
    // Of a range, each one is a user like any other.
    for user in [3, 4, 4] {
        let change = || {
            user_namespace(100_000, 10)?;
            processes::become_user(user)
        };
        let other = in_child(change, room)?;
        ensure!(other == ROOM, "{other} for user {user} in a namespace");
    }
    ensure!(room()? == 2);
    Ok(())
}

fn memory_comes_back_from_racing_processes() -> Result<()> {
    let _reload = limited()?;
    let children = (0..4u32)
        .map(|seed| {
            fork(|| {
                for round in 0..300 {
                    // Refused now and then: that is the point.
                    let Ok(mut source) = Source::open_nonblocking() else {
                        continue;
                    };
                    let _ = source.set_up(1 + (round * 7 + seed) % 9, 1 << (4 + round % 13), false);
                    let _ = source.start_timer(Duration::from_millis(1), None);
                    let _ = source.write(b"x");
                    let _ = source.set_up(2, 65_536, true);
                }
            })
        })
        .collect::<io::Result<Vec<_>>>()?;
    for child in children {
        ensure!(child.wait()? == 0);
    }
    ensure!(room()? == ROOM);
    Ok(())
}

fn more_than_5000_pollers_are_refused() -> Result<()> {
    const MOST: usize = REPOLL_SOURCE_MAX_POLLERS as usize;
    limits::allow_files(MOST as u64 + 100)?;
    let mut source = open()?;
    let asked = libc::pollfd {
        fd: source.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let poll = |fds: &mut [libc::pollfd]| Kernel.poll(fds, Some(Duration::from_millis(1)));
    // Entries that are gone do not count.
    for _ in 0..2 {
        ensure!(poll(&mut vec![asked; MOST])? == 0);
    }
    let outer = Epoll::new()?;
    outer.add(&source, EventFlags::IN, 1)?;
    expect_none(&outer)?;
    source.write_all(b"all are woken")?;
    expect_one(&outer, 1)?;
    read_messages(&source)?;
    let mut fds = vec![asked; MOST];
    ensure!(
        poll(&mut fds)? == 1,
        "there is room for one more than {MOST}"
    );
    ensure!(
        fds[MOST - 1].revents == libc::POLLERR,
        "{}",
        fds[MOST - 1].revents
    );
    // All pollers get the error, for good.
    ensure!(poll_now(&source)? == libc::POLLERR);
    drop(outer);
    ensure!(poll_now(&source)? == libc::POLLERR);
    let outer = Epoll::new()?;
    outer.add(&source, EventFlags::IN, 2)?;
    ensure!(expect_one(&outer, 2)? == EventFlags::ERR);
    // Reads and writes still work.
    source.write_all(b"a message")?;
    ensure!(read_messages(&source)?.len() == 1);
    ensure!(poll_now(&open()?)? & libc::POLLERR == 0);
    Ok(())
}

/// As clock_gettime(2) has it there.
fn times_are_those_of_the_readers_namespace() -> Result<()> {
    const AHEAD: u64 = 1_000_000;
    if !fs::exists("/proc/self/ns/time")? {
        return skip("this kernel has no time namespaces");
    }
    let ours = open()?;
    ours.set_up(4, 16, true)?;
    let outside = monotonic();
    // Of the children that come then.
    processes::unshare(libc::CLONE_NEWTIME).context("unshare")?;
    fs::write("/proc/self/timens_offsets", format!("monotonic {AHEAD} 0"))?;
    let child = fork(|| -> Result<()> {
        let before = monotonic();
        ensure!(before > outside + Duration::from_secs(AHEAD), "not moved");
        let theirs = open()?;
        theirs.set_up(4, 16, true)?;
        for source in [&theirs, &ours] {
            let mut buffer = [0; 32];
            (&mut &*source).write_all(b"now")?;
            let time = source.receive(&mut buffer)?.time;
            let after = monotonic();
            ensure!(
                before <= time && time <= after,
                "{before:?} {time:?} {after:?}"
            );
        }
        Ok((&mut &ours).write_all(b"for one outside")?)
    })?;
    ensure!(child.wait()? == 0);
    // The time is that of the reader's clock, not of the writer's.
    let mut buffer = [0; 32];
    let time = ours.receive(&mut buffer)?.time;
    ensure!(outside <= time && time <= monotonic(), "{time:?}");
    Ok(())
}

/// Watches of one file, and the C epolls that are called for each of its messages.
#[derive(Default)]
struct Crowd {
    instances: Vec<Repoll>,
    outside: Vec<Epoll>,
}

impl Crowd {
    /// Adds a C epoll that watches `file`, edge-triggered. False if there is no room for it.
    fn watch(&mut self, file: &impl AsRawFd) -> Result<bool> {
        let outer = Epoll::new()?;
        outer.add(file, EventFlags::IN | EventFlags::ET, 1)?;
        let refused = outer
            .ready()?
            .iter()
            .any(|event| event.flags() == EventFlags::ERR);
        self.outside.push(outer);
        Ok(!refused)
    }

    /// As many C epolls at the source itself as there is room for; the last one is one too many.
    fn directly(source: &Source) -> Result<Self> {
        let mut crowd = Self::default();
        while crowd.watch(source)? {}
        Ok(crowd)
    }

    /// Instances that watch it, each with as many C epolls as may watch the instance, until one is
    /// refused or there are `most`.
    fn behind_instances(source: &Source, most: usize) -> Result<Self> {
        let mut crowd = Self::default();
        for _ in 0..most {
            let m = Repoll::new()?;
            if m.add(source, EventFlags::IN | EventFlags::ET, 1).is_err() {
                break;
            }
            for _ in 0..1000 {
                if !crowd.watch(&m)? {
                    break;
                }
            }
            crowd.instances.push(m);
        }
        Ok(crowd)
    }
}

/// The work that a thread gets done in `duration`, and the longest gap in it.
fn work(duration: Duration) -> (u64, Duration) {
    let start = Instant::now();
    let (mut done, mut worst, mut last) = (0, Duration::ZERO, start);
    while last < start + duration {
        let now = Instant::now();
        worst = worst.max(now - last);
        last = now;
        done += 1;
    }
    (done, worst)
}

/// A process that only sleeps has the most timers, of the shortest period, for files with the most
/// pollers.
fn timers_leave_the_cpu_to_others() -> Result<()> {
    const WATCHED: Duration = Duration::from_millis(300);
    // The longest time that interrupts may be off.
    const LONGEST: Duration = Duration::from_millis(2);
    limits::allow_files(100_000)?;
    let sources = (0..REPOLL_SOURCE_MAX_TIMERS)
        .map(|_| {
            let source = open()?;
            // It must not become full in the meantime.
            source.set_up(8192, 16, false)?;
            Ok(source)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut crowds = Vec::new();
    for (at, source) in sources.iter().enumerate() {
        // So that one after the other would be too much, too.
        crowds.push(match at {
            0 => Crowd::behind_instances(source, 8)?,
            1..=3 => Crowd::directly(source)?,
            _ => Crowd::default(),
        });
    }
    let (alone, _) = work(WATCHED);
    for source in &sources {
        source.start_timer(Duration::from_nanos(1), None)?;
    }
    // All of them have expired at least once.
    sleep(Duration::from_millis(50));
    let (beside, worst) = work(WATCHED);
    for source in &sources {
        let status = source.status()?;
        ensure!(status.arrived > 5 && status.dropped == 0, "{status:?}");
        source.stop_timer()?;
    }
    let share = beside * 100 / alone;
    println!("# {share} % of the CPU are left, the longest gap is {worst:?}");
    ensure!(share >= 50, "{share} % of the CPU are left");
    ensure!(worst <= LONGEST, "a gap of {worst:?}");
    Ok(())
}

/// The most timers, all at once, of the shortest period.
fn light_timers_are_not_put_off() -> Result<()> {
    const TIMES: u64 = 100;
    let sources = (0..REPOLL_SOURCE_MAX_TIMERS)
        .map(|_| {
            let source = open()?;
            source.set_up(TIMES as u32, 16, true)?;
            Ok(source)
        })
        .collect::<Result<Vec<_>>>()?;
    for source in &sources {
        source.start_timer(Duration::from_nanos(1), NonZeroU64::new(TIMES))?;
    }
    sleep(Duration::from_millis(50));
    for source in sources {
        let mut buffer = [0; 32];
        let mut times = Vec::new();
        for number in 1..=TIMES {
            let message = source.receive(&mut buffer)?;
            let came = u64::from_ne_bytes(message.bytes.try_into()?);
            ensure!(came == number, "{came} instead of {number}");
            times.push(message.time);
        }
        let late = |(index, time): (usize, &Duration)| {
            time.saturating_sub(times[0] + Duration::from_micros(100) * index as u32)
        };
        let latest = times.iter().enumerate().map(late).max().unwrap_or_default();
        ensure!(
            latest < Duration::from_micros(50),
            "one came {latest:?} late"
        );
    }
    Ok(())
}
