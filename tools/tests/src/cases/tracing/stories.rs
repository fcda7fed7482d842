// SPDX-License-Identifier: GPL-2.0
//! The stories that repoll-trace tells of what happens here: whole, and in causal order.
//!
//! With any number of CPUs: `guest-initramfs --smp 4 -- repoll-tests stories`, say.

use crate::cases::source::feeds::{interface, TYPE};
use crate::cases::tracing::contexts::context_of_timers;
use crate::prelude::*;
use repoll::{FdSet, Instance, PollFd, PollFlags, SelectSets, Source};
use repoll_testkit::file_kinds::KINDS;
use repoll_testkit::threads::{number_of_call, this_thread};
use repoll_trace::record::Context;
use repoll_trace::recorder;
use repoll_trace::story::{self, Call, Called, Cause, Step, Story};
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

pub fn tests() -> Vec<Test> {
    repoll_only!("stories" within 90:
        of_wait,
        of_select_and_poll,
        of_what_is_ready_already,
        of_a_source_that_is_watched,
        of_a_source_that_is_read,
        of_a_source_that_is_written_to,
        of_frames,
        of_nested_instances,
        of_an_instance_that_is_polled,
        of_two_who_watch_one_instance,
    )
}

/// The number of times that each action is done.
const ROUNDS: usize = 3;

/// From the callback of an item to where its waiter runs.
const WOKEN: [&str; 5] = ["callback", "ready queue", "wake-up", "scheduler", "running"];

/// Until WAIT returns with a level-triggered event.
const DELIVERED: [&str; 4] = ["poll", "delivery", "requeue", "wait returns"];

/// The stories of what `body` does. Of each of them it is true that its steps are in order.
fn stories(body: impl FnOnce() -> Result<()>) -> Result<Vec<Story>> {
    let mut session = recorder::story()?;
    body()?;
    let trace = session.stop()?;
    ensure!(trace.warnings.is_empty(), "{:?}", trace.warnings);
    ensure!(trace.lost == 0, "{} lost", trace.lost);
    let stories = story::all(&trace.records);
    for story in &stories {
        // By construction each step is caused by the one before it: then their times must agree.
        ensure!(story.steps.is_sorted_by_key(|step| step.time), "{story:#?}");
        ensure!(
            story.steps.is_sorted_by(|one, next| one.at < next.at),
            "{story:#?}"
        );
        // The waker's context goes on to the scheduler; then it is the thread's.
        for pair in story.steps.windows(2) {
            let [one, next] = pair else { continue };
            if next.name == "scheduler" {
                ensure!(one.cpu == next.cpu, "{story:#?}");
            }
        }
    }
    Ok(stories)
}

fn names(steps: &[Step]) -> Vec<&'static str> {
    steps.iter().map(|step| step.name).collect()
}

/// Asserts that at least this many of the stories have these steps, from the callback or the
/// arrival on.
fn expect<'a>(
    stories: impl IntoIterator<Item = &'a Story>,
    least: usize,
    expected: &[&str],
) -> Result<()> {
    let stories: Vec<_> = stories.into_iter().collect();
    let fit = stories.iter().filter(|story| {
        let names = names(&story.steps);
        let from = names.iter().position(|name| expected.first() == Some(name));
        from.is_some_and(|from| names[from..] == *expected) && story.missing.is_none()
    });
    let count = fit.count();
    ensure!(
        count >= least,
        "{count} of {least} go {expected:?}: {stories:#?}"
    );
    Ok(())
}

/// Does `wait` in another thread, and `trigger` when that sleeps in it.
fn while_asleep(
    wait: impl FnOnce() -> Result<()> + Send,
    trigger: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let thread = AtomicI32::new(0);
    scope(|threads| {
        let waiter = threads.spawn(|| {
            thread.store(this_thread(), SeqCst);
            wait()
        });
        eventually("the thread sleeps", || {
            let thread = thread.load(SeqCst);
            let read = |name| fs::read_to_string(format!("/proc/{thread}/{name}"));
            let calls = [libc::SYS_ioctl, libc::SYS_read, libc::SYS_write];
            let call = read("syscall").ok().and_then(|line| number_of_call(&line));
            let stat = read("stat").unwrap_or_default();
            Ok(call.is_some_and(|call| calls.contains(&call)) && stat.contains(") S "))
        })?;
        trigger()?;
        join(waiter)?
    })
}

/// The same with a trigger in a third thread: what the recording thread calls is not recorded.
fn while_asleep_elsewhere(
    wait: impl FnOnce() -> Result<()> + Send,
    trigger: impl FnOnce() -> Result<()> + Send,
) -> Result<()> {
    while_asleep(wait, || {
        let other = scope(|threads| threads.spawn(trigger).join());
        other.map_err(|_| anyhow::anyhow!("panic"))?
    })
}

fn of_wait() -> Result<()> {
    let stories = stories(|| {
        for kind in KINDS {
            let m = Repoll::new()?;
            let source = kind.make()?;
            m.add(&source.fd, EventFlags::IN, 1)?;
            for _ in 0..ROUNDS {
                let wait = || Ok(m.wait(1, Some(LONG)).map(drop)?);
                while_asleep(wait, || source.trigger())?;
                source.drain()?;
            }
        }
        Ok(())
    })?;
    expect(
        &stories,
        ROUNDS * KINDS.len() / 2,
        &[&WOKEN[..], &DELIVERED].concat(),
    )?;
    let timers = match context_of_timers()? {
        Context::Softirq => Cause::Softirq,
        _ => Cause::Interrupt,
    };
    for cause in [Cause::Task, timers, Cause::Loopback, Cause::Write] {
        ensure!(
            stories.iter().any(|story| story.cause == cause),
            "no {cause}: {stories:#?}"
        );
    }
    let of_timers = stories.iter().filter(|story| story.cause == timers);
    let begin = of_timers.filter(|story| story.steps.iter().any(|step| step.name == "timer"));
    ensure!(
        begin.count() > 0,
        "none begins with a timer's expiry: {stories:#?}"
    );
    Ok(())
}

fn of_select_and_poll() -> Result<()> {
    let instance = Instance::open()?;
    let stories = stories(|| {
        for kind in KINDS {
            let sources = [kind.make()?, kind.make()?, kind.make()?];
            for round in 0..2 * ROUNDS {
                let wait = || {
                    if round % 2 == 0 {
                        let mut fds = sources
                            .each_ref()
                            .map(|source| PollFd::new(&source.fd, PollFlags::IN));
                        instance.poll(&mut fds, Some(LONG))?;
                    } else {
                        let mut set = FdSet::default();
                        sources.iter().for_each(|source| set.insert(&source.fd));
                        instance.select(
                            SelectSets {
                                read: Some(&mut set),
                                ..Default::default()
                            },
                            Some(LONG),
                        )?;
                    }
                    Ok(())
                };
                while_asleep(wait, || sources[1].trigger())?;
                sources[1].drain()?;
            }
        }
        Ok(())
    })?;
    let expected = [
        "callback",
        "scheduler",
        "running",
        "poll",
        "pass",
        "returns",
    ];
    for wanted in [Call::Select, Call::Poll] {
        let of_call = stories.iter().filter(
            |story| matches!(story.called[..], [Called::Entry { call, .. }] if call == wanted),
        );
        let least = ROUNDS * KINDS.len() / 2;
        expect(of_call.clone(), least, &expected)?;
        for story in of_call {
            let detail = |name: &str| {
                let mut steps = story.steps.iter();
                let step = steps.find(|step| step.name == name);
                step.map_or("", |step| step.detail.as_str())
            };
            // A signal makes all three ready.
            let ready = detail("pass").strip_prefix("3 files polled, ");
            ensure!(
                ready.is_some_and(|text| text.ends_with(" ready")),
                "{story:#?}"
            );
            let returned = detail("returns").strip_prefix(&format!("{wanted}: "));
            ensure!(ready == returned, "{story:#?}");
        }
    }
    Ok(())
}

fn of_what_is_ready_already() -> Result<()> {
    let instance = Instance::open()?;
    let fd = files::eventfd()?;
    let stories = stories(|| {
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        instance.poll(&mut fds, Some(Duration::ZERO))?;
        signal(&fd)?;
        instance.poll(&mut fds, Some(LONG))?;
        Ok(())
    })?;
    // The first one found nothing: that is no event.
    ensure!(stories.len() == 1, "{stories:#?}");
    ensure!(stories[0].cause == Cause::Ready, "{stories:#?}");
    expect(&stories, 1, &["call", "poll", "pass", "returns"])
}

/// One message from a timer.
fn tick(source: &Source) -> Result<()> {
    Ok(source.start_timer(Duration::from_millis(5), NonZeroU64::new(1))?)
}

fn of_a_source_that_is_watched() -> Result<()> {
    let m = Repoll::new()?;
    let source = Source::open()?;
    m.add(&source, EventFlags::IN, 1)?;
    let stories = stories(|| {
        for round in 0..2 * ROUNDS {
            let wait = || {
                m.wait(1, Some(LONG))?;
                let length = (&source).read(&mut [0; 64])?;
                ensure!(length == if round % 2 == 0 { 5 } else { 8 });
                Ok(())
            };
            while_asleep_elsewhere(wait, || match round % 2 {
                0 => Ok((&source).write_all(b"hello")?),
                _ => tick(&source),
            })?;
        }
        Ok(())
    })?;
    let route = [&["arrival", "source"][..], &WOKEN, &DELIVERED, &["read"]].concat();
    for (cause, first) in [(Cause::Write, "system call"), (Cause::Timer, "timer")] {
        let of_cause = stories.iter().filter(|story| story.cause == cause);
        expect(of_cause.clone(), ROUNDS - 1, &route)?;
        for story in of_cause {
            ensure!(story.steps[0].name == first, "{story:#?}");
            ensure!(story.source.is_some(), "{story:#?}");
        }
    }
    // Each message has one story.
    ensure!(stories.len() == 2 * ROUNDS, "{stories:#?}");
    Ok(())
}

fn of_a_source_that_is_read() -> Result<()> {
    let source = Source::open()?;
    let stories = stories(|| {
        for round in 0..2 * ROUNDS {
            let wait = || Ok((&source).read(&mut [0; 64]).map(drop)?);
            while_asleep_elsewhere(wait, || match round % 2 {
                0 => Ok((&source).write_all(b"hello")?),
                _ => tick(&source),
            })?;
        }
        // This one waits in the queue.
        (&source).write_all(b"hello")?;
        Ok((&source).read(&mut [0; 64]).map(drop)?)
    })?;
    for cause in [Cause::Write, Cause::Timer] {
        let of_cause = stories.iter().filter(|story| story.cause == cause);
        let route = ["arrival", "wake-up", "scheduler", "running", "read"];
        expect(of_cause, ROUNDS - 1, &route)?;
    }
    expect(&stories, 1, &["arrival", "read"])?;
    ensure!(stories.len() == 2 * ROUNDS + 1, "{stories:#?}");
    ensure!(
        stories.iter().all(|story| story.called.is_empty()),
        "{stories:#?}"
    );
    Ok(())
}

fn of_a_source_that_is_written_to() -> Result<()> {
    let source = Source::open()?;
    source.set_up(1, 64, false)?;
    (&source).write_all(b"a message")?;
    let stories = stories(|| {
        for _ in 0..ROUNDS {
            let wait = || Ok((&source).write_all(b"another")?);
            while_asleep_elsewhere(wait, || Ok((&source).read(&mut [0; 64]).map(drop)?))?;
        }
        Ok(())
    })?;
    let written = stories
        .iter()
        .filter(|story| story.steps.iter().any(|step| step.name == "write"));
    expect(
        written,
        ROUNDS - 1,
        &["system call", "wake-up", "scheduler", "running", "write"],
    )
}

fn of_frames() -> Result<()> {
    let (peer, name) = interface()?;
    let m = Repoll::new()?;
    let source = Source::open()?;
    source.attach(&name, TYPE)?;
    m.add(&source, EventFlags::IN, 1)?;
    let stories = stories(|| {
        for _ in 0..2 * ROUNDS {
            let wait = || {
                m.wait(1, Some(LONG))?;
                Ok((&source).read(&mut [0; 2000]).map(drop)?)
            };
            while_asleep(wait, || {
                peer.ask(&format!("frames {TYPE:x} 1 100 0")).map(drop)
            })?;
        }
        Ok(())
    })?;
    let way = [
        "interrupt",
        "NAPI",
        "driver",
        "protocol",
        "arrival",
        "source",
    ];
    expect(
        stories.iter().filter(|story| story.cause == Cause::Frame),
        1,
        &[&way[..], &WOKEN, &DELIVERED, &["read"]].concat(),
    )
}

/// Instances, each of which watches the one before it, the first one `fd`.
fn chain(length: usize, fd: &impl AsRawFd) -> Result<Vec<Repoll>> {
    let mut instances: Vec<Repoll> = Vec::new();
    for _ in 0..length {
        let m = Repoll::new()?;
        match instances.last() {
            None => m.add(fd, EventFlags::IN, 1)?,
            Some(below) => m.add(below, EventFlags::IN, 2)?,
        }
        instances.push(m);
    }
    Ok(instances)
}

fn of_nested_instances() -> Result<()> {
    for depth in [2, 3, 4] {
        let fd = files::eventfd()?;
        let instances = chain(depth, &fd)?;
        let stories = stories(|| {
            for _ in 0..ROUNDS {
                let wait = || {
                    for m in instances.iter().rev() {
                        ensure!(m.wait(1, Some(LONG))?.len() == 1);
                    }
                    Ok(read_all(&fd)?)
                };
                while_asleep_elsewhere(wait, || Ok(signal(&fd)?))?;
                // Nothing is left in a ready queue: the next one begins anew.
                for m in instances.iter().rev() {
                    ensure!(m.ready()?.is_empty());
                }
            }
            Ok(())
        })?;
        let mut route = vec!["system call", "callback", "ready queue", "wake-up"];
        for _ in 1..depth {
            route.extend(["nesting", "ready queue", "wake-up"]);
        }
        route.extend(["scheduler", "running"]);
        for level in (0..depth).rev() {
            // A pass asks the instances below, too, the lowest first.
            route.extend(vec!["poll"; level]);
            route.extend(DELIVERED);
        }
        route.push("use");
        expect(&stories, ROUNDS - 1, &route)?;
        // They are one story each, not one for each instance.
        ensure!(stories.len() == ROUNDS, "{stories:#?}");
        ensure!(
            stories.iter().all(|story| story.called.len() == depth),
            "{stories:#?}"
        );
    }
    Ok(())
}

fn of_an_instance_that_is_polled() -> Result<()> {
    let instance = Instance::open()?;
    let fd = files::eventfd()?;
    let m = &chain(1, &fd)?[0];
    let stories = stories(|| {
        for _ in 0..ROUNDS {
            let wait = || {
                instance.poll(&mut [PollFd::new(m.instance(), PollFlags::IN)], Some(LONG))?;
                ensure!(m.wait(1, Some(LONG))?.len() == 1);
                Ok(read_all(&fd)?)
            };
            while_asleep(wait, || Ok(signal(&fd)?))?;
            ensure!(m.ready()?.is_empty());
        }
        Ok(())
    })?;
    let route = [
        &["callback", "ready queue", "wake-up", "nesting"][..],
        &["scheduler", "running", "poll", "poll", "pass", "returns"],
        &DELIVERED,
        &["use"],
    ];
    expect(&stories, ROUNDS - 1, &route.concat())
}

fn of_two_who_watch_one_instance() -> Result<()> {
    let fd = files::eventfd()?;
    let inner = &chain(1, &fd)?[0];
    let outer = [Repoll::new()?, Repoll::new()?];
    for m in &outer {
        m.add(inner, EventFlags::IN | EventFlags::ET, 2)?;
        // It was added ready or not: that is seen.
        m.ready()?;
    }
    let stories = stories(|| {
        let wait = || {
            scope(|threads| {
                let waiters = outer
                    .each_ref()
                    .map(|m| threads.spawn(|| m.wait(1, Some(LONG))));
                for waiter in waiters {
                    join(waiter)??;
                }
                anyhow::Ok(())
            })
        };
        scope(|threads| {
            let waits = threads.spawn(wait);
            sleep(10 * MOMENT);
            signal(&fd)?;
            join(waits)?
        })
    })?;
    // Each of the two has a story of its own, with the cause.
    ensure!(stories.len() == 2, "{stories:#?}");
    for story in &stories {
        ensure!(story.called.len() == 2, "{stories:#?}");
        let names = names(&story.steps);
        let route = [
            "callback",
            "ready queue",
            "wake-up",
            "nesting",
            "ready queue",
            "wake-up",
        ];
        ensure!(names.starts_with(&route), "{stories:#?}");
        ensure!(names.contains(&"wait returns"), "{stories:#?}");
    }
    ensure!(
        stories[0].called[0] == stories[1].called[0]
            && stories[0].called[1] != stories[1].called[1]
            && stories[0].receiver != stories[1].receiver,
        "{stories:#?}"
    );
    Ok(())
}
