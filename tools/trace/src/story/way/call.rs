// SPDX-License-Identifier: GPL-2.0
//! Upwards: who is called, until a thread is woken.

use super::{events, Link, Way};
use crate::story::{Call, Called};

impl Way<'_> {
    /// The item or the entry that is called at `middle`. What it is called in comes before it; then those who
    /// watch its instance, one of them. `false` if another wake-up of the call tells of it.
    pub(super) fn called(&mut self, middle: usize) -> bool {
        if self.is(middle, "repoll_select_wake") && self.is_woken_already(middle) {
            return false;
        }
        let mut chain = vec![middle];
        while let Some(parent) = chain.last().and_then(|at| self.index.wakeups.parent(*at)) {
            chain.push(parent);
        }
        chain.reverse();
        self.cause(chain[0]);
        let mut place = 0;
        while let Some(at) = chain.get(place).copied() {
            place += 1;
            let Some(who) = self.who(at) else { break };
            let nested = !self.links.is_empty();
            self.links.push(Link { at, who });
            let Called::Item { item, .. } = who else {
                self.entry(at, who, nested);
                break;
            };
            let Some(end) = self.item(at, item, nested) else {
                break;
            };
            let next = match chain.get(place) {
                Some(next) => Some(*next),
                None => self.watcher(at, end),
            };
            let before = next.unwrap_or(end);
            let mut wake = self.index.cpu_after(at).take_while(|wake| *wake < before);
            if let Some(wake) = wake.find(|wake| self.is(*wake, "repoll_wake")) {
                let record = self.record(wake);
                let ep = record.show("ep");
                if place == chain.len() && record.number("waiters") == Some(1) {
                    self.step(
                        wake,
                        "wake-up",
                        format!("of a task that waits on instance {ep}"),
                    );
                    self.wake(wake, before, None);
                    break;
                }
                self.step(wake, "wake-up", format!("of those who poll instance {ep}"));
            }
            if place == chain.len() {
                chain.extend(next);
            }
        }
        self.turns();
        true
    }

    /// Whether an earlier wake-up has told the call, and it did not look since.
    fn is_woken_already(&self, wake: usize) -> bool {
        let Some(task) = self.record(wake).number("task") else {
            return true;
        };
        let mut before = self.index.call_before(task, wake);
        before
            .find_map(|at| {
                let record = self.record(at);
                match record.event() {
                    "repoll_select_wake" => (record.number("matched") == Some(1)).then_some(true),
                    "repoll_select_poll" => None,
                    _ => Some(false),
                }
            })
            .unwrap_or(false)
    }

    /// Who is called at a place.
    fn who(&self, at: usize) -> Option<Called> {
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

    /// Which call a task is in.
    pub(super) fn call_of(&self, task: i64, at: usize) -> Option<Call> {
        let begin = self
            .index
            .call_before(task, at)
            .find(|at| self.is(*at, "repoll_select_setup"));
        let mut after = self.index.call_after(task, at);
        let at = begin.or_else(|| after.find(|at| self.is(*at, "repoll_select_result")))?;
        Call::of(self.record(at).field("call")?)
    }

    /// The callback of an item, up to where it wakes somebody. Returns its end.
    fn item(&mut self, at: usize, item: i64, nested: bool) -> Option<usize> {
        let record = self.record(at);
        let already = match record.field("outcome") {
            Some("already-queued") => "; it is in the ready queue already",
            _ => "",
        };
        if nested {
            let detail = format!(
                "instance {} watches this one: item {item} is called{already}",
                record.show("ep")
            );
            self.step(at, "nesting", detail);
        } else {
            let detail = format!(
                "called for fd {}: {}{already}",
                record.show("fd"),
                events(record, "key")
            );
            self.step(at, "callback", detail);
        }
        let Some(end) = self.index.wakeups.end(at) else {
            self.miss("end of the callback");
            return None;
        };
        if already.is_empty() {
            let queue = self
                .index
                .cpu_after(at)
                .take_while(|at| *at < end)
                .find(|at| {
                    self.is(*at, "repoll_queue") && self.record(*at).number("item") == Some(item)
                });
            match queue {
                None => self.miss("ready queue"),
                Some(at) => self.step(at, "ready queue", format!("item {item} enters")),
            }
        }
        Some(end)
    }

    /// An entry of SELECT or POLL, which wakes its task.
    fn entry(&mut self, at: usize, who: Called, nested: bool) {
        let Called::Entry { call, task, fd } = who else {
            return;
        };
        let name = if nested { "nesting" } else { "callback" };
        let detail = format!(
            "{call}'s entry for fd {fd} is called: {}",
            events(self.record(at), "key")
        );
        self.step(at, name, detail);
        self.wake(at, usize::MAX, Some(task));
    }

    /// One of those who watch the instance of the item that is called from `at` to `end`: the first one for whom
    /// this is something new, else the first.
    fn watcher(&self, at: usize, end: usize) -> Option<usize> {
        let directly: Vec<_> = self
            .index
            .cpu_after(at)
            .take_while(|place| *place < end)
            .filter(|place| self.index.wakeups.parent(*place) == Some(at))
            .filter(|place| {
                let record = self.record(*place);
                matches!(record.field("outcome"), Some("queued" | "already-queued"))
                    || record.number("matched") == Some(1)
            })
            .collect();
        let news = directly
            .iter()
            .copied()
            .find(|place| super::begins(self.record(*place)));
        news.or(directly.first().copied())
    }
}
