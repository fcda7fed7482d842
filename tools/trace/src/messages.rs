// SPDX-License-Identifier: GPL-2.0
//! Which read took which message of a source.
//!
//! Messages are read in the order of their arrival, each by one read.

use crate::record::Record;
use std::collections::{HashMap, VecDeque};

/// What a read has before a message if it was asked to: `struct repoll_source_header`.
const HEADER: i64 = 16;

/// The reads, by the places of the messages' arrivals.
pub(crate) struct Messages {
    reads: HashMap<usize, usize>,
}

/// A source's queue.
#[derive(Default)]
struct Queue {
    seen: bool,
    /// Messages that were there before the trace began.
    older: i64,
    /// Those that have arrived and were not read.
    arrived: VecDeque<usize>,
    /// Reads whose record is before that of the message's arrival: they were quicker.
    early: usize,
}

impl Messages {
    pub(crate) fn of(records: &[Record]) -> Self {
        let mut reads = HashMap::new();
        let mut queues: HashMap<i64, Queue> = HashMap::new();
        for (at, record) in records.iter().enumerate() {
            let arrival = match record.event() {
                "repoll_source_arrive" => true,
                "repoll_source_read" => false,
                _ => continue,
            };
            let queue = queues
                .entry(record.number("source").unwrap_or(0))
                .or_default();
            if arrival {
                if !std::mem::replace(&mut queue.seen, true) {
                    queue.older = record.number("queued").unwrap_or(1) - 1;
                }
                match queue.early.checked_sub(1) {
                    Some(early) => queue.early = early,
                    None => queue.arrived.push_back(at),
                }
                continue;
            }
            let read = record.number("ret").unwrap_or(0);
            if read <= 0 {
                continue;
            }
            if queue.older > 0 {
                queue.older -= 1;
            } else if let Some(arrival) = queue.arrived.pop_front() {
                let length = records[arrival].number("length").unwrap_or(0);
                if read == length || read == length + HEADER {
                    reads.insert(arrival, at);
                }
            } else if queue.seen {
                queue.early += 1;
            }
        }
        Self { reads }
    }

    /// The read that took the message that arrived there.
    pub(crate) fn read(&self, arrival: usize) -> Option<usize> {
        self.reads.get(&arrival).copied()
    }
}
