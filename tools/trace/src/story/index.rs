// SPDX-License-Identifier: GPL-2.0
//! An index of a trace's records: by CPU, thread, item, call, and what they belong to.

use crate::ftrace::record::{Context, Record};
use crate::story::messages::Messages;
use crate::story::wakeups::Wakeups;
use std::collections::HashMap;
use std::hash::Hash;

/// The indices of records by a key that they have in common, each list in order of the trace.
struct Places<K>(HashMap<K, Vec<usize>>);

impl<K: Eq + Hash> Places<K> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    fn push(&mut self, key: K, at: usize) {
        self.0.entry(key).or_default().push(at);
    }

    /// The records with a key before `at`, the nearest first.
    fn before(&self, key: K, at: usize) -> impl Iterator<Item = usize> + '_ {
        let places = self.0.get(&key).map_or(&[][..], Vec::as_slice);
        places[..places.partition_point(|place| *place < at)]
            .iter()
            .rev()
            .copied()
    }

    /// The records with a key after `at`.
    fn after(&self, key: K, at: usize) -> impl Iterator<Item = usize> + '_ {
        let places = self.0.get(&key).map_or(&[][..], Vec::as_slice);
        places[places.partition_point(|place| *place <= at)..]
            .iter()
            .copied()
    }
}

/// The records of a trace, indexed.
pub(crate) struct Index<'a> {
    pub(crate) records: &'a [Record],
    /// The calls of each wake-up.
    pub(crate) wakeups: Wakeups,
    /// The reads of messages.
    pub(crate) messages: Messages,
    cpus: Places<u32>,
    /// A thread's own records, without those of the interrupts on top of it.
    threads: Places<i32>,
    items: Places<i64>,
    /// The records of a task's SELECT and POLL calls, wake-ups included.
    calls: Places<i64>,
    /// The switches to a thread.
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

    /// The records before `at` on the same CPU, the nearest first.
    pub(crate) fn cpu_before(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.cpus.before(self.records[at].cpu, at)
    }

    /// The records after `at` on the same CPU.
    pub(crate) fn cpu_after(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.cpus.after(self.records[at].cpu, at)
    }

    /// A thread's own records before `at`, the nearest first.
    pub(crate) fn thread_before(&self, pid: i32, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.threads.before(pid, at)
    }

    /// A thread's own records after `at`.
    pub(crate) fn thread_after(&self, pid: i32, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.threads.after(pid, at)
    }

    /// An item's records after `at`.
    pub(crate) fn item_after(&self, item: i64, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.items.after(item, at)
    }

    /// The records of a task's SELECT and POLL calls before `at`, the nearest first.
    pub(crate) fn call_before(&self, task: i64, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.calls.before(task, at)
    }

    /// The records of a task's SELECT and POLL calls after `at`.
    pub(crate) fn call_after(&self, task: i64, at: usize) -> impl Iterator<Item = usize> + '_ {
        self.calls.after(task, at)
    }

    /// Whether the arrival of a message wakes a task that sleeps in a read.
    pub(crate) fn wakes_sleeper(&self, arrival: usize) -> bool {
        let wake = self.wakeups.wake_of_arrival(arrival);
        wake.is_some_and(|wake| self.records[wake].number("sleepers") == Some(1))
    }

    /// The first switch to a thread after `at`.
    pub(crate) fn switch_after(&self, pid: i32, at: usize) -> Option<usize> {
        self.switches.after(pid, at).next()
    }
}
