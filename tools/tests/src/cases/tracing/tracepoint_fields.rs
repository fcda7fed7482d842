// SPDX-License-Identifier: GPL-2.0
//! The tracepoints, word by word: each event of a scene, with all of its fields.

use super::contexts::{context_of_timers, name_of, recording};
use super::tracepoints::{all, number, recorded};
use crate::cases::source::feeds::{driver, interface, virtio_device, TYPE};
use crate::prelude::*;
use crate::support::Sleeper;
use repoll::{FdSet, Instance, PollFd, PollFlags, SelectSets, Source};
use repoll_testkit::file_kinds::KINDS;
use repoll_testkit::signals::signalfd;
use repoll_testkit::threads::{run_first, run_on, this_thread};
use repoll_trace::record::Record;
use std::io::{Read, Write};
use std::num::NonZeroU64;

pub fn tests() -> Vec<Test> {
    repoll_only!("tracepoint_fields" within 60:
        a_watch_from_its_add_to_its_end,
        a_sleep_and_a_wake_up,
        an_exclusive_watch,
        a_callback_in_an_interrupt_calls_the_outer_one_there,
        a_waiter_who_comes_too_late_finds_nothing,
        a_poll_that_sleeps,
        a_poll_that_is_called_for_nothing,
        a_select_that_finds_something,
        a_source_that_is_full,
        a_source_with_sleepers_and_pollers,
        what_interrupts_put_into_a_source,
        what_a_source_drops,
        a_source_that_hangs_up,
    )
}

/// The events of the bits of interest that nobody has to ask for.
const ALWAYS: i32 = libc::EPOLLERR | libc::EPOLLHUP;
const ONESHOT_IN: u32 = (libc::EPOLLONESHOT | libc::EPOLLIN | ALWAYS) as u32;
const JUST_IN: u32 = (libc::EPOLLIN | ALWAYS) as u32;

/// Records as lines of the event's name and all of its fields.
fn lines<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<String> {
    records
        .into_iter()
        .map(|record| record.to_string().replacen("repoll_", "", 1))
        .collect()
}

/// The lines of one thread.
fn lines_of(records: &[Record], thread: i32) -> Vec<String> {
    lines(records.iter().filter(|record| record.pid == thread))
}

/// Asserts that the lines are these, one after another.
fn expect_lines(lines: &[String], expected: &[String]) -> Result<()> {
    for (line, expected) in lines.iter().zip(expected) {
        ensure!(
            line == expected,
            "\n{line}, but expected was\n{expected}, in {lines:#?}"
        );
    }
    ensure!(
        lines.len() == expected.len(),
        "{} lines, but expected were {}: {lines:#?}",
        lines.len(),
        expected.len()
    );
    Ok(())
}

/// A field of the first record of an event.
fn first(records: &[Record], event: &str, field: &str) -> Result<i64> {
    let found = all(records, event);
    number(found.first().with_context(|| format!("no {event}"))?, field)
}

/// Does `body` in another thread while this one is in `call`; the other one's number.
fn while_asleep<T>(
    call: impl FnOnce() -> Result<T>,
    body: impl FnOnce() -> Result<()> + Send,
) -> Result<(T, i32)> {
    let sleeper = Sleeper::default();
    sleeper.is_this_thread();
    scope(|threads| {
        let other = threads.spawn(|| {
            sleeper.eventually_waits()?;
            body()?;
            Ok::<_, anyhow::Error>(this_thread())
        });
        let result = call();
        let other = join(other)??;
        Ok((result?, other))
    })
}

fn a_watch_from_its_add_to_its_end() -> Result<()> {
    let eventfd = files::eventfd()?;
    let fd = eventfd.as_raw_fd();
    let records = recorded(|| {
        let m = Repoll::new()?;
        m.add(&eventfd, EventFlags::IN | EventFlags::ONESHOT, 0x70)?;
        signal(&eventfd)?;
        ensure!(m.wait(4, Some(LONG))?.len() == 1);
        signal(&eventfd)?;
        m.modify(&eventfd, EventFlags::IN, 0x71)?;
        signal(&eventfd)?;
        ensure!(m.wait(4, Some(Duration::ZERO))?.len() == 1);
        m.delete(&eventfd)?;
        m.add(&eventfd, EventFlags::PRI, 0x72)?;
        signal(&eventfd)?;
        Ok(())
    })?;
    let ep = first(&records, "create", "ep")?;
    let item = first(&records, "add", "item")?;
    let file = first(&records, "add", "file")?;
    let next = number(all(&records, "add")[1], "item")?;
    let this = format!("ep={ep} fd={fd} item={item}");
    let other = format!("ep={ep} fd={fd} item={next}");
    let both = libc::EPOLLIN | libc::EPOLLOUT;
    let pri = libc::EPOLLPRI | ALWAYS;
    let timeout = LONG.as_nanos();
    expect_lines(
        &lines(&records),
        &[
            format!("create: ep={ep}"),
            format!("add: {this} events={ONESHOT_IN} data=112 file={file} target=0"),
            format!("poll: {this} events={ONESHOT_IN} ready=4"),
            format!(
                "ctl: ep={ep} fd={fd} op=ADD events={} data=112 ret=0",
                ONESHOT_IN & !24
            ),
            format!("callback: {this} key=1 context=task outcome=queued"),
            format!("queue: {this} reason=callback"),
            format!("callback_exit: {this} woken=0 used=0"),
            format!("wait_enter: ep={ep} maxevents=4 timeout={timeout}"),
            format!("scan_begin: ep={ep} by=wait"),
            format!("poll: {this} events={ONESHOT_IN} ready={both}"),
            format!("deliver: {this} events=1 data=112"),
            format!("disarm: {this}"),
            format!("scan_end: ep={ep} taken=1 ready=1"),
            format!("wait_exit: ep={ep} ret=1"),
            format!("callback: {this} key=1 context=task outcome=disarmed"),
            format!("callback_exit: {this} woken=0 used=0"),
            format!("modify: {this} events={JUST_IN} data=113"),
            format!("poll: {this} events={JUST_IN} ready={both}"),
            format!("queue: {this} reason=mod"),
            format!("ctl: ep={ep} fd={fd} op=MOD events=1 data=113 ret=0"),
            format!("callback: {this} key=1 context=task outcome=already-queued"),
            format!("callback_exit: {this} woken=0 used=0"),
            format!("wait_enter: ep={ep} maxevents=4 timeout=0"),
            format!("scan_begin: ep={ep} by=wait"),
            format!("poll: {this} events={JUST_IN} ready={both}"),
            format!("deliver: {this} events=1 data=113"),
            format!("queue: {this} reason=level"),
            format!("scan_end: ep={ep} taken=1 ready=1"),
            format!("wait_exit: ep={ep} ret=1"),
            format!("remove: {this} reason=del"),
            format!("ctl: ep={ep} fd={fd} op=DEL events=0 data=0 ret=0"),
            format!("add: {other} events={pri} data=114 file={file} target=0"),
            format!("poll: {other} events={pri} ready={both}"),
            format!("ctl: ep={ep} fd={fd} op=ADD events=2 data=114 ret=0"),
            format!("callback: {other} key=1 context=task outcome=mismatch"),
            format!("callback_exit: {other} woken=0 used=0"),
            format!("release: ep={ep}"),
            format!("remove: {other} reason=release"),
        ],
    )
}

fn a_sleep_and_a_wake_up() -> Result<()> {
    let eventfd = files::eventfd()?;
    let fd = eventfd.as_raw_fd();
    let m = Repoll::new()?;
    let mut waker = 0;
    let records = recorded(|| {
        m.add(&eventfd, EventFlags::IN | EventFlags::ET, 7)?;
        waker = while_asleep(|| Ok(m.wait(3, None)?), || Ok(signal(&eventfd)?))?.1;
        Ok(())
    })?;
    let ep = first(&records, "add", "ep")?;
    let item = first(&records, "add", "item")?;
    let this = format!("ep={ep} fd={fd} item={item}");
    let events = JUST_IN | libc::EPOLLET as u32;
    let both = libc::EPOLLIN | libc::EPOLLOUT;
    expect_lines(
        &lines_of(&records, waker),
        &[
            format!("callback: {this} key=1 context=task outcome=queued"),
            format!("queue: {this} reason=callback"),
            format!("wake: ep={ep} waiters=1 pollers=0 reason=event"),
            format!("callback_exit: {this} woken=1 used=0"),
        ],
    )?;
    expect_lines(
        &lines_of(&records, this_thread())[3..],
        &[
            format!("wait_enter: ep={ep} maxevents=3 timeout=-1"),
            format!("wait_sleep: ep={ep}"),
            format!("wait_wake: ep={ep} reason=event"),
            format!("scan_begin: ep={ep} by=wait"),
            format!("poll: {this} events={events} ready={both}"),
            format!("deliver: {this} events=1 data=7"),
            format!("scan_end: ep={ep} taken=1 ready=1"),
            format!("wait_exit: ep={ep} ret=1"),
        ],
    )
}

fn an_exclusive_watch() -> Result<()> {
    let eventfd = files::eventfd()?;
    let m = Repoll::new()?;
    m.add(&eventfd, EventFlags::IN | EventFlags::EXCLUSIVE, 7)?;
    let mut waker = 0;
    let records = recorded(|| {
        waker = while_asleep(|| Ok(m.wait(1, Some(LONG))?), || Ok(signal(&eventfd)?))?.1;
        Ok(())
    })?;
    let last = lines_of(&records, waker).pop().unwrap_or_default();
    ensure!(
        last.starts_with("callback_exit: ") && last.ends_with(" woken=1 used=1"),
        "{last}"
    );
    Ok(())
}

/// A timer's callback in a hard interrupt (a softirq with PREEMPT_RT), a datagram's in a softirq,
/// each through two instances and to the C epoll.
fn a_callback_in_an_interrupt_calls_the_outer_one_there() -> Result<()> {
    let timers = name_of(context_of_timers()?);
    for (kind, context) in [("timerfd", timers), ("udp", "softirq"), ("pipe", "task")] {
        let kind = KINDS.iter().find(|known| known.name == kind);
        let source = kind.context("no such kind")?.make()?;
        let (inner, outer, c) = (Repoll::new()?, Repoll::new()?, Epoll::new()?);
        let records = recorded(|| {
            inner.add(&source.fd, EventFlags::IN, 1)?;
            outer.add(&inner, EventFlags::IN, 2)?;
            c.add(&outer, EventFlags::IN, 3)?;
            source.trigger()?;
            expect_one(&c, 3).map(drop)
        })?;
        let adds = all(&records, "add");
        ensure!(adds.len() == 2, "{adds:?}");
        let (of, target) = (number(adds[0], "ep")?, number(adds[1], "target")?);
        ensure!(of == target, "{adds:?}");
        let ids = adds.iter().map(|add| {
            let [ep, fd, item] = ["ep", "fd", "item"].map(|name| add.show(name));
            (ep.clone(), format!("ep={ep} fd={fd} item={item}"))
        });
        let [(inner_ep, inner_item), (outer_ep, outer_item)] = &ids.collect::<Vec<_>>()[..] else {
            anyhow::bail!("two items");
        };
        let key = first(&records, "callback", "key")?;
        let shown: Vec<_> = ["callback", "wake", "queue", "callback_exit"]
            .map(|name| format!("repoll_{name}"))
            .to_vec();
        let came: Vec<_> = records
            .iter()
            .skip_while(|record| !record.is("repoll_callback"))
            .filter(|record| shown.iter().any(|name| record.is(name)))
            .collect();
        expect_lines(
            &lines(came.into_iter().take(8)),
            &[
                format!("callback: {inner_item} key={key} context={context} outcome=queued"),
                format!("queue: {inner_item} reason=callback"),
                format!("wake: ep={inner_ep} waiters=0 pollers=1 reason=event"),
                format!("callback: {outer_item} key=1 context={context} outcome=queued"),
                format!("queue: {outer_item} reason=callback"),
                format!("wake: ep={outer_ep} waiters=0 pollers=1 reason=event"),
                format!("callback_exit: {outer_item} woken=0 used=0"),
                format!("callback_exit: {inner_item} woken=0 used=0"),
            ],
        )?;
        ensure!(key == 0 || key & i64::from(libc::EPOLLIN) != 0, "{key:x}");
    }
    Ok(())
}

/// One CPU for both, so that the waiter that is woken can't run before somebody else has taken what
/// it was woken for.
fn a_waiter_who_comes_too_late_finds_nothing() -> Result<()> {
    let (m, fd) = watching_eventfd::<Repoll>(EventFlags::IN | EventFlags::ET, 1)?;
    let sleeper = Sleeper::default();
    let records = recorded(|| {
        scope(|threads| {
            let waiter = threads.spawn(|| {
                run_on(0)?;
                sleeper.is_this_thread();
                anyhow::Ok(m.wait(1, Some(LONG))?)
            });
            let quicker = threads.spawn(|| {
                sleeper.eventually_waits()?;
                run_on(0)?;
                run_first()?;
                signal(&fd)?;
                ensure!(m.ready_data()? == [1]);
                // Now it may run; and what it waits for comes once more.
                sleep(5 * MOMENT);
                Ok(signal(&fd)?)
            });
            join(quicker)??;
            let events = join(waiter)??;
            ensure!(events.len() == 1, "{events:?}");
            Ok(())
        })
    })?;
    let ep = first(&records, "wait_enter", "ep")?;
    expect_lines(
        &lines(all(&records, "wait_wake")),
        &[
            format!("wait_wake: ep={ep} reason=nothing"),
            format!("wait_wake: ep={ep} reason=event"),
        ],
    )
}

fn a_poll_that_sleeps() -> Result<()> {
    let instance = Instance::open()?;
    let timer = files::timerfd()?;
    let fd = files::eventfd()?;
    let records = recorded(|| {
        files::arm(&timer, 5 * MOMENT, Duration::ZERO)?;
        let mut array = [
            PollFd::new(&fd, PollFlags::IN),
            PollFd::new(&timer, PollFlags::IN),
        ];
        ensure!(instance.poll(&mut array, Some(LONG))? == 1);
        Ok(())
    })?;
    let task = this_thread();
    let context = name_of(context_of_timers()?);
    let [fd, timer] = [fd.as_raw_fd(), timer.as_raw_fd()];
    let (wanted, timeout) = (JUST_IN, LONG.as_nanos());
    expect_lines(
        &lines(&records),
        &[
            format!("select_setup: task={task} call=poll nfds=2 bytes_in=16 timeout={timeout}"),
            format!("select_poll: task={task} fd={fd} events={wanted} ready=4"),
            format!("select_poll: task={task} fd={timer} events={wanted} ready=0"),
            format!("select_pass: task={task} pass=1 polled=2 entries=2 ready=0"),
            format!("select_sleep: task={task} sleep=1 wakeups=0"),
            format!("select_wake: task={task} fd={timer} key=1 context={context} matched=1"),
            format!("select_poll: task={task} fd={fd} events={wanted} ready=4"),
            format!("select_poll: task={task} fd={timer} events={wanted} ready=1"),
            format!("select_pass: task={task} pass=2 polled=2 entries=2 ready=1"),
            format!(
                "select_result: task={task} call=poll ret=1 passes=2 polled=4 entries=2 \
                wakeups=1 sleeps=1 bytes_in=16 bytes_out=4"
            ),
        ],
    )
}

/// An eventfd says what it is written for, and POLL wants something else; in a softirq, a datagram.
fn a_poll_that_is_called_for_nothing() -> Result<()> {
    let instance = Instance::open()?;
    let fd = files::eventfd()?;
    let kind = KINDS.iter().find(|known| known.name == "udp");
    let udp = kind.context("no udp")?.make()?;
    let records = recorded(|| {
        let mut array = [
            PollFd::new(&fd, PollFlags::PRI),
            PollFd::new(&udp.fd, PollFlags::IN),
        ];
        let both = || {
            signal(&fd)?;
            udp.trigger()
        };
        while_asleep(|| Ok(instance.poll(&mut array, None)?), both).map(drop)
    })?;
    let task = this_thread();
    let [fd, udp] = [fd.as_raw_fd(), udp.fd.as_raw_fd()];
    let key = first(&records, "select_wake", "key")?;
    ensure!(key == i64::from(libc::EPOLLIN), "{key:x}");
    let wakes = all(&records, "select_wake");
    let key = number(wakes[wakes.len() - 1], "key")?;
    ensure!(key & i64::from(libc::EPOLLIN) != 0, "{key:x}");
    expect_lines(
        &lines(wakes),
        &[
            format!("select_wake: task={task} fd={fd} key=1 context=task matched=0"),
            format!("select_wake: task={task} fd={udp} key={key} context=softirq matched=1"),
        ],
    )
}

/// A descriptor that is not open.
const CLOSED: i32 = 60;

fn a_select_that_finds_something() -> Result<()> {
    let instance = Instance::open()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    let records = recorded(|| {
        let mut set = FdSet::new();
        set.insert(&fd);
        ensure!(
            instance.select(
                SelectSets {
                    read: Some(&mut set),
                    ..Default::default()
                },
                Some(Duration::ZERO)
            )? == 1
        );
        let mut wrong = FdSet::new();
        wrong.extend([CLOSED]);
        expect_error(
            instance.select(
                SelectSets {
                    write: Some(&mut wrong),
                    ..Default::default()
                },
                None,
            ),
            libc::EBADF,
        )
    })?;
    let (task, fd) = (this_thread(), fd.as_raw_fd());
    // The client crate asks for whole words.
    let nfds = (fd / 64 + 1) * 64;
    let words = nfds / 8;
    // The events that select(2) asks for, in its sets for input and for exceptions.
    let wanted = libc::EPOLLIN
        | libc::EPOLLRDNORM
        | libc::EPOLLRDBAND
        | libc::EPOLLHUP
        | libc::EPOLLERR
        | libc::EPOLLPRI
        | i32::from(libc::POLLNVAL);
    expect_lines(
        &lines(&records),
        &[
            format!("select_setup: task={task} call=select nfds={nfds} bytes_in={words} timeout=0"),
            format!("select_poll: task={task} fd={fd} events={wanted} ready=5"),
            format!("select_pass: task={task} pass=1 polled=1 entries=0 ready=1"),
            format!(
                "select_result: task={task} call=select ret=1 passes=1 polled=1 entries=0 \
                wakeups=0 sleeps=0 bytes_in={words} bytes_out={words}"
            ),
            format!(
                "select_result: task={task} call=select ret={} passes=0 polled=0 entries=0 \
                wakeups=0 sleeps=0 bytes_in=8 bytes_out=0",
                -libc::EBADF
            ),
        ],
    )
}

const READABLE: i32 = libc::EPOLLIN | libc::EPOLLRDNORM;
const WRITABLE: i32 = libc::EPOLLOUT | libc::EPOLLWRNORM;

fn a_source_that_is_full() -> Result<()> {
    let _signals = signalfd(libc::SIGIO)?;
    let source = Source::open_nonblocking()?;
    source.set_up(1, 16, false)?;
    source.signal_this_process(libc::SIGIO)?;
    let records = recorded(|| {
        (&mut &source).write_all(b"abc")?;
        expect_error((&mut &source).write(b"x"), libc::EAGAIN)?;
        files::poll(&source, libc::POLLIN, Duration::ZERO)?;
        ensure!((&mut &source).read(&mut [0; 16])? == 3);
        expect_error((&mut &source).read(&mut [0; 16]), libc::EAGAIN)?;
        files::poll(&source, libc::POLLIN, Duration::ZERO)?;
        Ok(())
    })?;
    let id = first(&records, "source_arrive", "source")?;
    let eagain = -libc::EAGAIN;
    expect_lines(
        &lines(&records),
        &[
            format!(
                "source_arrive: source={id} kind=write message=1 length=3 queued=1 context=task"
            ),
            format!("source_wake: source={id} events={READABLE} sleepers=0 pollers=0 signal=1"),
            format!("source_write: source={id} nonblock=1 ret=3"),
            format!("source_write: source={id} nonblock=1 ret={eagain}"),
            format!("source_poll: source={id} events={READABLE}"),
            format!("source_take: source={id} queued=0 message=1"),
            format!("source_wake: source={id} events={WRITABLE} sleepers=0 pollers=0 signal=1"),
            format!("source_read: source={id} nonblock=1 ret=3"),
            format!("source_read: source={id} nonblock=1 ret={eagain}"),
            format!("source_poll: source={id} events={WRITABLE}"),
        ],
    )
}

fn a_source_with_sleepers_and_pollers() -> Result<()> {
    let source = Source::open()?;
    source.set_up(1, 16, false)?;
    let m = Repoll::new()?;
    m.add(&source, EventFlags::OUT, 1)?;
    let mut session = recording()?;
    let asleep = |session: &mut repoll_trace::tracefs::Session, count| {
        eventually("it sleeps", || {
            Ok(all(&session.read()?.records, "source_sleep").len() == count)
        })?;
        // It says so before it is in the queue.
        sleep(MOMENT);
        anyhow::Ok(())
    };
    scope(|threads| {
        let reader = threads.spawn(|| (&mut &source).read(&mut [0; 16]));
        asleep(&mut session, 1)?;
        (&mut &source).write_all(b"to the reader")?;
        ensure!(join(reader)?? == 13);
        (&mut &source).write_all(b"full")?;
        let writer = threads.spawn(|| (&mut &source).write(b"again"));
        asleep(&mut session, 2)?;
        ensure!((&mut &source).read(&mut [0; 16])? == 4);
        ensure!(join(writer)?? == 5);
        Ok(())
    })?;
    let records = session.stop()?.records;
    let id = first(&records, "source_arrive", "source")?;
    expect_lines(
        &lines(all(&records, "source_sleep")),
        &[
            format!("source_sleep: source={id} writer=reader"),
            format!("source_sleep: source={id} writer=writer"),
        ],
    )?;
    let wakes = lines(all(&records, "source_wake"));
    for expected in [
        format!("source_wake: source={id} events={READABLE} sleepers=1 pollers=1 signal=0"),
        format!("source_wake: source={id} events={WRITABLE} sleepers=1 pollers=1 signal=0"),
    ] {
        ensure!(wakes.contains(&expected), "no {expected} in {wakes:#?}");
    }
    let writes = lines(all(&records, "source_write"));
    ensure!(
        writes[0] == format!("source_write: source={id} nonblock=0 ret=13"),
        "{writes:?}"
    );
    let reads = lines(all(&records, "source_read"));
    ensure!(
        reads[0] == format!("source_read: source={id} nonblock=0 ret=13"),
        "{reads:?}"
    );
    Ok(())
}

/// A datagram over the loopback: a frame for the source that is attached to it.
fn loopback_frame() -> Result<()> {
    let a = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let b = std::net::UdpSocket::bind("127.0.0.1:0")?;
    a.send_to(b"a datagram", b.local_addr()?)?;
    Ok(())
}

fn what_interrupts_put_into_a_source() -> Result<()> {
    let source = Source::open_nonblocking()?;
    let records = recorded(|| {
        source.start_timer(MOMENT, NonZeroU64::new(1))?;
        eventually("the timer", || Ok(source.status()?.queued == 1))?;
        source.attach("lo", 0x0800)?;
        loopback_frame()?;
        eventually("the frame", || Ok(source.status()?.queued == 2))
    })?;
    let id = first(&records, "source_arrive", "source")?;
    let context = name_of(context_of_timers()?);
    expect_lines(
        &lines(&records),
        &[
            format!("source_arrive: source={id} kind=timer message=1 length=8 queued=1 context={context}"),
            format!("source_arrive: source={id} kind=frame message=2 length=52 queued=2 context=softirq"),
        ],
    )
}

fn what_a_source_drops() -> Result<()> {
    let source = Source::open_nonblocking()?;
    source.set_up(1, 16, false)?;
    (&mut &source).write_all(b"full")?;
    let records = recorded(|| {
        source.start_timer(MOMENT, NonZeroU64::new(1))?;
        eventually("the timer", || Ok(source.status()?.dropped == 1))?;
        source.attach("lo", 0x0800)?;
        loopback_frame()?;
        eventually("the frame", || Ok(source.status()?.too_long == 1))
    })?;
    let id = first(&records, "source_drop", "source")?;
    expect_lines(
        &lines(&records),
        &[
            format!("source_drop: source={id} kind=timer length=8 reason=full"),
            format!("source_drop: source={id} kind=frame length=52 reason=too-long"),
        ],
    )
}

/// The timer goes on, and no task is left to notify.
fn a_source_that_hangs_up() -> Result<()> {
    let (_peer, name) = interface()?;
    let device = virtio_device(&name)?;
    let source = Source::open_nonblocking()?;
    source.attach(&name, TYPE)?;
    let m = Repoll::new()?;
    m.add(&source, EventFlags::IN, 1)?;
    let result = recorded(|| {
        driver("unbind", &device)?;
        source.start_timer(MOMENT, NonZeroU64::new(1))?;
        eventually("the timer", || Ok(source.status()?.dropped == 1))
    });
    driver("bind", &device)?;
    let records = result?;
    let id = first(&records, "source_wake", "source")?;
    let hup = libc::EPOLLHUP;
    expect_lines(
        &lines(all(&records, "source_wake")),
        &[format!(
            "source_wake: source={id} events={hup} sleepers=0 pollers=1 signal=0"
        )],
    )?;
    expect_lines(
        &lines(all(&records, "source_drop")),
        &[format!(
            "source_drop: source={id} kind=timer length=8 reason=other"
        )],
    )
}
