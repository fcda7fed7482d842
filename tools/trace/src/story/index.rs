// SPDX-License-Identifier: GPL-2.0
//! Which records belong together, so that none has to be looked for in all of them.

use crate::ftrace::record::{Context, Record};
use crate::story::messages::Messages;
use crate::story::wakeups::Wakeups;
use std::collections::HashMap;
use std::hash::Hash;

/// Places in the trace, in order, by what the records there have in common.
struct Places<K>(HashMap<K, Vec<usize>>);

impl<K: Eq + Hash> Places<K> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    fn push(&mut self, key: K, at: usize) {
        self.0.entry(key).or_default().push(at);
    }

    /// Those before a place, the nearest first.
    fn before(&self, key: K, at: usize) -> impl Iterator<Item = usize> + '_ {
        let places = self.0.get(&key).map_or(&[][..], Vec::as_slice);
        places[..places.partition_point(|place| *place < at)]
            .iter()
            .rev()
            .copied()
    }

    /// Those after a place.
    fn after(&self, key: K, at: usize) -> impl Iterator<Item = usize> + '_ {
        let places = self.0.get(&key).map_or(&[][..], Vec::as_slice);
        places[places.partition_point(|place| *place <= at)..]
            .iter()
            .copied()
    }
}

/// The records by what they have in common.
pub(crate) struct Index<'a> {
    pub(crate) records: &'a [Record],
    /// What is called by what, in wake-ups.
    pub(crate) wakeups: Wakeups,
    /// Which read took which message.
    pub(crate) messages: Messages,
    cpus: Places<u32>,
    /// Those of a thread itself, not of what interrupted it.
    threads: Places<i32>,
    items: Places<i64>,
    /// Those of a thread's calls of SELECT and POLL, wake-ups included.
    calls: Places<i64>,
    /// Where a thread is made to run, and where it begins to.
    switches: Places<i32>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(records: &'a [Record]) -> Self {
        let mut index = Self {
            records,
            wakeups: Wakeups::of(records),
            messages: Messages::of(records),
            cpus: Places::new(),
            threads: Places::new(),
            items: Places::new(),
            calls: Places::new(),
            switches: Places::new(),
        };
        for (at, record) in records.iter().enumerate() {
            index.cpus.push(record.cpu, at);
            if record.context == Context::Task {
                index.threads.push(record.pid, at);
            }
            if record.event().starts_with("repoll_") {
                if let Some(item) = record.number("item") {
                    index.items.push(item, at);
                } else if let Some(task) = record.number("task") {
                    index.calls.push(task, at);
                }
            } else if record.is("sched_switch") {
                if let Some(pid) = record.number("next_pid") {
                    index.switches.push(pid as i32, at);
                }
            }
        }
        index
    }

    /// The records of this one's CPU before it, the nearest first.
    pub(crate) fn cpu_before(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.cpus.before(self.records[at].cpu, at)
    }

    /// The records of this one's CPU after it.
    pub(crate) fn cpu_after(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.cpus.after(self.records[at].cpu, at)
    }

    /// A thread's records before a place, the nearest first.
    pub(crate) fn thread_before(&self, pid: i32, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.threads.before(pid, at)
    }

    /// A thread's records after a place.
    pub(crate) fn thread_after(&self, pid: i32, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.threads.after(pid, at)
    }

    /// An item's records after a place.
    pub(crate) fn item_after(&self, item: i64, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.items.after(item, at)
    }

    /// The records of a task's calls of SELECT and POLL before a place, the nearest first.
    pub(crate) fn call_before(&self, task: i64, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.calls.before(task, at)
    }

    /// Those after a place.
    pub(crate) fn call_after(&self, task: i64, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.calls.after(task, at)
    }

    /// Whether the wake-up that tells of a message is of a task that sleeps in a read.
    pub(crate) fn wakes_sleeper(&self, arrival: usize) -> bool {
        let telling = self.wakeups.telling(arrival);
        telling.is_some_and(|wake| self.records[wake].number("sleepers") == Some(1))
    }

    /// The first switch to a thread after a place.
    pub(crate) fn switch_after(&self, pid: i32, at: usize) -> Option<usize> {
        self.switches.after(pid, at).next()
    }
}
