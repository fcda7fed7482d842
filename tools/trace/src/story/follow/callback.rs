// SPDX-License-Identifier: GPL-2.0
//! Upwards: the callbacks of a wake-up, until a thread is woken.

use super::follower::{Follower, Link};
use crate::ftrace::record::Record;
use crate::story::{event_bits, Call, Called};

/// Whether a call changes something for the callee: the item is queued, or the entry wakes its
/// task.
pub(super) fn is_news(record: &Record) -> bool {
    match record.event() {
        "repoll_callback" => record.field("outcome") == Some("queued"),
        "repoll_select_wake" => record.number("matched") == Some(1),
        _ => false,
    }
}

impl Follower<'_> {
    /// Follows the call of an item or an entry at `middle`: from the outermost call that it is
    /// nested in to the wake-up of a thread, and on to what that thread does. At each level, one of
    /// the watchers is followed. `false` if the story of an earlier wake-up of the same SELECT or
    /// POLL covers this one.
    pub(super) fn follow_callback(&mut self, middle: usize) -> bool {
        if self.is(middle, "repoll_select_wake") && self.is_woken_already(middle) {
            return false;
        }
        let mut chain = vec![middle];
        while let Some(parent) = chain.last().and_then(|at| self.index.wakeups.parent(*at)) {
            chain.push(parent);
        }
        chain.reverse();
        self.follow_cause(chain[0]);
        let mut level = 0;
        while let Some(at) = chain.get(level).copied() {
            level += 1;
            let Some(who) = self.callee(at) else { break };
            let nested = !self.links.is_empty();
            self.links.push(Link { at, who });
            let Called::Item { item, .. } = who else {
                self.entry_called(at, who, nested);
                break;
            };
            let Some(end) = self.item_called(at, item, nested) else {
                break;
            };
            let next = match chain.get(level) {
                Some(next) => Some(*next),
                None => self.watcher(at, end),
            };
            if self.instance_wakes(at, next.unwrap_or(end), level == chain.len()) {
                break;
            }
            if level == chain.len() {
                chain.extend(next);
            }
        }
        self.follow_consumer();
        true
    }

    /// Adds the wake-up of an instance's waiter or pollers, if the callback at `at` makes one
    /// before `end`. Returns whether the story follows the waiter, which it does only at the last
    /// level of the chain.
    fn instance_wakes(&mut self, at: usize, end: usize, is_last: bool) -> bool {
        let mut before_end = self.index.cpu_after(at).take_while(|wake| *wake < end);
        let Some(wake) = before_end.find(|wake| self.is(*wake, "repoll_wake")) else {
            return false;
        };
        let record = self.record(wake);
        let ep = record.show("ep");
        if is_last && record.number("waiters") == Some(1) {
            self.step(wake, "wake-up", format!("of a waiter of instance {ep}"));
            self.follow_wake_up(wake, end, None);
            return true;
        }
        self.step(wake, "wake-up", format!("of the pollers of instance {ep}"));
        false
    }

    /// Whether an earlier wake-up of the same call covers this one: the call has not returned to
    /// its pass in between.
    fn is_woken_already(&self, wake: usize) -> bool {
        let Some(task) = self.record(wake).number("task") else {
            return true;
        };
        self.index
            .call_before(task, wake)
            .map(|at| self.record(at))
            .take_while(|record| record.is("repoll_select_wake") || record.is("repoll_select_poll"))
            .any(is_news)
    }

    /// The callee of the call at `at`.
    fn callee(&self, at: usize) -> Option<Called> {
        let record = self.record(at);
        let fd = record.number("fd")?;
        if let Some(task) = record.number("task") {
            let call = self.call_of(task, at)?;
            return Some(Called::Entry { call, task, fd });
        }
        Some(Called::Item {
            ep: record.number("ep")?,
            item: record.number("item")?,
            fd,
        })
    }

    /// Which call, SELECT or POLL, a task is in.
    pub(super) fn call_of(&self, task: i64, at: usize) -> Option<Call> {
        let begin = self
            .index
            .call_before(task, at)
            .find(|at| self.is(*at, "repoll_select_setup"));
        let mut after = self.index.call_after(task, at);
        let at = begin.or_else(|| after.find(|at| self.is(*at, "repoll_select_result")))?;
        Call::of(self.record(at).field("call")?)
    }

    /// Adds the callback of an item, and its entry into the ready queue. Returns the end of the
    /// callback.
    fn item_called(&mut self, at: usize, item: i64, nested: bool) -> Option<usize> {
        let record = self.record(at);
        let is_queued = record.field("outcome") == Some("already-queued");
        let already = if is_queued { "; already queued" } else { "" };
        if nested {
            let ep = record.show("ep");
            let detail = format!("item {item} of instance {ep}, which watches this one{already}");
            self.step(at, "nesting", detail);
        } else {
            let fd = record.show("fd");
            let events = event_bits::named(record, "key");
            self.step(at, "callback", format!("for fd {fd}: {events}{already}"));
        }
        let Some(end) = self.index.wakeups.end(at) else {
            self.miss("end of the callback");
            return None;
        };
        if !is_queued {
            let mut inside = self.index.cpu_after(at).take_while(|at| *at < end);
            let queue = inside.find(|at| {
                self.is(*at, "repoll_queue") && self.record(*at).number("item") == Some(item)
            });
            match queue {
                None => self.miss("ready queue"),
                Some(at) => self.step(at, "ready queue", format!("item {item} is queued")),
            }
        }
        Some(end)
    }

    /// Adds the call of an entry of SELECT or POLL, which wakes its task.
    fn entry_called(&mut self, at: usize, who: Called, nested: bool) {
        let Called::Entry { call, task, fd } = who else {
            return;
        };
        let name = if nested { "nesting" } else { "callback" };
        let events = event_bits::named(self.record(at), "key");
        self.step(at, name, format!("{call}'s entry for fd {fd}: {events}"));
        self.follow_wake_up(at, usize::MAX, Some(task));
    }

    /// A watcher of the instance whose item is called from `at` to `end`: the first watcher for
    /// which the call is news, else the first one that has the event already.
    fn watcher(&self, at: usize, end: usize) -> Option<usize> {
        let directly: Vec<_> = self
            .index
            .cpu_after(at)
            .take_while(|place| *place < end)
            .filter(|place| self.index.wakeups.parent(*place) == Some(at))
            .filter(|place| {
                let record = self.record(*place);
                is_news(record) || record.field("outcome") == Some("already-queued")
            })
            .collect();
        let mut news = directly.iter().copied();
        news.find(|place| is_news(self.record(*place)))
            .or(directly.first().copied())
    }
}
