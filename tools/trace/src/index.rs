// SPDX-License-Identifier: GPL-2.0
//! Which records belong together, so that none has to be looked for in all of them.

use crate::record::{Context, Record};
use std::collections::HashMap;

/// Places in the trace, in order.
type Places = Vec<usize>;

/// The records by what they have in common.
pub(crate) struct Index<'a> {
    pub(crate) records: &'a [Record],
    cpus: HashMap<u32, Places>,
    /// Those of a thread itself, not of what interrupted it.
    threads: HashMap<i32, Places>,
    items: HashMap<i64, Places>,
    /// Where a thread is made to run, and where it begins to.
    switches: HashMap<i32, Places>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(records: &'a [Record]) -> Self {
        let mut index = Self {
            records,
            cpus: HashMap::new(),
            threads: HashMap::new(),
            items: HashMap::new(),
            switches: HashMap::new(),
        };
        for (at, record) in records.iter().enumerate() {
            index.cpus.entry(record.cpu).or_default().push(at);
            if record.context == Context::Task {
                index.threads.entry(record.pid).or_default().push(at);
            }
            if record.event().starts_with("repoll_") {
                if let Some(item) = record.number("item") {
                    index.items.entry(item).or_default().push(at);
                }
            } else if record.is("sched_switch") {
                if let Some(pid) = record.number("next_pid") {
                    index.switches.entry(pid as i32).or_default().push(at);
                }
            }
        }
        index
    }

    /// The records of this one's CPU before it, the nearest first.
    pub(crate) fn cpu_before(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        before(self.cpus.get(&self.records[at].cpu), at)
    }

    /// The records of this one's CPU after it.
    pub(crate) fn cpu_after(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        after(self.cpus.get(&self.records[at].cpu), at)
    }

    /// A thread's records before a place, the nearest first.
    pub(crate) fn thread_before(&self, pid: i32, at: usize) -> impl Iterator<Item = usize> + '_ {
        before(self.threads.get(&pid), at)
    }

    /// A thread's records after a place.
    pub(crate) fn thread_after(&self, pid: i32, at: usize) -> impl Iterator<Item = usize> + '_ {
        after(self.threads.get(&pid), at)
    }

    /// An item's records after a place.
    pub(crate) fn item_after(&self, item: i64, at: usize) -> impl Iterator<Item = usize> + '_ {
        after(self.items.get(&item), at)
    }

    /// The first switch to a thread after a place.
    pub(crate) fn switch_after(&self, pid: i32, at: usize) -> Option<usize> {
        after(self.switches.get(&pid), at).next()
    }
}

fn before(places: Option<&Places>, at: usize) -> impl Iterator<Item = usize> + '_ {
    let places = places.map_or(&[][..], Vec::as_slice);
    places[..places.partition_point(|place| *place < at)]
        .iter()
        .rev()
        .copied()
}

fn after(places: Option<&Places>, at: usize) -> impl Iterator<Item = usize> + '_ {
    let places = places.map_or(&[][..], Vec::as_slice);
    places[places.partition_point(|place| *place <= at)..]
        .iter()
        .copied()
}
