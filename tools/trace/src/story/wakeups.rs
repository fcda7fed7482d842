// SPDX-License-Identifier: GPL-2.0
//! What calls what in a wake-up: a source its pollers, an instance those that watch it.
//!
//! What is called comes after what calls, and before its end, in the same thread, or the same interrupt.
//! Once a wait queue is called, that is on one CPU with interrupts off; but between a message's arrival and
//! that there may be an interrupt, and a task may go to another CPU.

use crate::ftrace::record::{Context, Record};
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

/// Who runs: a thread, or one CPU's interrupts, of a kind.
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

/// What one of them is about.
#[derive(Default)]
struct Doing {
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
        let mut runners: HashMap<Runner, Doing> = HashMap::new();
        for (at, record) in records.iter().enumerate() {
            let doing = runners.entry(Runner::of(record)).or_default();
            wakeups.add(records, at, record, doing);
        }
        wakeups
    }

    fn add(&mut self, records: &[Record], at: usize, record: &Record, doing: &mut Doing) {
        match record.event() {
            "repoll_callback" => {
                self.call(at, doing);
                doing.inside.push(at);
            }
            "repoll_callback_exit" => {
                let item = record.number("item");
                // If an end is missing, so is what was in it.
                let own = |at: &usize| records[*at].number("item") == item;
                if let Some(place) = doing.inside.iter().rposition(own) {
                    self.ends.insert(doing.inside[place], at);
                    doing.inside.truncate(place);
                }
            }
            "repoll_select_wake" => self.call(at, doing),
            "repoll_source_arrive" => {
                *doing = Doing {
                    arrival: Some(at),
                    ..Doing::default()
                }
            }
            "repoll_source_wake" => {
                let source = record.number("source");
                let arrival = doing
                    .arrival
                    .filter(|arrival| records[*arrival].number("source") == source);
                *doing = Doing {
                    source: (record.number("pollers") == Some(1)).then_some(at),
                    ..Doing::default()
                };
                if let Some(arrival) = arrival {
                    self.arrivals.insert(at, arrival);
                    self.tellings.insert(arrival, at);
                }
            }
            // It goes on later.
            "sched_switch" => {}
            event if begins_something_else(event) => *doing = Doing::default(),
            _ => {}
        }
    }

    fn call(&mut self, at: usize, doing: &Doing) {
        match (doing.inside.last(), doing.source) {
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
