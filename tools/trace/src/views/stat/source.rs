// SPDX-License-Identifier: GPL-2.0
//! The counts of a source.

use super::times::Times;
use crate::ftrace::record::Record;
use serde::Serialize;
use std::collections::BTreeMap;

/// The counts of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Messages queued, by kind: write, timer, frame.
    pub arrived: BTreeMap<String, u64>,
    /// Messages dropped, by reason: full, too-long, other.
    pub dropped: BTreeMap<String, u64>,
    /// The largest length of the queue.
    pub most: u64,
    /// Reads that returned a message.
    pub reads: u64,
    /// Failed reads and writes, by errno; EAGAIN: the call would have had to sleep.
    pub failed: BTreeMap<i64, u64>,
    /// Sleeps of readers.
    pub read_sleeps: u64,
    /// Sleeps of writers.
    pub write_sleeps: u64,
    /// Polls of the source.
    pub polls: u64,
    /// Wake-ups of a sleeper.
    pub woke_sleepers: u64,
    /// Wake-ups of pollers.
    pub woke_pollers: u64,
    /// Signals sent.
    pub signals: u64,
    /// The durations of its messages.
    pub times: Vec<Times>,
}

impl Source {
    pub(super) fn count(&mut self, record: &Record) {
        let number = |name| record.number(name).unwrap_or(0);
        let flag = |name| u64::from(record.number(name) == Some(1));
        let mut add = |counts: fn(&mut Self) -> &mut BTreeMap<String, u64>, field| {
            *counts(self).entry(record.show(field)).or_default() += 1
        };
        match record.event() {
            "repoll_source_arrive" => {
                add(|source| &mut source.arrived, "kind");
                self.most = self.most.max(number("queued").max(0) as u64);
            }
            "repoll_source_drop" => add(|source| &mut source.dropped, "reason"),
            "repoll_source_read" | "repoll_source_write" => match number("ret") {
                error @ ..0 => *self.failed.entry(-error).or_default() += 1,
                count => self.reads += u64::from(count > 0 && record.is("repoll_source_read")),
            },
            "repoll_source_sleep" if number("writer") == 1 => self.write_sleeps += 1,
            "repoll_source_sleep" => self.read_sleeps += 1,
            "repoll_source_poll" => self.polls += 1,
            "repoll_source_wake" => {
                self.woke_sleepers += flag("sleepers");
                self.woke_pollers += flag("pollers");
                self.signals += flag("signal");
            }
            _ => {}
        }
    }
}
