// SPDX-License-Identifier: GPL-2.0
//! The pass of SELECT or POLL that finds the event.

use super::consumer::Returned;
use super::follower::Follower;
use super::words::{more, plural};
use crate::story::event_bits::{is_ready, ready};

/// The records of one call after a wake-up.
#[derive(Default)]
struct Pass {
    /// Further wake-ups before the end of the pass.
    again: i64,
    /// The poll of the file.
    poll: Option<usize>,
    /// The end of the pass.
    pass: Option<usize>,
    /// The return of the call.
    result: Option<usize>,
}

impl Follower<'_> {
    /// Adds the steps of SELECT or POLL, from the pass after the call at `from` to the return.
    pub(super) fn pass(
        &mut self,
        level: usize,
        task: i64,
        fd: i64,
        from: usize,
    ) -> Option<Returned> {
        let found = self.find_pass(task, fd, from);
        let Some(first) = found.poll.or(found.pass).or(found.result) else {
            self.miss("poll");
            return None;
        };
        self.asks_inner(level, from, first);
        let mut useful = false;
        let is_before = |poll: &usize| found.pass.is_none_or(|pass| *poll < pass);
        if let Some(poll) = found.poll.filter(is_before) {
            let record = self.record(poll);
            useful = is_ready(record);
            let result = match useful {
                true => ready(record),
                false => "no longer ready".to_owned(),
            };
            let again = more(found.again, "wake-up");
            self.step(poll, "poll", format!("of fd {fd}: {result}{again}"));
        }
        match found.pass {
            None if found.result.is_none() => self.miss("pass"),
            None => {}
            Some(pass) => {
                let record = self.record(pass);
                let polled = plural(record.number("polled").unwrap_or(0), "file");
                let detail = format!("{polled} polled, {} ready", record.show("ready"));
                self.step(pass, "pass", detail);
            }
        }
        let Some(result) = found.result else {
            if useful {
                self.miss("returns");
            }
            return None;
        };
        self.call_returns(result);
        if !useful {
            return None;
        }
        let record = self.record(result);
        self.receiver = format!("{} ({})", record.comm, record.pid);
        Some(Returned {
            pid: record.pid,
            at: result,
        })
    }

    fn find_pass(&self, task: i64, fd: i64, from: usize) -> Pass {
        let mut found = Pass::default();
        for at in self.index.call_after(task, from) {
            let record = self.record(at);
            match record.event() {
                "repoll_select_wake" if found.pass.is_none() => {
                    found.again += i64::from(record.number("matched") == Some(1))
                }
                "repoll_select_poll" if found.poll.is_none() && record.number("fd") == Some(fd) => {
                    found.poll = Some(at)
                }
                // A pass that had polled the file before the wake-up is not the one that the
                // wake-up causes.
                "repoll_select_pass"
                    if found.poll.is_some() || record.number("ready") != Some(0) =>
                {
                    found.pass = Some(at)
                }
                // The pass found nothing: the return belongs to a later wake-up.
                "repoll_select_sleep" if found.pass.is_some() => break,
                "repoll_select_result" => {
                    found.result = Some(at);
                    break;
                }
                "repoll_select_setup" => break,
                _ => {}
            }
        }
        found
    }

    /// Adds the return of the call.
    fn call_returns(&mut self, result: usize) {
        let record = self.record(result);
        let name = record.field("call").unwrap_or("the call").to_uppercase();
        let detail = match record.number("ret").unwrap_or(0) {
            error @ ..0 => format!("{name}: errno {}", -error),
            count => format!("{name}: {count} ready"),
        };
        self.step(result, "returns", detail);
    }
}
