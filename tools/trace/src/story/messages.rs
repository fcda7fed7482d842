// SPDX-License-Identifier: GPL-2.0
//! Which read took which message of a source.

use crate::ftrace::record::Record;
use std::collections::HashMap;

/// The reads, by the places of the messages' arrivals.
pub(crate) struct Messages {
    reads: HashMap<usize, usize>,
}

impl Messages {
    pub(crate) fn of(records: &[Record]) -> Self {
        let mut reads = HashMap::new();
        let mut arrivals = HashMap::new();
        // Threads in a read that has a message.
        let mut readers = HashMap::new();
        for (at, record) in records.iter().enumerate() {
            let message = || Some((record.number("source")?, record.number("message")?));
            match record.event() {
                "repoll_source_arrive" => {
                    message().map(|message| arrivals.insert(message, at));
                }
                "repoll_source_take" => {
                    message().map(|message| readers.insert(record.pid, message));
                }
                // One that fails puts its message back, for another one.
                "repoll_source_read" => {
                    let message = readers.remove(&record.pid);
                    let arrival = message.and_then(|message| arrivals.get(&message));
                    let has_read = record.number("ret").is_some_and(|ret| ret > 0);
                    if let Some(arrival) = arrival.filter(|_| has_read) {
                        reads.insert(*arrival, at);
                    }
                }
                _ => {}
            }
        }
        Self { reads }
    }

    /// The read that took the message that arrived there.
    pub(crate) fn read(&self, arrival: usize) -> Option<usize> {
        self.reads.get(&arrival).copied()
    }
}
