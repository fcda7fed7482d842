// SPDX-License-Identifier: GPL-2.0
//! What calls what in a wake-up: a source its pollers, an instance those that watch it.
//!
//! A wake-up runs on one CPU with interrupts off, so that what is called comes after what calls, and before
//! its end, with nothing else in between.

use crate::record::Record;
use std::collections::HashMap;

/// What is known about wake-ups, by the places of their records.
pub(crate) struct Wakeups {
    /// Of callbacks and entries of SELECT and POLL: the callback that they are called in.
    parents: HashMap<usize, usize>,
    /// Of callbacks: where they return.
    ends: HashMap<usize, usize>,
    /// Of callbacks and entries that nothing of ours calls: the wake-up by a source that they belong to.
    sources: HashMap<usize, usize>,
    /// Of wake-ups by a source: the message that arrived, if that is why.
    arrivals: HashMap<usize, usize>,
    /// The other way round.
    tellings: HashMap<usize, usize>,
}

/// What one CPU is about.
#[derive(Default)]
struct Cpu {
    /// The callbacks that have not returned.
    inside: Vec<usize>,
    /// The source that wakes others up.
    source: Option<usize>,
    /// The message that has arrived just now.
    arrival: Option<usize>,
}

impl Wakeups {
    pub(crate) fn of(records: &[Record]) -> Self {
        let mut wakeups = Self {
            parents: HashMap::new(),
            ends: HashMap::new(),
            sources: HashMap::new(),
            arrivals: HashMap::new(),
            tellings: HashMap::new(),
        };
        let mut cpus: HashMap<u32, Cpu> = HashMap::new();
        for (at, record) in records.iter().enumerate() {
            let cpu = cpus.entry(record.cpu).or_default();
            wakeups.add(records, at, record, cpu);
        }
        wakeups
    }

    fn add(&mut self, records: &[Record], at: usize, record: &Record, cpu: &mut Cpu) {
        match record.event() {
            "repoll_callback" => {
                self.call(at, cpu);
                cpu.inside.push(at);
            }
            "repoll_callback_exit" => {
                let item = record.number("item");
                // If an end is missing, so is what was in it.
                let own = |at: &usize| records[*at].number("item") == item;
                if let Some(place) = cpu.inside.iter().rposition(own) {
                    self.ends.insert(cpu.inside[place], at);
                    cpu.inside.truncate(place);
                }
            }
            "repoll_select_wake" => self.call(at, cpu),
            "repoll_source_arrive" => {
                *cpu = Cpu {
                    arrival: Some(at),
                    ..Cpu::default()
                }
            }
            "repoll_source_wake" => {
                let source = record.number("source");
                let arrival = cpu
                    .arrival
                    .filter(|arrival| records[*arrival].number("source") == source);
                *cpu = Cpu {
                    source: (record.number("pollers") == Some(1)).then_some(at),
                    ..Cpu::default()
                };
                if let Some(arrival) = arrival {
                    self.arrivals.insert(at, arrival);
                    self.tellings.insert(arrival, at);
                }
            }
            event if begins_something_else(event) => *cpu = Cpu::default(),
            _ => {}
        }
    }

    fn call(&mut self, at: usize, cpu: &Cpu) {
        match (cpu.inside.last(), cpu.source) {
            (Some(parent), _) => self.parents.insert(at, *parent),
            (None, Some(source)) => self.sources.insert(at, source),
            (None, None) => None,
        };
    }

    /// The callback that this callback or entry is called in: that of an item of the instance that it
    /// watches.
    pub(crate) fn parent(&self, at: usize) -> Option<usize> {
        self.parents.get(&at).copied()
    }

    /// Where a callback returns.
    pub(crate) fn end(&self, callback: usize) -> Option<usize> {
        self.ends.get(&callback).copied()
    }

    /// The wake-up by a source that a callback or an entry belongs to.
    pub(crate) fn source(&self, at: usize) -> Option<usize> {
        self.sources.get(&at).copied()
    }

    /// The message that a wake-up by a source is about.
    pub(crate) fn arrival(&self, wake: usize) -> Option<usize> {
        self.arrivals.get(&wake).copied()
    }

    /// The wake-up that tells of a message.
    pub(crate) fn telling(&self, arrival: usize) -> Option<usize> {
        self.tellings.get(&arrival).copied()
    }
}

/// Whether an event can't be a part of a wake-up that has begun. Of events that we do not know, which others
/// may have recorded, we know nothing.
pub(crate) fn begins_something_else(event: &str) -> bool {
    const PARTS: [&str; 5] = [
        "repoll_callback",
        "repoll_callback_exit",
        "repoll_queue",
        "repoll_select_wake",
        "repoll_wake",
    ];
    const BEGINNINGS: [&str; 10] = [
        "repoll_",
        "sys_",
        "irq_",
        "softirq_",
        "hrtimer_",
        "napi_",
        "net",
        "sk_",
        "sock_",
        "sched_switch",
    ];
    !PARTS.contains(&event) && BEGINNINGS.iter().any(|name| event.starts_with(name))
}
