// SPDX-License-Identifier: GPL-2.0
//! The tracepoints as an interface: a table of all of them, with their fields and what these may
//! be.
//!
//! A tracepoint that is new or has changed is not as in the table; one that is in the table is seen
//! in a test, with each value that has a name, and is described in
//! `Documentation/reference/tracepoints.rst`.

use super::contexts::recording;
use super::tracepoint_limits::watches_of_a_user;
use super::{contexts, tracepoint_fields, tracepoint_limits, tracepoints};
use crate::prelude::*;
use crate::support::{has_kasan, is_realtime};
use repoll_trace::record::Record;
use repoll_trace::tracefs::Session;
use std::collections::BTreeSet;

pub fn tests() -> Vec<Test> {
    repoll_only!("tracepoint_format" within 240:
        each_event_is_as_in_the_table,
        each_event_and_each_value_is_seen,
    )
}

const SYSTEM: &str = "/sys/kernel/tracing/events/repoll";

/// The events without `repoll_`, and the types and names of their fields, in order.
const EVENTS: &[(&str, &str)] = &[
    ("create", "u32 ep"),
    ("release", "u32 ep"),
    (
        "ctl",
        "u32 ep, s32 fd, s32 op, u32 events, u64 data, s32 ret",
    ),
    (
        "add",
        "u32 ep, s32 fd, u64 item, u32 events, u64 data, void * file, u32 target",
    ),
    ("modify", "u32 ep, s32 fd, u64 item, u32 events, u64 data"),
    ("remove", "u32 ep, s32 fd, u64 item, u32 reason"),
    ("limit", "u32 ep, s32 fd, u32 limit, s32 ret"),
    ("poll", "u32 ep, s32 fd, u64 item, u32 events, u32 ready"),
    (
        "callback",
        "u32 ep, s32 fd, u64 item, u32 key, u32 context, u32 outcome",
    ),
    (
        "callback_exit",
        "u32 ep, s32 fd, u64 item, u32 woken, u32 used",
    ),
    ("queue", "u32 ep, s32 fd, u64 item, u32 reason"),
    ("disarm", "u32 ep, s32 fd, u64 item"),
    ("wake", "u32 ep, u32 waiters, u32 pollers, u32 reason"),
    ("wait_enter", "u32 ep, s32 maxevents, s64 timeout"),
    ("wait_sleep", "u32 ep"),
    ("wait_wake", "u32 ep, u32 reason"),
    ("wait_exit", "u32 ep, s32 ret"),
    ("scan_begin", "u32 ep, u32 by"),
    ("scan_end", "u32 ep, u32 taken, u32 ready"),
    ("deliver", "u32 ep, s32 fd, u64 item, u32 events, u64 data"),
    (
        "source_arrive",
        "u32 source, u32 kind, u64 message, u32 length, u32 queued, u32 context",
    ),
    ("source_take", "u32 source, u32 queued, u64 message"),
    (
        "source_drop",
        "u32 source, u32 kind, u32 length, u32 reason",
    ),
    ("source_read", "u32 source, u32 nonblock, s64 ret"),
    ("source_write", "u32 source, u32 nonblock, s64 ret"),
    ("source_sleep", "u32 source, u32 writer"),
    ("source_poll", "u32 source, u32 events"),
    (
        "source_wake",
        "u32 source, u32 events, u32 sleepers, u32 pollers, u32 signal",
    ),
    (
        "select_setup",
        "s32 task, u32 call, u32 nfds, u64 bytes_in, s64 timeout",
    ),
    ("select_poll", "s32 task, s32 fd, u32 events, u32 ready"),
    (
        "select_pass",
        "s32 task, u32 pass, u32 polled, u32 entries, u32 ready",
    ),
    ("select_sleep", "s32 task, u32 sleep, u32 wakeups"),
    (
        "select_wake",
        "s32 task, s32 fd, u32 key, u32 context, u32 matched",
    ),
    (
        "select_result",
        "s32 task, u32 call, s32 ret, u32 passes, u64 polled, u32 entries, u32 wakeups, \
        u32 sleeps, u64 bytes_in, u64 bytes_out",
    ),
];

const CONTEXTS: &[&str] = &["task", "softirq", "hardirq", "nmi"];
const CALLS: &[&str] = &["select", "poll"];
const KINDS: &[&str] = &["write", "timer", "frame"];
const NO_OR_YES: &[&str] = &["0", "1"];

/// The values that a field of an event may have: names, from 0 up, or a check of the number.
const VALUES: &[(&str, &str, &[&str])] = &[
    ("ctl", "op", &["", "ADD", "DEL", "MOD"]),
    ("remove", "reason", &["del", "last-close", "release"]),
    (
        "limit",
        "limit",
        &[
            "watches-of-user",
            "watches-of-file",
            "nesting",
            "paths",
            "pollers",
        ],
    ),
    ("callback", "context", CONTEXTS),
    (
        "callback",
        "outcome",
        &["queued", "already-queued", "mismatch", "disarmed"],
    ),
    ("callback_exit", "woken", NO_OR_YES),
    ("callback_exit", "used", NO_OR_YES),
    (
        "queue",
        "reason",
        &["callback", "add", "mod", "level", "back"],
    ),
    ("wake", "waiters", NO_OR_YES),
    ("wake", "pollers", NO_OR_YES),
    ("wake", "reason", &["event", "left", "release"]),
    (
        "wait_wake",
        "reason",
        &["event", "timeout", "signal", "nothing"],
    ),
    ("scan_begin", "by", &["wait", "poll"]),
    ("source_arrive", "kind", KINDS),
    ("source_arrive", "context", CONTEXTS),
    ("source_drop", "kind", KINDS),
    ("source_drop", "reason", &["full", "too-long", "other"]),
    ("source_read", "nonblock", NO_OR_YES),
    ("source_write", "nonblock", NO_OR_YES),
    ("source_sleep", "writer", &["reader", "writer"]),
    ("source_wake", "sleepers", NO_OR_YES),
    ("source_wake", "pollers", NO_OR_YES),
    ("source_wake", "signal", NO_OR_YES),
    ("select_setup", "call", CALLS),
    ("select_wake", "context", CONTEXTS),
    ("select_wake", "matched", NO_OR_YES),
    ("select_result", "call", CALLS),
];

/// The events that no test can bring about, and the reason.
const NEVER: &[(&str, &str, &str)] = &[
    // Nobody may take a wait queue's lock in an NMI.
    ("callback", "context", "nmi"),
    ("source_arrive", "context", "nmi"),
    ("select_wake", "context", "nmi"),
    // A poller keeps the file open, except for an epoll; and epolls have learned of the last close
    // before the instance does.
    ("wake", "reason", "release"),
    // The writer gets the error instead.
    ("source_drop", "kind", "write"),
];

/// The types and the names of an event's fields.
fn fields(list: &str) -> impl Iterator<Item = (&str, &str)> {
    list.split(", ").filter_map(|field| field.rsplit_once(' '))
}

/// The kernel's description of the fields, laid out as C does: after the 8 bytes that all events
/// have.
fn described(list: &str) -> Result<Vec<String>> {
    let mut end = 8;
    let mut lines = Vec::new();
    for (kind, name) in fields(list) {
        let (size, signed) = match kind {
            "u32" | "__data_loc char[]" => (4, 0),
            "s32" => (4, 1),
            "u64" | "void *" => (8, 0),
            "s64" => (8, 1),
            // The kernel's are unsigned.
            "char" => (1, 0),
            _ => anyhow::bail!("the type {kind} is new: how long is it?"),
        };
        let offset = usize::next_multiple_of(end, size);
        lines.push(format!(
            "field:{kind} {name};\toffset:{offset};\tsize:{size};\tsigned:{signed};"
        ));
        end = offset + size;
    }
    Ok(lines)
}

/// The kernel's text for the names of a field's values.
fn symbols(field: &str, names: &[&str]) -> String {
    let names = names
        .iter()
        .enumerate()
        .filter(|(_, name)| !name.is_empty())
        .map(|(value, name)| format!("{{ {value}, \"{name}\" }}"));
    let names: Vec<_> = names.collect();
    format!("__print_symbolic(REC->{field}, {})", names.join(", "))
}

fn each_event_is_as_in_the_table() -> Result<()> {
    let there = Session::new()?.events_of("repoll")?;
    let known: BTreeSet<_> = EVENTS
        .iter()
        .map(|(event, _)| format!("repoll_{event}"))
        .collect();
    let there: BTreeSet<_> = there.into_iter().collect();
    ensure!(
        there == known,
        "not in the table, or in the table alone: {:?}",
        there.symmetric_difference(&known).collect::<Vec<_>>()
    );
    for (event, list) in EVENTS {
        let format = fs::read_to_string(format!("{SYSTEM}/repoll_{event}/format"))?;
        let own: Vec<_> = format
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("field:") && !line.contains(" common_"))
            .collect();
        let expected = described(list)?;
        ensure!(own == expected, "{event}: {own:#?} is not {expected:#?}");
        let (_, print) = format.split_once("print fmt: ").context("no print fmt")?;
        let mut named = 0;
        for (of, field, names) in VALUES {
            if of != event || *names == NO_OR_YES {
                continue;
            }
            let symbols = symbols(field, names);
            ensure!(print.contains(&symbols), "{event}: no {symbols} in {print}");
            named += 1;
        }
        ensure!(
            print.matches("__print_symbolic").count() == named,
            "{event}: names that are not in the table: {print}"
        );
        // The printed text names each field or its meaning.
        for (_, name) in fields(list) {
            ensure!(
                print.contains(&format!("REC->{name}")) || print.contains(&format!("({name})")),
                "{event} does not print {name}: {print}"
            );
        }
    }
    Ok(())
}

/// The events, and the values of fields, that were recorded.
#[derive(Default)]
struct Seen(BTreeSet<String>);

impl Seen {
    fn add(&mut self, records: &[Record]) {
        for record in records {
            let event = record.event().trim_start_matches("repoll_");
            self.0.insert(event.to_owned());
            for (of, field, _) in VALUES.iter().filter(|(of, ..)| *of == event) {
                self.0.insert(value(of, field, &record.show(field)));
            }
        }
    }
}

fn value(event: &str, field: &str, value: &str) -> String {
    format!("{event} {field}={value}")
}

/// The tests of the tracepoints, all together.
fn each_event_and_each_value_is_seen() -> Result<()> {
    if has_kasan() {
        return skip("repeating these tests is slow under KASAN and finds nothing new");
    }
    let mut seen = Seen::default();
    for tests in [
        contexts::tests(),
        tracepoints::tests(),
        tracepoint_fields::tests(),
        tracepoint_limits::while_loaded(),
    ] {
        for test in tests {
            let mut session = recording()?;
            // That test reports its own failure; the second network interface may not be there.
            let _ = test.run();
            seen.add(&session.stop()?.records);
        }
    }
    seen.add(&watches_of_a_user()?);
    let mut expected: BTreeSet<_> = EVENTS
        .iter()
        .map(|(event, _)| (*event).to_owned())
        .collect();
    for (event, field, values) in VALUES {
        let values = values.iter().filter(|value| !value.is_empty());
        expected.extend(values.map(|name| value(event, field, name)));
    }
    for (event, field, name) in NEVER {
        expected.remove(&value(event, field, name));
    }
    if settings::get().peer.is_none() {
        expected.remove(&value("source_drop", "reason", "other"));
    }
    if is_realtime()? {
        // A hard interrupt can't take a wait queue's lock there, nor a source's.
        for event in ["callback", "source_arrive", "select_wake"] {
            expected.remove(&value(event, "context", "hardirq"));
        }
    }
    let missing: Vec<_> = expected.difference(&seen.0).collect();
    ensure!(missing.is_empty(), "not seen: {missing:?}");
    let unknown: Vec<_> = seen.0.difference(&expected).collect();
    ensure!(
        unknown.is_empty(),
        "seen, and not in the table: {unknown:?}"
    );
    Ok(())
}

#[cfg(test)]
mod host {
    use super::*;

    const PAGE: &str = include_str!("../../../../../Documentation/reference/tracepoints.rst");

    /// The description of an event: from its line to the next blank one.
    fn description(event: &str) -> Option<String> {
        let name = format!("``repoll_{event}``");
        PAGE.split("\n\n")
            .find(|paragraph| {
                let head = paragraph
                    .trim_start()
                    .split(" *")
                    .next()
                    .unwrap_or_default();
                head.split(", ").any(|known| known.trim() == name)
            })
            .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_page_has_each_event_with_all_of_its_fields() {
        for (event, list) in EVENTS {
            let text = description(event).unwrap_or_else(|| panic!("{event} is not described"));
            let on_page = text.split('*').nth(1).unwrap_or_default();
            let on_page: BTreeSet<_> = on_page.split(", ").collect();
            let fields: BTreeSet<_> = fields(list).map(|(_, name)| name).collect();
            assert_eq!(on_page, fields, "{event}");
        }
    }

    #[test]
    fn the_page_has_each_value() {
        for (event, field, names) in VALUES.iter().filter(|(.., names)| *names != NO_OR_YES) {
            let text = description(event).unwrap_or_default();
            for name in names.iter().filter(|name| !name.is_empty()) {
                let words = text.split(|c: char| !(c.is_alphanumeric() || c == '-'));
                assert!(
                    words.into_iter().any(|word| word == *name),
                    "{event}: {field} may be {name}: {text}"
                );
            }
        }
    }

    #[test]
    fn the_page_has_no_other_event() {
        let known: BTreeSet<_> = EVENTS.iter().map(|(event, _)| *event).collect();
        for word in PAGE.split("``repoll_").skip(1) {
            let name = word.split("``").next().unwrap_or_default();
            if name.ends_with('*') {
                continue;
            }
            assert!(known.contains(name), "repoll_{name}");
        }
    }

    #[test]
    fn values_are_of_fields_that_are_there() {
        for (event, field, _) in VALUES {
            let list = EVENTS.iter().find(|(name, _)| name == event);
            let list = list.map_or("", |(_, list)| list);
            assert!(
                fields(list).any(|(_, name)| name == *field),
                "{event} {field}"
            );
        }
        for (event, field, name) in NEVER {
            let known = VALUES.iter().find(|(of, is, _)| of == event && is == field);
            assert!(
                known.is_some_and(|(.., names)| names.contains(name)),
                "{name}"
            );
        }
    }
}
