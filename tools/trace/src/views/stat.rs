// SPDX-License-Identifier: GPL-2.0
//! Counts and times by instance and item, by source, and by task that calls SELECT or POLL.

mod caller;
mod instance;
mod source;
mod text;
mod times;

use crate::ftrace::filter::Filter;
use crate::ftrace::record::Record;
use crate::story::{Called, Story};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use times::{CALL, READ, WAIT};

pub use caller::Caller;
pub use instance::{Instance, Item};
pub use source::Source;
pub use text::render;
pub use times::Times;

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
