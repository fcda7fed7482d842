// SPDX-License-Identifier: GPL-2.0
//! The counts of a task that calls SELECT or POLL.

use super::times::Times;
use crate::ftrace::record::Record;
use crate::story::is_ready;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// The counts of one task's SELECT and POLL calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Caller {
    /// The task's name.
    pub comm: String,
    /// Calls that returned, by name.
    pub calls: BTreeMap<String, u64>,
    /// Calls that found a ready file.
    pub successful: u64,
    /// Passes over the files.
    pub passes: u64,
    /// Polls of a file.
    pub asked: u64,
    /// Polls that found none of the events of interest.
    pub in_vain: u64,
    /// Ready files found, over all passes.
    pub ready: u64,
    /// Entries added to wait queues, over all calls.
    pub entries: u64,
    /// Sleeps.
    pub sleeps: u64,
    /// Wake-ups.
    pub wakeups: u64,
    /// Calls of an entry for events that are not of interest.
    pub mismatches: u64,
    /// Wake-ups after which no file was ready.
    pub useless: u64,
    /// Bytes copied in.
    pub bytes_in: u64,
    /// Bytes copied out.
    pub bytes_out: u64,
    /// The durations of its events.
    pub times: Vec<Times>,
}

impl Caller {
    pub(super) fn count(&mut self, record: &Record, task: i64, awake: &mut HashSet<i64>) {
        let number = |name| record.number(name).unwrap_or(0).max(0) as u64;
        if !record.is("repoll_select_wake") {
            self.comm = record.comm.to_string();
        }
        match record.event() {
            // A new call: its first pass is not due to a wake-up.
            "repoll_select_setup" => {
                awake.remove(&task);
            }
            "repoll_select_poll" => {
                self.asked += 1;
                self.in_vain += u64::from(!is_ready(record));
            }
            "repoll_select_pass" => {
                self.passes += 1;
                self.ready += number("ready");
                let woken = awake.remove(&task);
                self.useless += u64::from(woken && number("ready") == 0);
            }
            "repoll_select_sleep" => self.sleeps += 1,
            "repoll_select_wake" if number("matched") == 1 => {
                self.wakeups += 1;
                awake.insert(task);
            }
            "repoll_select_wake" => self.mismatches += 1,
            "repoll_select_result" => {
                *self.calls.entry(record.show("call")).or_default() += 1;
                self.successful += u64::from(number("ret") > 0);
                self.entries += number("entries");
                self.bytes_in += number("bytes_in");
                self.bytes_out += number("bytes_out");
            }
            _ => {}
        }
    }
}
