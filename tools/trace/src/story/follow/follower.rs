// SPDX-License-Identifier: GPL-2.0
//! A story under construction, and how its steps are found and added.

use crate::ftrace::record::Record;
use crate::story::index::Index;
use crate::story::wakeups::ends_wakeup;
use crate::story::{Called, Cause, Step, Story};

/// The most records of a CPU or thread to search for one that should be near, so that the search
/// stays short in a trace with gaps.
pub(super) const NEAR: usize = 4096;

/// A callee, and the record of its call.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) at: usize,
    pub(super) who: Called,
}

/// A story, as far as the event has been followed.
pub(super) struct Follower<'a> {
    pub(super) index: &'a Index<'a>,
    pub(super) cause: Cause,
    /// The length of the packet that is the cause, headers included.
    pub(super) packet: i64,
    /// The record of the message's arrival, if a message is the cause.
    pub(super) message: Option<usize>,
    /// The source that the event comes from.
    pub(super) source: Option<i64>,
    /// The callees, from the file upwards.
    pub(super) links: Vec<Link>,
    pub(super) steps: Vec<Step>,
    missing: Option<&'static str>,
    pub(super) receiver: String,
}

impl<'a> Follower<'a> {
    pub(super) fn new(index: &'a Index<'a>) -> Self {
        Self {
            index,
            cause: Cause::Task,
            packet: 0,
            message: None,
            source: None,
            links: Vec::new(),
            steps: Vec::new(),
            missing: None,
            receiver: String::new(),
        }
    }

    /// The story, and the starts that it covers.
    pub(super) fn finish(self) -> (Story, Vec<usize>) {
        let mut starts: Vec<_> = self.links.iter().map(|link| link.at).collect();
        starts.extend(self.message);
        let story = Story {
            cause: self.cause,
            called: self.links.iter().map(|link| link.who).collect(),
            source: self.source,
            receiver: self.receiver,
            steps: self.steps,
            missing: self.missing,
        };
        (story, starts)
    }

    pub(super) fn record(&self, at: usize) -> &'a Record {
        &self.index.records[at]
    }

    pub(super) fn is(&self, at: usize, event: &str) -> bool {
        self.record(at).is(event)
    }

    /// Adds the record at `at` as a step.
    pub(super) fn step(&mut self, at: usize, name: &'static str, detail: String) {
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

    /// Notes a missing step; the first one counts.
    pub(super) fn miss(&mut self, step: &'static str) {
        self.missing.get_or_insert(step);
    }

    /// The first record of an event in a thread after `from` and before the thread waits again.
    pub(super) fn before_next_wait(&self, pid: i32, from: usize, event: &str) -> Option<usize> {
        self.before_next_wait_where(pid, from, |record| record.is(event))
    }

    /// The first record in a thread after `from` that passes `test`, before the thread waits again.
    pub(super) fn before_next_wait_where(
        &self,
        pid: i32,
        from: usize,
        test: impl Fn(&Record) -> bool,
    ) -> Option<usize> {
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

    /// Adds the steps of a thread that becomes runnable and runs. The wake-up is at `wake`, the
    /// scheduler's record is on the same CPU before `end`. `who` is the thread's number, if it is
    /// known.
    pub(super) fn follow_wake_up(&mut self, wake: usize, end: usize, who: Option<i64>) {
        let pid = self.record(wake).pid;
        let waking = self
            .index
            .cpu_after(wake)
            .take_while(|at| *at < end && !ends_wakeup(self.record(*at).event()))
            .find(|at| {
                let record = self.record(*at);
                let wanted = who.is_none() || record.number("pid") == who;
                record.is("sched_waking") && record.pid == pid && wanted
            });
        let Some(waking) = waking else {
            // No record, and no gap: the thread was already awake.
            return;
        };
        let record = self.record(waking);
        let target = record.number("pid").unwrap_or(0) as i32;
        let who = format!("{} ({target})", record.show("comm"));
        let detail = format!(
            "{who} becomes runnable on CPU {}",
            record.show("target_cpu")
        );
        self.step(waking, "scheduler", detail);
        let Some(switch) = self.index.switch_after(target, waking) else {
            return self.miss("running");
        };
        let after = self.record(switch).show("prev_comm");
        self.step(switch, "running", format!("{who} runs, after {after}"));
    }

    /// Keeps the scheduling steps of the thread that got the event, if they come before
    /// `first_poll`, where it first polled. Another thread may have been woken for the event; its
    /// steps are removed.
    pub(super) fn keep_receiver(&mut self, receiver: i32, first_poll: usize) {
        let records = self.index.records;
        self.steps.retain(|step| {
            let thread = match step.name {
                "scheduler" => "pid",
                "running" => "next_pid",
                _ => return true,
            };
            step.at < first_poll && records[step.at].number(thread) == Some(receiver.into())
        });
    }
}
