// SPDX-License-Identifier: GPL-2.0
//! Counts and times, per instance and per item.

use crate::filter::Filter;
use crate::record::Record;
use crate::render::micros;
use crate::story::Story;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

/// What one instance did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// Calls of WAIT that returned.
    pub waits: u64,
    /// How many of them delivered something.
    pub successful: u64,
    /// Events delivered.
    pub delivered: u64,
    /// The most that one WAIT delivered.
    pub most: u64,
    /// How often a waiter slept.
    pub sleeps: u64,
    /// How often it woke up for an event, and then delivered nothing, or found another one was quicker.
    pub useless: u64,
    /// How often the time was over.
    pub timeouts: u64,
    /// How often a signal came.
    pub signals: u64,
    /// ADDs that a limit refused.
    pub limits: u64,
    /// Its items.
    pub items: BTreeMap<i64, Item>,
}

/// What happened to one item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The descriptor that it was added with.
    pub fd: i64,
    /// Callbacks that queued it.
    pub queued: u64,
    /// Callbacks that found it queued.
    pub already: u64,
    /// Callbacks for events of no interest, and while it was disarmed.
    pub useless: u64,
    /// How often its file was asked.
    pub polls: u64,
    /// How often that said that nothing of interest is ready.
    pub unready: u64,
    /// Events delivered.
    pub delivered: u64,
}

/// Durations of one kind, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// Where it begins, and where it ends.
    pub name: &'static str,
    /// All of them, the shortest first.
    pub sorted: Vec<u64>,
}

impl Times {
    fn of(name: &'static str, stories: &[&Story], from: &str, to: &str) -> Self {
        let mut sorted: Vec<_> = stories
            .iter()
            .filter_map(|story| story.between(from, to))
            .collect();
        sorted.sort_unstable();
        Self { name, sorted }
    }

    /// The one that so many percent are not longer than.
    pub fn percentile(&self, percent: usize) -> u64 {
        let rank = (self.sorted.len() * percent)
            .div_ceil(100)
            .saturating_sub(1);
        self.sorted.get(rank).copied().unwrap_or(0)
    }

    /// How many there are from one power of two (of nanoseconds) to the next.
    pub fn buckets(&self) -> Vec<(u64, usize)> {
        let exponent = |time: &u64| time.max(&1).ilog2();
        let (Some(first), Some(last)) = (self.sorted.first(), self.sorted.last()) else {
            return Vec::new();
        };
        let mut buckets: Vec<_> = (exponent(first)..=exponent(last))
            .map(|bit| (1u64 << bit, 0))
            .collect();
        for time in &self.sorted {
            buckets[(exponent(time) - exponent(first)) as usize].1 += 1;
        }
        buckets
    }
}

/// The statistics of a trace.
#[derive(Debug, Default, Serialize)]
pub struct Statistics {
    /// By their numbers.
    pub instances: BTreeMap<i64, Instance>,
    /// How long things took.
    pub times: Vec<Times>,
}

impl Statistics {
    /// Those of what a filter wants.
    pub fn of(records: &[Record], stories: &[Story], filter: &Filter) -> Self {
        let mut statistics = Self::default();
        // Threads that have been woken for an event, and have delivered nothing yet.
        let mut awake = HashSet::new();
        for record in records
            .iter()
            .filter(|record| record.event().starts_with("repoll_"))
        {
            let number = |name| record.number(name);
            let Some(ep) = number("ep") else { continue };
            if !filter.wants_item(ep, number("item").unwrap_or(-1), number("fd").unwrap_or(-1))
                && number("item").is_some()
            {
                continue;
            }
            if !filter.wants_instance(ep) {
                continue;
            }
            let instance = statistics.instances.entry(ep).or_default();
            if let Some(item) = number("item") {
                instance.items.entry(item).or_default().count(record);
            }
            instance.count(record, &mut awake);
        }
        let wanted: Vec<_> = stories.iter().filter(|story| filter.wants(story)).collect();
        statistics.times = vec![
            Times::of(
                "from the interrupt to the callback",
                &wanted,
                "interrupt",
                "callback",
            ),
            Times::of(
                "from the callback to the running thread",
                &wanted,
                "callback",
                "running",
            ),
            Times::of(
                "from the running thread to the return of WAIT",
                &wanted,
                "running",
                "wait returns",
            ),
            Times::of(
                "from the callback to the delivery",
                &wanted,
                "callback",
                "delivery",
            ),
        ];
        statistics
    }
}

impl Instance {
    fn count(&mut self, record: &Record, awake: &mut HashSet<i32>) {
        match record.event() {
            "repoll_wait_exit" => {
                let ret = record.number("ret").unwrap_or(0).max(0) as u64;
                self.waits += 1;
                self.successful += u64::from(ret > 0);
                self.delivered += ret;
                self.most = self.most.max(ret);
                awake.remove(&record.pid);
            }
            // Asleep again without having delivered anything.
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
    fn count(&mut self, record: &Record) {
        self.fd = record.number("fd").unwrap_or(self.fd);
        match (record.event(), record.field("outcome")) {
            ("repoll_callback", Some("queued")) => self.queued += 1,
            ("repoll_callback", Some("already-queued")) => self.already += 1,
            ("repoll_callback", _) => self.useless += 1,
            ("repoll_poll", _) => {
                let ready =
                    record.number("ready").unwrap_or(0) & record.number("events").unwrap_or(-1);
                self.polls += 1;
                self.unready += u64::from(ready == 0);
            }
            ("repoll_deliver", _) => self.delivered += 1,
            _ => {}
        }
    }
}

/// The statistics as tables and histograms.
pub fn render(statistics: &Statistics) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}", text.trim_end());
    };
    // Programs open the device to try it: those instances did nothing.
    let used = statistics
        .instances
        .iter()
        .filter(|(_, ep)| ep.waits + ep.sleeps + ep.limits > 0 || !ep.items.is_empty());
    for (number, ep) in used {
        line(&format!("Instance {number}"));
        let per_wait = ep.delivered as f64 / ep.successful.max(1) as f64;
        line(&format!(
            "  WAIT returned {} times, {} of them with events: {} in all, {per_wait:.2} each, {} at the most",
            ep.waits, ep.successful, ep.delivered, ep.most
        ));
        line(&format!(
            "  waiters slept {} times; {} wake-ups were useless; {} timeouts, {} signals, {} refused by a limit",
            ep.sleeps, ep.useless, ep.timeouts, ep.signals, ep.limits
        ));
        if !ep.items.is_empty() {
            line(
                "      item    fd  callbacks: queued  already  useless  polls  unready  delivered",
            );
        }
        for (number, item) in &ep.items {
            line(&format!(
                "  {number:>8} {:>5} {:>18} {:>8} {:>8} {:>6} {:>8} {:>10}",
                item.fd,
                item.queued,
                item.already,
                item.useless,
                item.polls,
                item.unready,
                item.delivered
            ));
        }
        line("");
    }
    for times in statistics
        .times
        .iter()
        .filter(|times| !times.sorted.is_empty())
    {
        line(&format!(
            "Time {}, in µs: {} events, median {}, 90 % {}, 99 % {}, most {}",
            times.name,
            times.sorted.len(),
            micros(times.percentile(50)),
            micros(times.percentile(90)),
            micros(times.percentile(99)),
            micros(times.percentile(100)),
        ));
        let buckets = times.buckets();
        let most = buckets
            .iter()
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(1)
            .max(1);
        for (from, count) in buckets {
            let bar = "#".repeat((count * 50).div_ceil(most));
            line(&format!(
                "  {:>9} to {:>9} {count:>8} {bar}",
                micros(from),
                micros(2 * from)
            ));
        }
        line("");
    }
    if out.is_empty() {
        out.push_str("The trace has no events of repoll.\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_durations_that_were_seen() {
        let times = Times {
            name: "",
            sorted: vec![1, 2, 3, 100],
        };
        assert_eq!(
            [0, 25, 50, 75, 99, 100].map(|p| times.percentile(p)),
            [1, 1, 2, 3, 100, 100]
        );
        assert_eq!(Times::default().percentile(50), 0);
    }

    #[test]
    fn buckets_are_powers_of_two_without_a_gap() {
        let times = Times {
            name: "",
            sorted: vec![0, 1, 4, 5, 7, 16],
        };
        assert_eq!(times.buckets(), [(1, 2), (2, 0), (4, 3), (8, 0), (16, 1)]);
        assert_eq!(Times::default().buckets(), []);
    }
}
