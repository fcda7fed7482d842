// SPDX-License-Identifier: GPL-2.0
//! Formats statistics as text: tables and histograms.

use super::{Caller, Instance, Source, Statistics, Times};
use crate::views::render::micros;
use std::collections::BTreeMap;
use std::fmt::{Display, Write};

/// The statistics as tables and histograms.
pub fn render(statistics: &Statistics) -> String {
    let mut page = Page(String::new());
    // Programs open the device just to see whether it is there: such instances are left out.
    let used = statistics
        .instances
        .iter()
        .filter(|(_, ep)| ep.waits + ep.sleeps + ep.limits > 0 || !ep.items.is_empty());
    for (number, instance) in used {
        page.instance(*number, instance);
    }
    for (task, caller) in &statistics.callers {
        page.caller(*task, caller);
    }
    for (number, source) in &statistics.sources {
        page.source(*number, source);
    }
    if page.0.is_empty() {
        page.line("The trace has no events of repoll.");
    }
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, text: impl AsRef<str>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{}", text.as_ref().trim_end());
    }

    fn instance(&mut self, number: i64, ep: &Instance) {
        self.line(format!("Instance {number}"));
        let per_wait = ep.delivered as f64 / ep.successful.max(1) as f64;
        self.line(format!(
            "  WAIT returned {} times, {} with events: {} in all, {per_wait:.2} on average, {} at most",
            ep.waits, ep.successful, ep.delivered, ep.most
        ));
        self.line(format!(
            "  waiters slept {} times; {} wake-ups were useless; {} timeouts, {} signals, {} refused by a limit",
            ep.sleeps, ep.useless, ep.timeouts, ep.signals, ep.limits
        ));
        if !ep.items.is_empty() {
            self.line("");
            self.line("      item    fd  callbacks: queued  already  useless  polls  unready  delivered   median µs to run");
        }
        for (number, item) in &ep.items {
            let run = item
                .times
                .iter()
                .find(|times| times.name.ends_with("running thread"));
            self.line(format!(
                "  {number:>8} {:>5} {:>18} {:>8} {:>8} {:>6} {:>8} {:>10} {:>18}",
                item.fd,
                item.queued,
                item.already,
                item.useless,
                item.polls,
                item.unready,
                item.delivered,
                run.map_or("-".to_owned(), |times| micros(times.percentile(50)))
            ));
        }
        self.line("");
        if ep.per_wait.len() > 1 {
            self.line("  Events delivered by one WAIT");
            let rows: Vec<_> = ep
                .per_wait
                .iter()
                .map(|(events, waits)| (events.to_string(), *waits as usize))
                .collect();
            self.bars(&rows);
        }
        self.times(&ep.times);
    }

    fn caller(&mut self, task: i64, caller: &Caller) {
        self.line(format!("SELECT and POLL of {} ({task})", caller.comm));
        let calls: u64 = caller.calls.values().sum();
        self.line(format!(
            "  {calls} calls ({}), {} found a ready file; {} passes",
            named(&caller.calls),
            caller.successful,
            caller.passes
        ));
        self.line(format!(
            "  files polled {} times, {} in vain; {} ready; {} wait-queue entries",
            caller.asked, caller.in_vain, caller.ready, caller.entries
        ));
        self.line(format!(
            "  slept {} times; {} wake-ups, {} useless; {} calls for other events",
            caller.sleeps, caller.wakeups, caller.useless, caller.mismatches
        ));
        self.line(format!(
            "  {} bytes copied in, {} out",
            caller.bytes_in, caller.bytes_out
        ));
        self.line("");
        self.times(&caller.times);
    }

    fn source(&mut self, number: i64, source: &Source) {
        self.line(format!("Source {number}"));
        self.line(format!(
            "  messages: {} arrived ({}), {} dropped ({}), {} read, {} queued at most",
            source.arrived.values().sum::<u64>(),
            named(&source.arrived),
            source.dropped.values().sum::<u64>(),
            named(&source.dropped),
            source.reads,
            source.most
        ));
        self.line(format!(
            "  readers slept {} times, writers {}; polled {} times; failed calls, by errno: {}",
            source.read_sleeps,
            source.write_sleeps,
            source.polls,
            named(&source.failed)
        ));
        self.line(format!(
            "  wake-ups of a sleeper {}, of pollers {}, by signal {}",
            source.woke_sleepers, source.woke_pollers, source.signals
        ));
        self.line("");
        self.times(&source.times);
    }

    fn times(&mut self, times: &[Times]) {
        for times in times {
            self.line(format!(
                "  Time {}, in µs: {} events, median {}, 90 % {}, 99 % {}, most {}",
                times.name,
                times.sorted.len(),
                micros(times.percentile(50)),
                micros(times.percentile(90)),
                micros(times.percentile(99)),
                micros(times.percentile(100)),
            ));
            let rows: Vec<_> = times
                .buckets()
                .into_iter()
                .map(|(from, count)| {
                    (
                        format!("{:>9} to {:>9}", micros(from), micros(2 * from)),
                        count,
                    )
                })
                .collect();
            self.bars(&rows);
        }
    }

    /// Prints a histogram.
    fn bars(&mut self, rows: &[(String, usize)]) {
        let most = rows
            .iter()
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(0)
            .max(1);
        for (label, count) in rows {
            let bar = "#".repeat((count * 50).div_ceil(most));
            self.line(format!("    {label:>22} {count:>8} {bar}"));
        }
        self.line("");
    }
}

/// Formats counts by name; `-` if there are none.
fn named<K: Display>(counts: &BTreeMap<K, u64>) -> String {
    let each: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    match each.is_empty() {
        true => "-".to_owned(),
        false => each.join(", "),
    }
}
