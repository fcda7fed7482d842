// SPDX-License-Identifier: GPL-2.0
//! Follows the life of one event through a trace.
//!
//! It begins in the middle, where somebody is called: an item of an instance, or an entry of SELECT or POLL;
//! or where a message arrives for which nobody is. Backwards, all happened on the same CPU, in the same
//! softirq, interrupt or system call ([`cause`]). Upwards, those are called that watch the instance, until
//! one wakes a thread ([`call`]). Forwards, the thread leads to what it does with the event ([`turn`]), or the
//! message to the read that takes it ([`queue`]). Each step is a recorded event, and comes after the one
//! before it in the trace.

mod call;
mod cause;
mod queue;
#[cfg(test)]
mod tests;
mod turn;

use crate::ftrace::record::Record;
use crate::story::index::Index;
use crate::story::wakeups::begins_something_else;
use crate::story::{event_names, Called, Cause, Step, Story};

/// How far to look in one CPU's or thread's records for what should be near: so a trace from which
/// something is missing does not take for ever.
const NEAR: usize = 4096;

/// Somebody who is called, and where.
#[derive(Clone, Copy)]
struct Link {
    at: usize,
    who: Called,
}

/// A life as far as it has been followed.
struct Way<'a> {
    index: &'a Index<'a>,
    cause: Cause,
    /// The length of the packet, headers included.
    packet: i64,
    /// The arrival of the message that is the cause.
    message: Option<usize>,
    /// The source that it is of.
    source: Option<i64>,
    /// Those who are called, from the file upwards.
    links: Vec<Link>,
    steps: Vec<Step>,
    missing: Option<&'static str>,
    receiver: String,
}

/// Whether a life may begin to be followed at this record.
pub(crate) fn begins(record: &Record) -> bool {
    let field = |name| record.field(name);
    match record.event() {
        "repoll_callback" => field("outcome") == Some("queued"),
        "repoll_queue" => matches!(field("reason"), Some("add" | "mod")),
        "repoll_select_wake" => record.number("matched") == Some(1),
        "repoll_select_setup" | "repoll_source_arrive" => true,
        "repoll_source_wake" => record.number("sleepers") == Some(1),
        _ => false,
    }
}

/// Follows the life of which the record at `middle` is a part, in both directions, and says at which records
/// others need not begin any more. `None` if it is a part of one that begins elsewhere, or of none.
pub(crate) fn follow<'a>(index: &'a Index<'a>, middle: usize) -> Option<(Story, Vec<usize>)> {
    let mut way = Way {
        index,
        cause: Cause::Task,
        packet: 0,
        message: None,
        source: None,
        links: Vec::new(),
        steps: Vec::new(),
        missing: None,
        receiver: String::new(),
    };
    let followed = match index.records[middle].event() {
        "repoll_callback" | "repoll_select_wake" => way.called(middle),
        "repoll_queue" => way.found_by_ctl(middle),
        "repoll_select_setup" => way.found_by_call(middle),
        _ => way.queued(middle),
    };
    followed.then(|| {
        let mut done: Vec<_> = way.links.iter().map(|link| link.at).collect();
        done.extend(way.message);
        let story = Story {
            cause: way.cause,
            called: way.links.iter().map(|link| link.who).collect(),
            source: way.source,
            receiver: way.receiver,
            steps: way.steps,
            missing: way.missing,
        };
        (story, done)
    })
}

impl<'a> Way<'a> {
    fn record(&self, at: usize) -> &'a Record {
        &self.index.records[at]
    }

    fn is(&self, at: usize, event: &str) -> bool {
        self.record(at).is(event)
    }

    fn step(&mut self, at: usize, name: &'static str, detail: String) {
        let record = self.record(at);
        let step = Step {
            at,
            time: record.time,
            cpu: record.cpu,
            context: record.context,
            name,
            detail,
        };
        self.steps.push(step);
    }

    /// Notes that a step is missing, if it is the first one.
    fn miss(&mut self, step: &'static str) {
        self.missing.get_or_insert(step);
    }

    /// The first event of a name in a thread, before it waits again.
    fn turn(&self, pid: i32, from: usize, event: &str) -> Option<usize> {
        self.turn_where(pid, from, |record| record.is(event))
    }

    /// The first record like that in a thread, before it waits again.
    fn turn_where(&self, pid: i32, from: usize, test: impl Fn(&Record) -> bool) -> Option<usize> {
        let waits = |record: &Record| {
            matches!(
                record.event(),
                "repoll_wait_enter" | "repoll_select_setup" | "repoll_source_sleep"
            )
        };
        let mut after = self.index.thread_after(pid, from).take(NEAR);
        let found = after.find(|at| test(self.record(*at)) || waits(self.record(*at)));
        found.filter(|at| test(self.record(*at)))
    }

    /// The wake-up of a thread, from where the scheduler is asked for it to where it runs. `who`: its
    /// number, where that is known. Before `end`, on the CPU of `wake`.
    fn wake(&mut self, wake: usize, end: usize, who: Option<i64>) {
        let pid = self.record(wake).pid;
        let waking = self
            .index
            .cpu_after(wake)
            .take_while(|at| *at < end && !begins_something_else(self.record(*at).event()))
            .find(|at| {
                let record = self.record(*at);
                let wanted = who.is_none() || record.number("pid") == who;
                record.is("sched_waking") && record.pid == pid && wanted
            });
        let Some(waking) = waking else {
            // It may have been awake already: then there is nothing to do.
            return;
        };
        let record = self.record(waking);
        let target = record.number("pid").unwrap_or(0) as i32;
        let who = format!("{} ({target})", record.show("comm"));
        let detail = format!("{who} is to run, on CPU {}", record.show("target_cpu"));
        self.step(waking, "scheduler", detail);
        let Some(switch) = self.index.switch_after(target, waking) else {
            return self.miss("running");
        };
        let after = self.record(switch).show("prev_comm");
        self.step(switch, "running", format!("{who} runs, after {after}"));
    }

    /// The thread `receiver` has the event, and looked for it first at `place`. If it is not the one that was
    /// woken, the other's running tells nothing here; nor does its own, if that came later.
    fn taken(&mut self, receiver: i32, place: usize) {
        let records = self.index.records;
        self.steps.retain(|step| {
            let thread = match step.name {
                "scheduler" => "pid",
                "running" => "next_pid",
                _ => return true,
            };
            step.at < place && records[step.at].number(thread) == Some(receiver.into())
        });
    }
}

fn events(record: &Record, name: &str) -> String {
    match record.number(name) {
        Some(0) => "for what, the waker does not say".to_owned(),
        bits => event_names(bits.unwrap_or(0) as u32),
    }
}

/// Whether a file that was asked had something of what it was asked for.
pub(crate) fn is_ready(record: &Record) -> bool {
    let wanted = record.number("events").unwrap_or(-1);
    record.number("ready").unwrap_or(0) & wanted != 0
}

fn ready(record: &Record) -> String {
    match record.number("ready") {
        Some(0) | None => "not ready any more".to_owned(),
        Some(bits) => event_names(bits as u32),
    }
}

fn plural(count: i64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}
