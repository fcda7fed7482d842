// SPDX-License-Identifier: GPL-2.0
//! The context in which a callback ran, and its outcome, as the tracepoints record them.

use crate::prelude::*;
use crate::support::{is_realtime, Sleeper};
use repoll_testkit::file_kinds::{Source, KINDS};
use repoll_trace::record::{Context, Record};
use repoll_trace::tracefs::Session;

pub fn tests() -> Vec<Test> {
    repoll_only!("contexts":
        eventfd_calls_back_in_a_task,
        pipe_calls_back_in_a_task,
        timerfd_calls_back_where_timers_run,
        udp_over_loopback_calls_back_in_a_softirq,
        tcp_over_loopback_calls_back_in_a_softirq,
        one_event_leaves_its_whole_trail,
        a_callback_says_what_it_did,
        each_way_into_the_queue_is_named,
        each_way_out_of_the_interest_list_is_named,
        an_event_in_the_queue_wakes_nobody_twice,
    )
}

/// A recording of repoll's tracepoints.
pub fn recording() -> Result<Session> {
    let mut session = Session::new()?;
    ensure!(
        session.enable_system("repoll")?,
        "no tracepoints: is the module loaded?"
    );
    session.start()?;
    Ok(session)
}

/// The records of one event, after something of it has come.
pub fn records_of(session: &mut Session, event: &str) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    eventually(event, || {
        records = session.read()?.records;
        records.retain(|record| record.is(event));
        Ok(!records.is_empty())
    })?;
    Ok(records)
}

/// Where this kernel runs timers of user programs.
pub fn context_of_timers() -> Result<Context> {
    Ok(match is_realtime()? {
        true => Context::Softirq,
        false => Context::Hardirq,
    })
}

/// As our tracepoints name it.
pub fn name_of(context: Context) -> &'static str {
    match context {
        Context::Task => "task",
        Context::Softirq => "softirq",
        Context::Hardirq => "hardirq",
        Context::Nmi => "nmi",
    }
}

/// All callbacks that put the file into the queue ran in this context.
pub fn check_context(session: &mut Session, expected: Context) -> Result<()> {
    let callbacks = records_of(session, "repoll_callback")?;
    let mut queued = callbacks
        .iter()
        .filter(|r| r.field("outcome") == Some("queued"))
        .peekable();
    ensure!(
        queued.peek().is_some(),
        "no callback queued it: {callbacks:?}"
    );
    for callback in queued {
        let name = name_of(expected);
        ensure!(
            callback.field("context") == Some(name),
            "not in a {name}: {callback:?}"
        );
        // The trace buffer has its own opinion.
        ensure!(
            callback.context == expected,
            "not in a {name}: {callback:?}"
        );
    }
    Ok(())
}

fn kind_calls_back_in(kind: &str, context: Context) -> Result<()> {
    let kind = KINDS
        .iter()
        .find(|known| known.name == kind)
        .context("no such kind")?;
    let source = kind.make()?;
    let m = Repoll::new()?;
    let mut session = recording()?;
    m.add(&source.fd, EventFlags::IN, 1)?;
    for _ in 0..5 {
        source.trigger()?;
        expect_one(&m, 1)?;
        source.drain()?;
    }
    check_context(&mut session, context)
}

fn eventfd_calls_back_in_a_task() -> Result<()> {
    kind_calls_back_in("eventfd", Context::Task)
}

fn pipe_calls_back_in_a_task() -> Result<()> {
    kind_calls_back_in("pipe", Context::Task)
}

fn timerfd_calls_back_where_timers_run() -> Result<()> {
    kind_calls_back_in("timerfd", context_of_timers()?)
}

fn udp_over_loopback_calls_back_in_a_softirq() -> Result<()> {
    kind_calls_back_in("udp", Context::Softirq)
}

fn tcp_over_loopback_calls_back_in_a_softirq() -> Result<()> {
    kind_calls_back_in("tcp", Context::Softirq)
}

/// The names of the events, without the prefix, in order.
fn trail(records: &[Record]) -> Vec<&str> {
    let ours = records
        .iter()
        .filter_map(|record| record.event().strip_prefix("repoll_"));
    ours.collect()
}

fn one_event_leaves_its_whole_trail() -> Result<()> {
    let m = Repoll::new()?;
    let fd = files::eventfd()?;
    let mut session = recording()?;
    m.add(&fd, EventFlags::IN | EventFlags::ET, 0x77)?;
    let sleeper = Sleeper::default();
    sleeper.is_this_thread();
    let events = scope(|threads| {
        threads.spawn(|| {
            sleeper.eventually_waits()?;
            Ok::<_, anyhow::Error>(signal(&fd)?)
        });
        m.wait(4, Some(2 * LONG))
    })?;
    ensure!(events.len() == 1, "{events:?}");
    m.delete(&fd)?;
    let trace = session.stop()?;
    let trail = trail(&trace.records);
    for event in [
        "ctl",
        "wait_enter",
        "callback",
        "queue",
        "wake",
        "deliver",
        "wait_exit",
        "remove",
    ] {
        ensure!(trail.contains(&event), "{event} is missing: {trail:?}");
    }
    let at = |event: &str| {
        trail
            .iter()
            .position(|name| *name == event)
            .unwrap_or(usize::MAX)
    };
    ensure!(at("ctl") < at("wait_enter"), "{trail:?}");
    ensure!(
        at("wait_enter") < at("callback").min(at("queue")),
        "{trail:?}"
    );
    ensure!(at("callback").max(at("queue")) < at("deliver"), "{trail:?}");
    ensure!(at("deliver") < at("wait_exit"), "{trail:?}");
    let deliver = trace
        .records
        .iter()
        .find(|r| r.is("repoll_deliver"))
        .context("deliver")?;
    ensure!(deliver.number("data") == Some(0x77), "{deliver:?}");
    ensure!(
        deliver.number("fd") == Some(fd.as_raw_fd().into()),
        "{deliver:?}"
    );
    let exit = trace
        .records
        .iter()
        .find(|r| r.is("repoll_wait_exit"))
        .context("exit")?;
    ensure!(exit.number("ret") == Some(1), "{exit:?}");
    let wake = trace
        .records
        .iter()
        .find(|r| r.is("repoll_wake"))
        .context("wake")?;
    ensure!(wake.number("waiters") == Some(1), "{wake:?}");
    Ok(())
}

fn a_callback_says_what_it_did() -> Result<()> {
    let m = Repoll::new()?;
    let (reader, writer) = files::pipe()?;
    m.add(&reader, EventFlags::IN | EventFlags::ONESHOT, 1)?;
    let fd = files::eventfd()?;
    m.add(&fd, EventFlags::PRI, 2)?;
    let mut session = recording()?;
    files::write(&writer, b"x")?;
    let again = files::eventfd()?;
    m.add(&again, EventFlags::IN, 3)?;
    signal(&again)?;
    signal(&again)?;
    ensure!(m.ready()?.len() == 2);
    read_all(&reader)?;
    files::write(&writer, b"x")?;
    signal(&fd)?;
    let callbacks = records_of(&mut session, "repoll_callback")?;
    let outcomes: Vec<_> = callbacks
        .iter()
        .filter_map(|r| r.field("outcome"))
        .collect();
    for outcome in ["queued", "already-queued", "disarmed", "mismatch"] {
        ensure!(
            outcomes.contains(&outcome),
            "{outcome} is missing: {outcomes:?}"
        );
    }
    Ok(())
}

fn each_way_into_the_queue_is_named() -> Result<()> {
    let m = Repoll::new()?;
    let fd = files::eventfd()?;
    let mut session = recording()?;
    signal(&fd)?;
    m.add(&fd, EventFlags::IN | EventFlags::ONESHOT, 1)?;
    expect_one(&m, 1)?;
    m.modify(&fd, EventFlags::IN, 1)?;
    expect_one(&m, 1)?;
    read_all(&fd)?;
    ensure!(m.ready()?.is_empty());
    signal(&fd)?;
    expect_one(&m, 1)?;
    let queued = records_of(&mut session, "repoll_queue")?;
    let reasons: Vec<_> = queued.iter().filter_map(|r| r.field("reason")).collect();
    ensure!(
        reasons == ["add", "mod", "level", "callback", "level"],
        "{reasons:?}"
    );
    Ok(())
}

fn each_way_out_of_the_interest_list_is_named() -> Result<()> {
    for kind in KINDS {
        let m = Repoll::new()?;
        let mut session = recording()?;
        let Source { fd, means } = kind.make()?;
        m.add(&fd, EventFlags::IN, 1)?;
        m.delete(&fd)?;
        m.add(&fd, EventFlags::IN, 2)?;
        let copy = fd.try_clone()?;
        drop(fd);
        sleep(MOMENT);
        let early = records_of(&mut session, "repoll_remove")?;
        ensure!(early.len() == 1, "{}: {early:?}", kind.name);
        drop(copy);
        drop(means);
        let other = files::eventfd()?;
        m.add(&other, EventFlags::IN, 3)?;
        drop(m);
        let mut reasons = Vec::new();
        let all = eventually("three removals", || {
            let records = records_of(&mut session, "repoll_remove")?;
            reasons = records
                .iter()
                .filter_map(|r| r.field("reason").map(str::to_owned))
                .collect();
            Ok(reasons.len() >= 3)
        });
        ensure!(
            all.is_ok() && reasons == ["del", "last-close", "release"],
            "{}: {reasons:?}",
            kind.name
        );
    }
    Ok(())
}

fn an_event_in_the_queue_wakes_nobody_twice() -> Result<()> {
    let (m, fd) = watching_eventfd::<Repoll>(EventFlags::IN, 1)?;
    let mut session = recording()?;
    for _ in 0..10 {
        signal(&fd)?;
    }
    let queued = records_of(&mut session, "repoll_queue")?;
    ensure!(queued.len() == 1, "{queued:?}");
    expect_one(&m, 1).map(drop)
}
