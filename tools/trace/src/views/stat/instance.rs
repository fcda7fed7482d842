// SPDX-License-Identifier: GPL-2.0
//! The counts of an instance and its items.

use super::times::Times;
use crate::ftrace::record::Record;
use crate::story::is_ready;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// The counts of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// WAITs that returned.
    pub waits: u64,
    /// WAITs that delivered events.
    pub successful: u64,
    /// Events delivered.
    pub delivered: u64,
    /// The largest number of events that one WAIT delivered.
    pub most: u64,
    /// The number of WAITs by the number of events that they delivered.
    pub per_wait: BTreeMap<u64, u64>,
    /// Sleeps of waiters.
    pub sleeps: u64,
    /// Wake-ups for an event after which the waiter delivered none: another waiter may have taken
    /// it.
    pub useless: u64,
    /// Sleeps that ended by time-out.
    pub timeouts: u64,
    /// Sleeps that ended by a signal.
    pub signals: u64,
    /// ADDs that a limit refused.
    pub limits: u64,
    /// The instance's items, by number.
    pub items: BTreeMap<i64, Item>,
    /// The durations of its events.
    pub times: Vec<Times>,
}

/// The counts of one item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The descriptor that the item was added with.
    pub fd: i64,
    /// Callbacks that queued the item.
    pub queued: u64,
    /// Callbacks that found the item queued.
    pub already: u64,
    /// Callbacks for other events, or while the item was disarmed.
    pub useless: u64,
    /// Polls of the file.
    pub polls: u64,
    /// Polls that found none of the events of interest.
    pub unready: u64,
    /// Events delivered.
    pub delivered: u64,
    /// The durations of its events.
    pub times: Vec<Times>,
}

impl Instance {
    pub(super) fn count(&mut self, record: &Record, awake: &mut HashSet<i32>) {
        match record.event() {
            "repoll_wait_exit" => {
                let ret = record.number("ret").unwrap_or(0).max(0) as u64;
                self.waits += 1;
                if ret > 0 {
                    self.successful += 1;
                    *self.per_wait.entry(ret).or_default() += 1;
                }
                self.delivered += ret;
                self.most = self.most.max(ret);
                awake.remove(&record.pid);
            }
            // Sleeps again without having delivered an event.
            "repoll_wait_sleep" => {
                self.sleeps += 1;
                self.useless += u64::from(awake.remove(&record.pid));
            }
            "repoll_wait_wake" => match record.field("reason") {
                Some("timeout") => self.timeouts += 1,
                Some("signal") => self.signals += 1,
                _ => {
                    awake.insert(record.pid);
                }
            },
            "repoll_limit" => self.limits += 1,
            _ => {}
        }
    }
}

impl Item {
    pub(super) fn count(&mut self, record: &Record) {
        self.fd = record.number("fd").unwrap_or(self.fd);
        match (record.event(), record.field("outcome")) {
            ("repoll_callback", Some("queued")) => self.queued += 1,
            ("repoll_callback", Some("already-queued")) => self.already += 1,
            ("repoll_callback", _) => self.useless += 1,
            ("repoll_poll", _) => {
                self.polls += 1;
                self.unready += u64::from(!is_ready(record));
            }
            ("repoll_deliver", _) => self.delivered += 1,
            _ => {}
        }
    }
}
