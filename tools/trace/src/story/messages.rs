// SPDX-License-Identifier: GPL-2.0
//! The reads of a source's messages.

use crate::ftrace::record::Record;
use std::collections::HashMap;

/// Which read takes which message.
pub(crate) struct Messages {
    /// The return of the read, by the record of the message's arrival.
    reads: HashMap<usize, usize>,
}

impl Messages {
    pub(crate) fn of(records: &[Record]) -> Self {
        let mut reads = HashMap::new();
        let mut arrivals = HashMap::new();
        // The message that the thread's current read has taken.
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
                // A failed read puts its message back into the queue.
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

    /// The read of the message that arrived at `arrival`.
    pub(crate) fn read(&self, arrival: usize) -> Option<usize> {
        self.reads.get(&arrival).copied()
    }
}
