// SPDX-License-Identifier: GPL-2.0
//! The tracepoints: that each one fires, and that its fields are right.

use crate::cases::tracing::contexts::recording;
use crate::prelude::*;
use repoll_testkit::memory::Place;
use repoll_testkit::signals::{handle_signal, Thread};
use repoll_trace::record::Record;

pub fn tests() -> Vec<Test> {
    repoll_only!("tracepoints" within 60:
        an_instance_comes_and_goes,
        an_item_comes_changes_and_goes,
        a_failed_change_is_told,
        the_watched_instance_is_named,
        a_poll_says_what_the_file_said,
        a_callback_says_whom_it_woke,
        an_exclusive_callback_says_whether_it_used_the_wakeup,
        a_nested_wakeup_is_inside_of_the_other,
        what_is_left_wakes_the_next_waiter,
        a_waiter_says_why_it_is_awake,
        a_scan_counts,
        what_cannot_be_copied_goes_back,
        oneshot_disarms,
    )
}

/// The events of the bits of interest that nobody has to ask for.
const ALWAYS: i64 = (libc::EPOLLERR | libc::EPOLLHUP) as i64;

/// The records of repoll's tracepoints while `body` runs.
pub fn recorded(body: impl FnOnce() -> Result<()>) -> Result<Vec<Record>> {
    let mut session = recording()?;
    body()?;
    let trace = session.stop()?;
    ensure!(
        trace.lost == 0 && trace.warnings.is_empty(),
        "{:?}",
        trace.warnings
    );
    Ok(trace.records)
}

/// The records of one event.
pub fn all<'a>(records: &'a [Record], event: &str) -> Vec<&'a Record> {
    let name = format!("repoll_{event}");
    records.iter().filter(|record| record.is(&name)).collect()
}

/// The only record of one event.
pub fn one<'a>(records: &'a [Record], event: &str) -> Result<&'a Record> {
    let found = all(records, event);
    ensure!(
        found.len() == 1,
        "one {event} is expected: {found:#?} in {records:#?}"
    );
    Ok(found[0])
}

/// Asserts that a record has these fields, each `name=value` with a decimal number or a word.
pub fn expect(record: &Record, fields: &str) -> Result<()> {
    for field in fields.split(' ') {
        let (name, value) = field.split_once('=').context("not name=value")?;
        let is_so = match value.parse() {
            Ok(number) => record.number(name) == Some(number),
            Err(_) => record.field(name) == Some(value),
        };
        ensure!(is_so, "{field} is expected: {record:?}");
    }
    Ok(())
}

pub fn number(record: &Record, name: &str) -> Result<i64> {
    record
        .number(name)
        .with_context(|| format!("{record:?} has no {name}"))
}

fn an_instance_comes_and_goes() -> Result<()> {
    let records = recorded(|| {
        drop(Repoll::new()?);
        Ok(())
    })?;
    let create = one(&records, "create")?;
    let release = one(&records, "release")?;
    ensure!(number(create, "ep")? > 0);
    expect(release, &format!("ep={}", number(create, "ep")?))?;
    ensure!(create.time <= release.time);
    Ok(())
}

fn an_item_comes_changes_and_goes() -> Result<()> {
    let fd = files::eventfd()?;
    let copy = fd.try_clone()?;
    let records = recorded(|| {
        let m = Repoll::new()?;
        m.add(&fd, EventFlags::IN, 0x1122_3344_5566_7788)?;
        m.add(&copy, EventFlags::PRI, 2)?;
        m.modify(&fd, EventFlags::PRI | EventFlags::ET, 3)?;
        m.delete(&fd)?;
        Ok(())
    })?;
    let ep = number(one(&records, "create")?, "ep")?;
    let [first, second] = all(&records, "add")[..] else {
        anyhow::bail!("two items: {records:#?}");
    };
    let item = number(first, "item")?;
    let number_of = |fd: &dyn AsRawFd| i64::from(fd.as_raw_fd());
    expect(
        first,
        &format!(
            "ep={ep} fd={} events={} data={} target=0",
            number_of(&fd),
            i64::from(libc::EPOLLIN) | ALWAYS,
            0x1122_3344_5566_7788_i64
        ),
    )?;
    expect(
        second,
        &format!("fd={} file={}", number_of(&copy), number(first, "file")?),
    )?;
    ensure!(number(first, "file")? != 0 && number(second, "item")? != item);
    let wanted = i64::from(libc::EPOLLPRI) | i64::from(libc::EPOLLET as u32) | ALWAYS;
    expect(
        one(&records, "modify")?,
        &format!(
            "ep={ep} item={item} fd={} events={wanted} data=3",
            number_of(&fd)
        ),
    )?;
    let removed = all(&records, "remove");
    ensure!(removed.len() == 2, "{removed:?}");
    expect(
        removed[0],
        &format!("ep={ep} item={item} fd={} reason=del", number_of(&fd)),
    )?;
    expect(removed[1], "reason=release")?;
    let operations: Vec<_> = all(&records, "ctl")
        .iter()
        .map(|record| record.show("op"))
        .collect();
    ensure!(operations == ["ADD", "ADD", "MOD", "DEL"], "{operations:?}");
    Ok(())
}

fn a_failed_change_is_told() -> Result<()> {
    let (m, fd) = watching_eventfd::<Repoll>(EventFlags::IN, 1)?;
    let records = recorded(|| expect_error(m.add(&fd, EventFlags::OUT, 7), libc::EEXIST))?;
    let ctl = one(&records, "ctl")?;
    expect(
        ctl,
        &format!(
            "op=ADD fd={} events={} data=7 ret={}",
            fd.as_raw_fd(),
            libc::EPOLLOUT,
            -libc::EEXIST
        ),
    )?;
    ensure!(all(&records, "add").is_empty());
    Ok(())
}

fn the_watched_instance_is_named() -> Result<()> {
    let records = recorded(|| {
        let (inner, outer) = (Repoll::new()?, Repoll::new()?);
        outer.add(&inner, EventFlags::IN, 1).map_err(Into::into)
    })?;
    let [inner, outer] = all(&records, "create")[..] else {
        anyhow::bail!("two instances: {records:#?}");
    };
    expect(
        one(&records, "add")?,
        &format!(
            "ep={} target={}",
            number(outer, "ep")?,
            number(inner, "ep")?
        ),
    )
}

fn a_poll_says_what_the_file_said() -> Result<()> {
    let m = Repoll::new()?;
    let (reader, writer) = files::pipe()?;
    let records = recorded(|| {
        m.add(&reader, EventFlags::IN, 1)?;
        files::write(&writer, b"x")?;
        expect_one(&m, 1)?;
        read_all(&reader)?;
        ensure!(m.ready()?.is_empty());
        Ok(())
    })?;
    let polls = all(&records, "poll");
    let readable = i64::from(libc::EPOLLIN | libc::EPOLLRDNORM);
    let said: Vec<_> = polls.iter().map(|poll| poll.number("ready")).collect();
    ensure!(said == [Some(0), Some(readable), Some(0)], "{polls:?}");
    let item = number(one(&records, "add")?, "item")?;
    for poll in polls {
        let wanted = i64::from(libc::EPOLLIN) | ALWAYS;
        expect(
            poll,
            &format!("item={item} fd={} events={wanted}", reader.as_raw_fd()),
        )?;
    }
    Ok(())
}

/// The records of a case: an eventfd, watched with `events`, is triggered while a waiter sleeps, or
/// not.
fn triggered(events: EventFlags, with_waiter: bool) -> Result<Vec<Record>> {
    let (m, fd) = watching_eventfd::<Repoll>(events, 1)?;
    recorded(|| {
        scope(|threads| {
            let waiter = with_waiter.then(|| threads.spawn(|| m.wait(1, Some(LONG))));
            // If the waiter is not asleep by then the test fails, which says that something is
            // slow.
            sleep(5 * MOMENT);
            signal(&fd)?;
            if let Some(waiter) = waiter {
                join(waiter)??;
            }
            Ok(())
        })
    })
}

fn a_callback_says_whom_it_woke() -> Result<()> {
    let records = triggered(EventFlags::IN, true)?;
    let (callback, exit) = (one(&records, "callback")?, one(&records, "callback_exit")?);
    let (ep, item) = (number(callback, "ep")?, number(callback, "item")?);
    expect(
        exit,
        &format!(
            "ep={ep} item={item} fd={} woken=1 used=0",
            number(callback, "fd")?
        ),
    )?;
    let wake = all(&records, "wake")[0];
    expect(wake, &format!("ep={ep} waiters=1 pollers=0 reason=event"))?;
    let key = i64::from(libc::EPOLLIN);
    expect(callback, &format!("key={key}"))?;
    ensure!(callback.pid == exit.pid && callback.time <= wake.time && wake.time <= exit.time);
    let records = triggered(EventFlags::IN, false)?;
    expect(one(&records, "callback_exit")?, "woken=0 used=0")?;
    ensure!(all(&records, "wake").is_empty());
    Ok(())
}

fn an_exclusive_callback_says_whether_it_used_the_wakeup() -> Result<()> {
    let events = EventFlags::IN | EventFlags::EXCLUSIVE;
    let records = triggered(events, true)?;
    expect(one(&records, "callback_exit")?, "woken=1 used=1")?;
    let records = triggered(events, false)?;
    expect(one(&records, "callback_exit")?, "woken=0 used=0")
}

fn a_nested_wakeup_is_inside_of_the_other() -> Result<()> {
    let (inner, outer, c) = (Repoll::new()?, Repoll::new()?, Epoll::new()?);
    let fd = files::eventfd()?;
    inner.add(&fd, EventFlags::IN, 1)?;
    outer.add(&inner, EventFlags::IN, 2)?;
    c.add(&outer, EventFlags::IN, 3)?;
    let records = recorded(|| {
        signal(&fd)?;
        expect_one(&c, 3).map(drop)
    })?;
    // One inside of the other, from the inner instance to the outer one.
    let inside = ["callback", "wake", "callback_exit"];
    let order: Vec<_> = records
        .iter()
        .filter_map(|record| record.event().strip_prefix("repoll_"))
        .filter(|name| inside.contains(name))
        .collect();
    let expected = [
        "callback",
        "wake",
        "callback",
        "wake",
        "callback_exit",
        "callback_exit",
    ];
    ensure!(order == expected, "{order:?}");
    for (callback, wake) in all(&records, "callback").iter().zip(all(&records, "wake")) {
        let ep = number(callback, "ep")?;
        expect(wake, &format!("ep={ep} waiters=0 pollers=1"))?;
    }
    Ok(())
}

fn what_is_left_wakes_the_next_waiter() -> Result<()> {
    let m = Repoll::new()?;
    let fds = eventfds(2)?;
    m.add_all(&fds, EventFlags::IN | EventFlags::ET, 1)?;
    let records = recorded(|| {
        scope(|threads| {
            let waiters: Vec<_> = (0..2)
                .map(|_| threads.spawn(|| m.wait(1, Some(LONG))))
                .collect();
            sleep(5 * MOMENT);
            signal(&fds[0])?;
            signal(&fds[1])?;
            for waiter in waiters {
                let events = join(waiter)??;
                ensure!(events.len() == 1, "{events:?}");
            }
            Ok(())
        })
    })?;
    // The second event woke the second waiter, or found both awake or the first one scanning, which
    // then passes the rest on: that may be so or so. With level-triggered items it must be.
    ensure!(all(&records, "deliver").len() == 2);
    let records = {
        let (m, fd) = watching_eventfd::<Repoll>(EventFlags::IN, 1)?;
        recorded(|| {
            scope(|threads| {
                let waiters: Vec<_> = (0..2)
                    .map(|_| threads.spawn(|| m.wait(1, Some(LONG))))
                    .collect();
                sleep(5 * MOMENT);
                signal(&fd)?;
                for waiter in waiters {
                    join(waiter)??;
                }
                Ok(())
            })
        })?
    };
    let left = all(&records, "wake")
        .into_iter()
        .find(|wake| wake.field("reason") == Some("left"));
    expect(
        left.context("nobody is woken for what is left")?,
        "waiters=1 pollers=0",
    )
}

fn a_waiter_says_why_it_is_awake() -> Result<()> {
    let (m, fd) = watching_eventfd::<Repoll>(EventFlags::IN, 1)?;
    handle_signal(libc::SIGUSR1, 0)?;
    let records = recorded(|| {
        let events = m.wait(7, Some(Duration::from_micros(500)))?;
        ensure!(events.is_empty());
        let waiter = Thread::current();
        after(
            5 * MOMENT,
            move || waiter.kill(libc::SIGUSR1),
            || expect_error(m.wait(8, None), libc::EINTR),
        )?;
        after(5 * MOMENT, || signal(&fd), || expect_one(&m, 1)).map(drop)
    })?;
    let ep = number(
        one(&records, "add").or_else(|_| one(&records, "callback"))?,
        "ep",
    )?;
    let enters = all(&records, "wait_enter");
    expect(enters[0], &format!("ep={ep} maxevents=7 timeout=500000"))?;
    expect(enters[1], &format!("ep={ep} maxevents=8"))?;
    ensure!(number(enters[1], "timeout")? < 0);
    let reasons: Vec<_> = all(&records, "wait_wake")
        .iter()
        .map(|wake| wake.show("reason"))
        .collect();
    ensure!(reasons == ["timeout", "signal", "event"], "{reasons:?}");
    ensure!(all(&records, "wait_sleep").len() == 3);
    let results: Vec<_> = all(&records, "wait_exit")
        .iter()
        .map(|exit| exit.number("ret"))
        .collect();
    ensure!(
        results == [Some(0), Some((-libc::EINTR).into()), Some(1)],
        "{results:?}"
    );
    Ok(())
}

fn a_scan_counts() -> Result<()> {
    let m = Repoll::new()?;
    let fds = eventfds(3)?;
    for fd in &fds {
        m.add(fd, EventFlags::IN, 1)?;
        signal(fd)?;
    }
    read_all(&fds[0])?;
    let records = recorded(|| {
        ensure!(files::poll(&m, libc::POLLIN, LONG)? == libc::POLLIN);
        ensure!(m.wait(8, Some(LONG))?.len() == 2);
        Ok(())
    })?;
    let begins: Vec<_> = all(&records, "scan_begin")
        .iter()
        .map(|begin| begin.show("by"))
        .collect();
    ensure!(begins == ["poll", "wait"], "{begins:?}");
    let ends = all(&records, "scan_end");
    ensure!(ends.len() == 2, "{ends:?}");
    // The first one is not ready any more, and leaves the queue.
    expect(ends[0], "taken=2 ready=1")?;
    expect(ends[1], "taken=2 ready=2")
}

fn what_cannot_be_copied_goes_back() -> Result<()> {
    let (m, fd) = watching_eventfd::<Repoll>(EventFlags::IN, 1)?;
    signal(&fd)?;
    let records = recorded(|| {
        let result = m.wait_at(Place::nowhere(16), 1, Some(LONG));
        expect_error(result, libc::EFAULT)
    })?;
    expect(one(&records, "queue")?, "reason=back")?;
    expect(one(&records, "scan_end")?, "taken=1 ready=0")?;
    expect(
        one(&records, "wait_exit")?,
        &format!("ret={}", -libc::EFAULT),
    )?;
    expect_one(&m, 1).map(drop)
}

fn oneshot_disarms() -> Result<()> {
    let (m, fd) = watching_eventfd::<Repoll>(EventFlags::IN | EventFlags::ONESHOT, 9)?;
    let records = recorded(|| {
        signal(&fd)?;
        expect_one(&m, 9).map(drop)
    })?;
    let deliver = one(&records, "deliver")?;
    let (ep, item) = (number(deliver, "ep")?, number(deliver, "item")?);
    expect(
        deliver,
        &format!("events={} data=9 fd={}", libc::EPOLLIN, fd.as_raw_fd()),
    )?;
    expect(
        one(&records, "disarm")?,
        &format!("ep={ep} item={item} fd={}", fd.as_raw_fd()),
    )?;
    expect(one(&records, "queue")?, "reason=callback")
}
