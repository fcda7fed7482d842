// SPDX-License-Identifier: GPL-2.0
//! The calls of a wake-up: a source calls its pollers, an instance calls its watchers.
//!
//! A callee's records come between the caller's begin and end, in the same thread or interrupt. A
//! wait queue calls its entries on one CPU with interrupts off. Between the arrival of a message
//! and that call, however, an interrupt may come, and the task may migrate to another CPU.

use crate::ftrace::record::{Context, Record};
use std::collections::HashMap;

/// The relations between the records of wake-ups. Keys and values are indices of records.
pub(crate) struct Wakeups {
    /// From a callback, or a call of a SELECT or POLL entry, to the callback that it is nested in.
    parents: HashMap<usize, usize>,
    /// From a callback to its return.
    ends: HashMap<usize, usize>,
    /// From an outermost callback or call to the source's wake-up that it belongs to.
    sources: HashMap<usize, usize>,
    /// From a source's wake-up to the arrival of the message that causes it.
    arrivals: HashMap<usize, usize>,
    /// From the arrival of a message to the source's wake-up.
    wakes: HashMap<usize, usize>,
}

/// A context of execution: a thread, or one CPU's interrupts of a kind.
#[derive(PartialEq, Eq, Hash)]
enum Runner {
    Thread(i32),
    Softirq(u32),
    Hardirq(u32),
    Nmi(u32),
}

impl Runner {
    fn of(record: &Record) -> Self {
        match record.context {
            Context::Task => Self::Thread(record.pid),
            Context::Softirq => Self::Softirq(record.cpu),
            Context::Hardirq => Self::Hardirq(record.cpu),
            Context::Nmi => Self::Nmi(record.cpu),
        }
    }
}

/// The wake-up that a context is in.
#[derive(Default)]
struct Current {
    /// The callbacks that have not returned, the outermost first.
    inside: Vec<usize>,
    /// The source's wake-up.
    source: Option<usize>,
    /// The arrival of a message, before the source's wake-up.
    arrival: Option<usize>,
}

impl Wakeups {
    pub(crate) fn of(records: &[Record]) -> Self {
        let mut wakeups = Self {
            parents: HashMap::new(),
            ends: HashMap::new(),
            sources: HashMap::new(),
            arrivals: HashMap::new(),
            wakes: HashMap::new(),
        };
        let mut runners: HashMap<Runner, Current> = HashMap::new();
        for (at, record) in records.iter().enumerate() {
            let current = runners.entry(Runner::of(record)).or_default();
            wakeups.add(records, at, record, current);
        }
        wakeups
    }

    fn add(&mut self, records: &[Record], at: usize, record: &Record, current: &mut Current) {
        match record.event() {
            "repoll_callback" => {
                self.call(at, current);
                current.inside.push(at);
            }
            "repoll_callback_exit" => {
                let item = record.number("item");
                // A callback whose own end is missing ends with the one around it.
                let own = |at: &usize| records[*at].number("item") == item;
                if let Some(place) = current.inside.iter().rposition(own) {
                    self.ends.insert(current.inside[place], at);
                    current.inside.truncate(place);
                }
            }
            "repoll_select_wake" => self.call(at, current),
            "repoll_source_arrive" => {
                *current = Current {
                    arrival: Some(at),
                    ..Current::default()
                }
            }
            "repoll_source_wake" => {
                let source = record.number("source");
                let arrival = current
                    .arrival
                    .filter(|arrival| records[*arrival].number("source") == source);
                *current = Current {
                    source: (record.number("pollers") == Some(1)).then_some(at),
                    ..Current::default()
                };
                if let Some(arrival) = arrival {
                    self.arrivals.insert(at, arrival);
                    self.wakes.insert(arrival, at);
                }
            }
            // The context goes on when the thread runs again.
            "sched_switch" => {}
            event if ends_wakeup(event) => *current = Current::default(),
            _ => {}
        }
    }

    fn call(&mut self, at: usize, current: &Current) {
        match (current.inside.last(), current.source) {
            (Some(parent), _) => self.parents.insert(at, *parent),
            (None, Some(source)) => self.sources.insert(at, source),
            (None, None) => None,
        };
    }

    /// The callback that a callback or a call of an entry is nested in: the callback of an item of
    /// the instance that the callee watches.
    pub(crate) fn parent(&self, at: usize) -> Option<usize> {
        self.parents.get(&at).copied()
    }

    /// The return of a callback.
    pub(crate) fn end(&self, callback: usize) -> Option<usize> {
        self.ends.get(&callback).copied()
    }

    /// The source's wake-up that an outermost callback or call belongs to.
    pub(crate) fn source(&self, at: usize) -> Option<usize> {
        self.sources.get(&at).copied()
    }

    /// The arrival of the message that causes a source's wake-up.
    pub(crate) fn arrival(&self, wake: usize) -> Option<usize> {
        self.arrivals.get(&wake).copied()
    }

    /// The source's wake-up that the arrival of a message causes.
    pub(crate) fn wake_of_arrival(&self, arrival: usize) -> Option<usize> {
        self.wakes.get(&arrival).copied()
    }
}

/// Whether an event cannot be a part of a wake-up, and so ends it. Unknown events, which other
/// programs may have enabled, end nothing.
pub(crate) fn ends_wakeup(event: &str) -> bool {
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
