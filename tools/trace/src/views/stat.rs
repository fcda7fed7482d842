// SPDX-License-Identifier: GPL-2.0
//! Counts and times by instance and item, by source, and by task that calls SELECT or POLL.

mod text;
mod times;

use crate::ftrace::filter::Filter;
use crate::ftrace::record::Record;
use crate::story::{is_ready, Called, Story};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use times::{CALL, READ, WAIT};

pub use text::render;
pub use times::Times;

/// The counts of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// WAITs that returned.
    pub waits: u64,
    /// WAITs that delivered events.
    pub successful: u64,
    /// Events delivered.
    pub delivered: u64,
    /// The largest number of events that one WAIT delivered.
    pub most: u64,
    /// The number of WAITs by the number of events that they delivered.
    pub per_wait: BTreeMap<u64, u64>,
    /// Sleeps of waiters.
    pub sleeps: u64,
    /// Wake-ups for an event after which the waiter delivered none: another waiter may have taken
    /// it.
    pub useless: u64,
    /// Sleeps that ended by time-out.
    pub timeouts: u64,
    /// Sleeps that ended by a signal.
    pub signals: u64,
    /// ADDs that a limit refused.
    pub limits: u64,
    /// The instance's items, by number.
    pub items: BTreeMap<i64, Item>,
    /// The durations of its events.
    pub times: Vec<Times>,
}

/// The counts of one item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The descriptor that the item was added with.
    pub fd: i64,
    /// Callbacks that queued the item.
    pub queued: u64,
    /// Callbacks that found the item queued.
    pub already: u64,
    /// Callbacks for other events, or while the item was disarmed.
    pub useless: u64,
    /// Polls of the file.
    pub polls: u64,
    /// Polls that found none of the events of interest.
    pub unready: u64,
    /// Events delivered.
    pub delivered: u64,
    /// The durations of its events.
    pub times: Vec<Times>,
}

/// The counts of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Messages queued, by kind: write, timer, frame.
    pub arrived: BTreeMap<String, u64>,
    /// Messages dropped, by reason: full, too-long, other.
    pub dropped: BTreeMap<String, u64>,
    /// The largest length of the queue.
    pub most: u64,
    /// Reads that returned a message.
    pub reads: u64,
    /// Failed reads and writes, by errno; EAGAIN: the call would have had to sleep.
    pub failed: BTreeMap<i64, u64>,
    /// Sleeps of readers.
    pub read_sleeps: u64,
    /// Sleeps of writers.
    pub write_sleeps: u64,
    /// Polls of the source.
    pub polls: u64,
    /// Wake-ups of a sleeper.
    pub woke_sleepers: u64,
    /// Wake-ups of pollers.
    pub woke_pollers: u64,
    /// Signals sent.
    pub signals: u64,
    /// The durations of its messages.
    pub times: Vec<Times>,
}

/// The counts of one task's SELECT and POLL calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Caller {
    /// The task's name.
    pub comm: String,
    /// Calls that returned, by name.
    pub calls: BTreeMap<String, u64>,
    /// Calls that found a ready file.
    pub successful: u64,
    /// Passes over the files.
    pub passes: u64,
    /// Polls of a file.
    pub asked: u64,
    /// Polls that found none of the events of interest.
    pub in_vain: u64,
    /// Ready files found, over all passes.
    pub ready: u64,
    /// Entries added to wait queues, over all calls.
    pub entries: u64,
    /// Sleeps.
    pub sleeps: u64,
    /// Wake-ups.
    pub wakeups: u64,
    /// Calls of an entry for events that are not of interest.
    pub mismatches: u64,
    /// Wake-ups after which no file was ready.
    pub useless: u64,
    /// Bytes copied in.
    pub bytes_in: u64,
    /// Bytes copied out.
    pub bytes_out: u64,
    /// The durations of its events.
    pub times: Vec<Times>,
}

/// The statistics of a trace.
#[derive(Debug, Default, Serialize)]
pub struct Statistics {
    /// The instances, by number.
    pub instances: BTreeMap<i64, Instance>,
    /// The sources, by number.
    pub sources: BTreeMap<i64, Source>,
    /// The tasks that call SELECT or POLL, by number.
    pub callers: BTreeMap<i64, Caller>,
    /// The durations of the events of all instances.
    pub times: Vec<Times>,
    /// Events that were lost because the buffers were full.
    pub lost: u64,
}

/// Threads that were woken and have not yet delivered or polled anything.
#[derive(Default)]
struct Awake {
    /// Threads woken for an event in WAIT that have delivered none since.
    waiters: HashSet<i32>,
    /// Tasks woken in SELECT or POLL that have not completed a pass since.
    callers: HashSet<i64>,
}

impl Statistics {
    /// Counts the records and stories that pass a filter.
    pub fn of(records: &[Record], stories: &[Story], filter: &Filter) -> Self {
        let mut statistics = Self::default();
        let mut awake = Awake::default();
        let own = records
            .iter()
            .filter(|record| record.event().starts_with("repoll_"));
        for record in own.filter(|record| filter.wants_record(record)) {
            statistics.count(record, &mut awake);
        }
        let wanted: Vec<_> = stories
            .iter()
            .filter(|story| filter.wants(story, records))
            .collect();
        statistics.time(&wanted);
        if !filter.is_about(&["ep", "item", "fd"]) {
            statistics.instances.clear();
        } else if !filter.is_about(&["ep"]) {
            statistics
                .instances
                .retain(|_, instance| !instance.items.is_empty());
        }
        if !filter.is_about(&["source"]) {
            statistics.sources.clear();
        }
        if !filter.is_about(&["task", "fd"]) {
            statistics.callers.clear();
        }
        statistics
    }

    fn count(&mut self, record: &Record, awake: &mut Awake) {
        let number = |name| record.number(name);
        if let Some(ep) = number("ep") {
            let instance = self.instances.entry(ep).or_default();
            if let Some(item) = number("item") {
                instance.items.entry(item).or_default().count(record);
            }
            instance.count(record, &mut awake.waiters);
        } else if let Some(source) = number("source") {
            self.sources.entry(source).or_default().count(record);
        } else if let Some(task) = number("task") {
            let caller = self.callers.entry(task).or_default();
            caller.count(record, task, &mut awake.callers);
        }
    }

    /// Computes the durations from stories.
    fn time(&mut self, stories: &[&Story]) {
        let mut items: BTreeMap<(i64, i64), Vec<&Story>> = BTreeMap::new();
        let mut instances: BTreeMap<i64, Vec<&Story>> = BTreeMap::new();
        let mut callers: BTreeMap<i64, Vec<&Story>> = BTreeMap::new();
        let mut sources: BTreeMap<i64, Vec<&Story>> = BTreeMap::new();
        for story in stories.iter().copied() {
            for called in &story.called {
                match *called {
                    Called::Item { ep, item, .. } => {
                        items.entry((ep, item)).or_default().push(story);
                        instances.entry(ep).or_default().push(story);
                    }
                    Called::Entry { task, .. } => callers.entry(task).or_default().push(story),
                }
            }
            if let Some(source) = story.source {
                sources.entry(source).or_default().push(story);
            }
        }
        for (ep, instance) in &mut self.instances {
            instance.times = Times::all(&WAIT, instances.get(ep));
            for (item, counts) in &mut instance.items {
                counts.times = Times::all(&WAIT, items.get(&(*ep, *item)));
            }
        }
        for (task, caller) in &mut self.callers {
            caller.times = Times::all(&CALL, callers.get(task));
        }
        for (number, source) in &mut self.sources {
            source.times = Times::all(&READ, sources.get(number));
        }
        self.times = Times::all(&WAIT, Some(&stories.to_vec()));
    }
}

impl Instance {
    fn count(&mut self, record: &Record, awake: &mut HashSet<i32>) {
        match record.event() {
            "repoll_wait_exit" => {
                let ret = record.number("ret").unwrap_or(0).max(0) as u64;
                self.waits += 1;
                if ret > 0 {
                    self.successful += 1;
                    *self.per_wait.entry(ret).or_default() += 1;
                }
                self.delivered += ret;
                self.most = self.most.max(ret);
                awake.remove(&record.pid);
            }
            // Sleeps again without having delivered an event.
            "repoll_wait_sleep" => {
                self.sleeps += 1;
                self.useless += u64::from(awake.remove(&record.pid));
            }
            "repoll_wait_wake" => match record.field("reason") {
                Some("timeout") => self.timeouts += 1,
                Some("signal") => self.signals += 1,
                _ => {
                    awake.insert(record.pid);
                }
            },
            "repoll_limit" => self.limits += 1,
            _ => {}
        }
    }
}

impl Item {
    fn count(&mut self, record: &Record) {
        self.fd = record.number("fd").unwrap_or(self.fd);
        match (record.event(), record.field("outcome")) {
            ("repoll_callback", Some("queued")) => self.queued += 1,
            ("repoll_callback", Some("already-queued")) => self.already += 1,
            ("repoll_callback", _) => self.useless += 1,
            ("repoll_poll", _) => {
                self.polls += 1;
                self.unready += u64::from(!is_ready(record));
            }
            ("repoll_deliver", _) => self.delivered += 1,
            _ => {}
        }
    }
}

impl Source {
    fn count(&mut self, record: &Record) {
        let number = |name| record.number(name).unwrap_or(0);
        let flag = |name| u64::from(record.number(name) == Some(1));
        let mut add = |counts: fn(&mut Self) -> &mut BTreeMap<String, u64>, field| {
            *counts(self).entry(record.show(field)).or_default() += 1
        };
        match record.event() {
            "repoll_source_arrive" => {
                add(|source| &mut source.arrived, "kind");
                self.most = self.most.max(number("queued").max(0) as u64);
            }
            "repoll_source_drop" => add(|source| &mut source.dropped, "reason"),
            "repoll_source_read" | "repoll_source_write" => match number("ret") {
                error @ ..0 => *self.failed.entry(-error).or_default() += 1,
                count => self.reads += u64::from(count > 0 && record.is("repoll_source_read")),
            },
            "repoll_source_sleep" if number("writer") == 1 => self.write_sleeps += 1,
            "repoll_source_sleep" => self.read_sleeps += 1,
            "repoll_source_poll" => self.polls += 1,
            "repoll_source_wake" => {
                self.woke_sleepers += flag("sleepers");
                self.woke_pollers += flag("pollers");
                self.signals += flag("signal");
            }
            _ => {}
        }
    }
}

impl Caller {
    fn count(&mut self, record: &Record, task: i64, awake: &mut HashSet<i64>) {
        let number = |name| record.number(name).unwrap_or(0).max(0) as u64;
        if !record.is("repoll_select_wake") {
            self.comm = record.comm.to_string();
        }
        match record.event() {
            // A new call: its first pass is not due to a wake-up.
            "repoll_select_setup" => {
                awake.remove(&task);
            }
            "repoll_select_poll" => {
                self.asked += 1;
                self.in_vain += u64::from(!is_ready(record));
            }
            "repoll_select_pass" => {
                self.passes += 1;
                self.ready += number("ready");
                let woken = awake.remove(&task);
                self.useless += u64::from(woken && number("ready") == 0);
            }
            "repoll_select_sleep" => self.sleeps += 1,
            "repoll_select_wake" if number("matched") == 1 => {
                self.wakeups += 1;
                awake.insert(task);
            }
            "repoll_select_wake" => self.mismatches += 1,
            "repoll_select_result" => {
                *self.calls.entry(record.show("call")).or_default() += 1;
                self.successful += u64::from(number("ret") > 0);
                self.entries += number("entries");
                self.bytes_in += number("bytes_in");
                self.bytes_out += number("bytes_out");
            }
            _ => {}
        }
    }
}
