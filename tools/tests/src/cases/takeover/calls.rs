// SPDX-License-Identifier: GPL-2.0
//! The kernel's calls on an instance that was taken over, as far as no test of the C epoll makes
//! them: io_uring's, kcmp(2), those that wait, and what other programs see.

use super::setup::{instance_of, on};
use crate::cases::multiplexer::interface::{EPIOCGPARAMS, EPIOCSPARAMS};
use crate::prelude::*;
use io_uring::{opcode, squeue, types, IoUring};
use repoll::{Event, TakeoverCalls};
use repoll_testkit::raw;

pub fn tests() -> Vec<Test> {
    repoll_only!("takeover":
        io_uring_changes_the_interest_list,
        io_uring_waits_for_events,
        kcmp_finds_the_watched_file,
        each_call_that_waits_keeps_its_time_limit,
        a_time_limit_that_is_over_does_not_wait,
        proc_shows_the_same_as_of_a_c_epoll,
        unknown_ioctls_have_the_c_epolls_errors,
        busy_polling_is_not_supported,
        wakeup_is_dropped,
        select_and_poll_are_served,
    )
}

/// An instance of each side, the C epoll first.
fn both() -> Result<[Epoll; 2]> {
    let c = instance_of(Side::Kernel)?;
    let _on = on(TakeoverCalls::EPOLL)?;
    Ok([c, instance_of(Side::Repoll)?])
}

fn ring() -> Result<IoUring> {
    match IoUring::new(8) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            skip("the kernel has no io_uring (CONFIG_IO_URING)")
        }
        ring => Ok(ring?),
    }
}

/// The result of one request.
fn complete(ring: &mut IoUring, request: &squeue::Entry) -> Result<i32> {
    // SAFETY: the callers keep the memory of the request until it has completed, here.
    unsafe { ring.submission().push(request)? };
    ring.submit_and_wait(1)?;
    let completion = ring.completion().next().context("a completion")?;
    Ok(completion.result())
}

fn io_uring_changes_the_interest_list() -> Result<()> {
    let mut ring = ring()?;
    for m in both()? {
        let fd = files::eventfd()?;
        signal(&fd)?;
        // The C epoll and the module try without sleeping first; a flag goes to a worker at once.
        for flags in [squeue::Flags::empty(), squeue::Flags::ASYNC] {
            let mut ctl = |op, data| {
                let event = Event::new(EventFlags::IN, data);
                let address = std::ptr::from_ref(&event).cast();
                let (own, file) = (types::Fd(m.as_raw_fd()), types::Fd(fd.as_raw_fd()));
                let ctl = opcode::EpollCtl::new(own, file, op, address);
                complete(&mut ring, &ctl.build().flags(flags))
            };
            let name = |result: i32| io::Error::from_raw_os_error(-result);
            let added = ctl(libc::EPOLL_CTL_ADD, 7)?;
            ensure!(added == 0, "ADD: {}", name(added));
            let again = ctl(libc::EPOLL_CTL_ADD, 7)?;
            ensure!(again == -libc::EEXIST, "ADD again: {}", name(again));
            expect_one(&m, 7)?;
            ensure!(ctl(libc::EPOLL_CTL_MOD, 8)? == 0, "MOD");
            expect_one(&m, 8)?;
            ensure!(ctl(libc::EPOLL_CTL_DEL, 0)? == 0, "DEL");
            expect_error(m.delete(&fd), libc::ENOENT)?;
        }
    }
    Ok(())
}

fn io_uring_waits_for_events() -> Result<()> {
    let mut ring = ring()?;
    let mut probe = io_uring::Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    if !probe.is_supported(opcode::EpollWait::CODE) {
        return skip("the kernel's io_uring has no EPOLL_WAIT (6.15)");
    }
    for m in both()? {
        let fd = files::eventfd()?;
        m.add(&fd, EventFlags::IN | EventFlags::ET, 7)?;
        for _ in 0..2 {
            let mut events = [Event::default(); 4];
            let wait = opcode::EpollWait::new(
                types::Fd(m.as_raw_fd()),
                events.as_mut_ptr().cast(),
                events.len() as u32,
            );
            // SAFETY: the events live until the request has completed, below.
            unsafe { ring.submission().push(&wait.build())? };
            ring.submit()?;
            ensure!(ring.completion().is_empty(), "there is no event yet");
            signal(&fd)?;
            ring.submit_and_wait(1)?;
            let result = ring.completion().next().context("a completion")?.result();
            ensure!(result == 1 && events[0].data() == 7, "{result}: {events:?}");
        }
        let mut nothing = [Event::default()];
        let wait = opcode::EpollWait::new(types::Fd(m.as_raw_fd()), nothing.as_mut_ptr().cast(), 0);
        let refused = complete(&mut ring, &wait.build())?;
        ensure!(refused == -libc::EINVAL, "{refused}");
    }
    Ok(())
}

/// kcmp(2) of a descriptor of this process with the watch `number` of an instance.
fn compare(fd: &OwnedFd, m: &Epoll, tfd: i32, number: u32) -> io::Result<usize> {
    const KCMP_EPOLL_TFD: usize = 7;
    let slot = [m.as_raw_fd() as u32, tfd as u32, number];
    let process = std::process::id() as usize;
    let (fd, slot) = (fd.as_raw_fd() as usize, slot.as_ptr() as usize);
    // SAFETY: the call reads a struct kcmp_epoll_slot, three words.
    unsafe { raw::syscall(libc::SYS_kcmp, [process, process, KCMP_EPOLL_TFD, fd, slot]) }
}

fn kcmp_finds_the_watched_file() -> Result<()> {
    for m in both()? {
        let (fd, other) = (files::eventfd()?, files::eventfd()?);
        let number = fd.as_raw_fd();
        m.add(&fd, EventFlags::IN, 1)?;
        match compare(&fd, &m, number, 0) {
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                return skip("the kernel has no kcmp(2) (CONFIG_KCMP)");
            }
            result => ensure!(result? == 0, "it is another file"),
        }
        ensure!(compare(&other, &m, number, 0)? != 0, "it is the same file");
        expect_error(compare(&fd, &m, other.as_raw_fd(), 0), libc::ENOENT)?;
        expect_error(compare(&fd, &m, number, 1), libc::ENOENT)?;
        // Another file under the number that the first one has: the second watch of the number.
        let copy = fd.try_clone()?;
        files::dup_onto(other.try_clone()?, number)?;
        m.add(&number, EventFlags::IN, 2)?;
        let found = [
            compare(&copy, &m, number, 0)?,
            compare(&copy, &m, number, 1)?,
        ];
        ensure!(found.contains(&0) && found[0] != found[1], "{found:?}");
        expect_error(compare(&copy, &m, number, 2), libc::ENOENT)?;
    }
    Ok(())
}

/// A call that waits on an instance, with a time limit in milliseconds.
type Wait = fn(&Epoll, i64) -> io::Result<usize>;

#[cfg(target_arch = "x86_64")]
const WAIT: libc::c_long = libc::SYS_epoll_wait;
/// Without a mask this is the same call.
#[cfg(not(target_arch = "x86_64"))]
const WAIT: libc::c_long = libc::SYS_epoll_pwait;

fn wait_by(number: libc::c_long, m: &Epoll, limit: usize) -> io::Result<usize> {
    let mut event = [Event::default()];
    let (m, at) = (m.as_raw_fd() as usize, event.as_mut_ptr() as usize);
    // SAFETY: there is room for the event; the time is a number, or one of the caller's that the
    // call reads.
    unsafe { raw::syscall(number, [m, at, 1, limit, 0, 8]) }
}

const WAITS: [(&str, Wait); 3] = [
    ("epoll_wait", |m, limit| wait_by(WAIT, m, limit as usize)),
    ("epoll_pwait", |m, limit| {
        wait_by(libc::SYS_epoll_pwait, m, limit as usize)
    }),
    ("epoll_pwait2", |m, limit| {
        let time = files::timespec(Duration::from_millis(limit as u64));
        wait_by(libc::SYS_epoll_pwait2, m, &raw const time as usize)
    }),
];

fn each_call_that_waits_keeps_its_time_limit() -> Result<()> {
    let limit = Duration::from_millis(60);
    for m in both()? {
        for (name, wait) in WAITS {
            let start = Instant::now();
            let count = wait(&m, limit.as_millis() as i64)?;
            let took = start.elapsed();
            ensure!(
                count == 0 && took >= limit,
                "{name}: {count} after {took:?}"
            );
            // A length taken for a moment would be too long by the age of the machine.
            ensure!(took < LONG, "{name}: {took:?}");
        }
    }
    Ok(())
}

fn a_time_limit_that_is_over_does_not_wait() -> Result<()> {
    let [_, m] = both()?;
    for (name, wait) in WAITS {
        let start = Instant::now();
        ensure!(wait(&m, 0)? == 0, "{name}");
        ensure!(start.elapsed() < LONG, "{name}");
    }
    let fd = files::eventfd()?;
    m.add(&fd, EventFlags::IN, 1)?;
    signal(&fd)?;
    for (name, wait) in WAITS {
        for limit in [0, 1, 1000] {
            ensure!(wait(&m, limit)? == 1, "{name}");
        }
    }
    Ok(())
}

fn proc_shows_the_same_as_of_a_c_epoll() -> Result<()> {
    let files = [files::eventfd()?, files::eventfd()?];
    let seen = both()?.map(|m| -> Result<_> {
        m.add(
            &files[0],
            EventFlags::IN | EventFlags::ET,
            0x1234_5678_9abc_def0,
        )?;
        m.add(&files[1], EventFlags::OUT, 2)?;
        let number = m.as_raw_fd();
        let link = fs::read_link(format!("/proc/self/fd/{number}"))?;
        Ok((
            link,
            fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?,
        ))
    });
    let [c, ours] = seen;
    let (c, ours) = (c?, ours?);
    ensure!(c == ours, "the C epoll: {c:#?}\nrepoll: {ours:#?}");
    Ok(())
}

fn unknown_ioctls_have_the_c_epolls_errors() -> Result<()> {
    let [c, ours] = both()?;
    for request in [
        0xB463,
        0x4008_B463,
        0x4008_B501,
        libc::TCGETS as u32,
        libc::FIONREAD as u32,
    ] {
        let errors = [&c, &ours].map(|m| {
            let result = raw::ioctl_nowhere(m, request, 0);
            result.map_err(|error| error.raw_os_error())
        });
        ensure!(errors[0] == errors[1], "{request:#x}: {errors:?}");
    }
    Ok(())
}

fn busy_polling_is_not_supported() -> Result<()> {
    let [_c, ours] = both()?;
    for request in [EPIOCSPARAMS, EPIOCGPARAMS] {
        expect_error(raw::ioctl_nowhere(&ours, request, 0), libc::EOPNOTSUPP)?;
    }
    Ok(())
}

/// With CONFIG_PM_SLEEP the C epoll keeps it, as the test has CAP_BLOCK_SUSPEND.
fn wakeup_is_dropped() -> Result<()> {
    let [_c, ours] = both()?;
    let fd = files::eventfd()?;
    ours.add(&fd, EventFlags::IN | EventFlags::WAKEUP, 1)?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", ours.as_raw_fd()))?;
    let always = EventFlags::IN | EventFlags::ERR | EventFlags::HUP;
    let events = format!("events: {:8x} ", always.bits());
    ensure!(text.contains(&events), "no {events:?} in {text}");
    Ok(())
}

fn select_and_poll_are_served() -> Result<()> {
    use repoll_testkit::scanner::{Kernel, Poll, Scanner, Select};
    let on = on(TakeoverCalls::SELECT | TakeoverCalls::POLL)?;
    let (ready, other) = (files::eventfd()?, files::eventfd()?);
    signal(&ready)?;
    let all = [ready.as_raw_fd(), other.as_raw_fd()];
    for _ in 0..100 {
        ensure!(Poll(Kernel).readable(&all, Some(LONG))? == all[..1]);
        ensure!(Select(Kernel).readable(&all, Some(LONG))? == all[..1]);
    }
    // A call that sleeps is seen.
    std::thread::scope(|threads| {
        let call = threads.spawn(|| Poll(Kernel).readable(&all[1..], Some(LONG)));
        let seen = crate::support::eventually("the call is being served", || {
            Ok(on.device().status()?.running == 1)
        });
        signal(&other)?;
        let found = join(call)??;
        ensure!(found == all[1..], "{found:?}");
        seen
    })?;
    ensure!(on.device().status()?.running == 0);
    instance_of(Side::Kernel).map(drop)
}
