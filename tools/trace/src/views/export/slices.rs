// SPDX-License-Identifier: GPL-2.0
//! What begins and ends, on each track, one in the other.

use crate::ftrace::record::Record;
use std::borrow::Cow;
use std::collections::HashMap;

/// A slice's beginning or end, or something without a duration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Begin,
    End,
    Instant,
}

impl Phase {
    /// As the format has it.
    pub(super) fn letter(self) -> &'static str {
        match self {
            Self::Begin => "B",
            Self::End => "E",
            Self::Instant => "i",
        }
    }
}

/// The phase, the kind, and the name for a beginning or an instant.
type Change<'a> = (Phase, &'static str, Cow<'a, str>);

/// The kinds of the slices that have begun, by track.
#[derive(Default)]
pub(super) struct Slices {
    open: HashMap<(u32, i32), Vec<&'static str>>,
}

impl Slices {
    /// What a record begins and ends on its track. An end without its beginning is left out; what has begun
    /// in it and has no end ends with it.
    pub(super) fn of<'a>(&mut self, record: &'a Record, track: (u32, i32)) -> Vec<Change<'a>> {
        let open = self.open.entry(track).or_default();
        let mut changes = Vec::new();
        let end = |open: &mut Vec<&'static str>, changes: &mut Vec<Change<'a>>, kind| {
            let Some(place) = open.iter().rposition(|one| *one == kind) else {
                return;
            };
            for kind in open.drain(place..).rev() {
                changes.push((Phase::End, kind, "".into()));
            }
        };
        // Whoever does something sleeps no more.
        if let Some(kind) = ended_sleep(record.event()) {
            end(open, &mut changes, kind);
        }
        let (phase, kind, label) = change(record);
        match phase {
            Phase::End => end(open, &mut changes, kind),
            Phase::Begin => {
                open.push(kind);
                changes.push((phase, kind, label));
            }
            Phase::Instant => changes.push((phase, kind, label)),
        }
        changes
    }
}

/// The sleep that is over if this event comes, where no event of its own tells.
fn ended_sleep(event: &str) -> Option<&'static str> {
    match event {
        "repoll_select_poll"
        | "repoll_select_pass"
        | "repoll_select_sleep"
        | "repoll_select_result" => Some("sleep in a call"),
        "repoll_source_take"
        | "repoll_source_read"
        | "repoll_source_write"
        | "repoll_source_sleep" => Some("sleep in a read or write"),
        _ => None,
    }
}

fn change(record: &Record) -> Change<'_> {
    use Phase::{Begin, End, Instant};
    let of = |what: &str, field: &str| Cow::from(format!("{what} {}", record.show(field)));
    let none = || Cow::from("");
    match record.event() {
        "irq_handler_entry" => (Begin, "irq", record.show("name").into()),
        "irq_handler_exit" => (End, "irq", none()),
        "softirq_entry" => (Begin, "softirq", of("softirq", "vec")),
        "softirq_exit" => (End, "softirq", none()),
        "repoll_wait_enter" => (Begin, "wait", of("WAIT on", "ep")),
        "repoll_wait_exit" => (End, "wait", none()),
        "repoll_wait_sleep" => (Begin, "sleep", "sleep".into()),
        "repoll_wait_wake" => (End, "sleep", none()),
        "repoll_scan_begin" => (Begin, "scan", of("scan of", "ep")),
        "repoll_scan_end" => (End, "scan", none()),
        "repoll_callback" => (Begin, "callback", of("callback of item", "item")),
        "repoll_callback_exit" => (End, "callback", none()),
        "repoll_select_setup" => (Begin, "select", record.show("call").to_uppercase().into()),
        "repoll_select_result" => (End, "select", none()),
        "repoll_select_sleep" => (Begin, "sleep in a call", "sleep".into()),
        "repoll_source_sleep" => (Begin, "sleep in a read or write", "sleep".into()),
        event => match event.strip_prefix("sys_enter_") {
            Some(call) => (Begin, "call", call.into()),
            None if event.starts_with("sys_exit_") => (End, "call", none()),
            None => (Instant, "", event.into()),
        },
    }
}
