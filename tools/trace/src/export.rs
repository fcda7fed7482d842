// SPDX-License-Identifier: GPL-2.0
//! The trace for timelines: Chrome's JSON format, which Perfetto's viewer opens, too.
//!
//! CPUs are one process of it, with a thread each for what interrupts; the threads of the machine
//! are another: with their system calls, their WAITs, scans and sleeps. An arrow leads from each
//! callback to the delivery.

use crate::record::{Context, Record, Trace};
use crate::story::Story;
use anyhow::Result;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;

/// The two "processes" of the timeline.
const CPUS: u32 = 1;
const THREADS: u32 = 2;

/// Writes the timeline.
///
/// # Errors
///
/// Those of writing.
pub fn chrome(trace: &Trace, stories: &[Story], out: &mut impl Write) -> Result<()> {
    let mut events = Events { out, first: true };
    writeln!(events.out, "{{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
    events.write(&name("process_name", CPUS, 0, "CPUs: interrupts"))?;
    events.write(&name("process_name", THREADS, 0, "threads"))?;
    let mut threads = BTreeMap::new();
    let mut cpus = BTreeMap::new();
    for record in &trace.records {
        cpus.insert(record.cpu, ());
        threads.insert(record.pid, record.comm.clone());
    }
    for cpu in cpus.keys() {
        events.write(&name(
            "thread_name",
            CPUS,
            *cpu as i32,
            &format!("CPU {cpu}"),
        ))?;
    }
    for (pid, comm) in &threads {
        events.write(&name(
            "thread_name",
            THREADS,
            *pid,
            &format!("{comm} ({pid})"),
        ))?;
    }
    let mut open = HashMap::new();
    for record in &trace.records {
        if let Some(event) = event(record, &mut open) {
            events.write(&event)?;
        }
    }
    for (number, story) in stories.iter().enumerate() {
        let step = |name: &str| story.steps.iter().find(|step| step.name == name);
        if let (Some(from), Some(to)) = (step("callback"), step("delivery")) {
            events.write(&flow("s", number, &trace.records[from.at]))?;
            events.write(&flow("f", number, &trace.records[to.at]))?;
        }
    }
    writeln!(events.out, "\n]}}")?;
    events.out.flush()?;
    Ok(())
}

struct Events<'a, W: Write> {
    out: &'a mut W,
    first: bool,
}

impl<W: Write> Events<'_, W> {
    fn write(&mut self, event: &Event<'_>) -> Result<()> {
        if !std::mem::take(&mut self.first) {
            writeln!(self.out, ",")?;
        }
        serde_json::to_writer(&mut *self.out, event)?;
        Ok(())
    }
}

/// One event of the timeline, as the format has it.
#[derive(Default, Serialize)]
struct Event<'a> {
    ph: &'static str,
    pid: u32,
    tid: i32,
    /// Microseconds.
    ts: f64,
    cat: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    /// An instant is one of its track.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    /// An arrow ends at the slice that is there, and begins there.
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Arguments<'a>>,
}

enum Arguments<'a> {
    Name(&'a str),
    Fields(&'a Record),
}

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Name(name) => map.serialize_entry("name", name)?,
            Self::Fields(record) => {
                for name in record.names() {
                    match (record.field(name), record.number(name)) {
                        _ if matches!(name, "track_event_type" | "slice_name") => {}
                        (Some(text), _) => map.serialize_entry(name, text)?,
                        (None, Some(number)) => map.serialize_entry(name, &number)?,
                        (None, None) => {}
                    }
                }
            }
        }
        map.end()
    }
}

fn name<'a>(what: &'static str, pid: u32, tid: i32, name: &'a str) -> Event<'a> {
    Event {
        ph: "M",
        name: Some(what.into()),
        pid,
        tid,
        args: Some(Arguments::Name(name)),
        ..Event::default()
    }
}

/// An event on the track of a record: that of the thread, or of the CPU that was interrupted.
fn at<'a>(record: &Record, ph: &'static str, cat: &'static str) -> Event<'a> {
    let (pid, tid) = match record.context {
        Context::Task => (THREADS, record.pid),
        _ => (CPUS, record.cpu as i32),
    };
    let ts = record.time as f64 / 1000.0;
    Event {
        ph,
        pid,
        tid,
        ts,
        cat,
        ..Event::default()
    }
}

/// A slice's beginning or end, or an instant. `open` counts the slices of each track that have begun, by
/// kind: an end without its beginning is left out.
fn event<'a>(record: &'a Record, open: &mut HashMap<(u32, i32, &str), u32>) -> Option<Event<'a>> {
    let of = |what: &str, field: &str| Some(format!("{what} {}", record.show(field)).into());
    let (phase, kind, label): (_, _, Option<Cow<'_, str>>) = match record.event() {
        "irq_handler_entry" => ("B", "irq", record.field("name").map(Cow::from)),
        "irq_handler_exit" => ("E", "irq", None),
        "softirq_entry" => ("B", "softirq", of("softirq", "vec")),
        "softirq_exit" => ("E", "softirq", None),
        "repoll_wait_enter" => ("B", "wait", of("WAIT on", "ep")),
        "repoll_wait_exit" => ("E", "wait", None),
        "repoll_wait_sleep" => ("B", "sleep", Some("sleep".into())),
        "repoll_wait_wake" => ("E", "sleep", None),
        "repoll_scan_begin" => ("B", "scan", of("scan of", "ep")),
        "repoll_scan_end" => ("E", "scan", None),
        "repoll_callback" => ("B", "callback", of("callback of item", "item")),
        "repoll_callback_exit" => ("E", "callback", None),
        event => match event.strip_prefix("sys_enter_") {
            Some(call) => ("B", "call", Some(call.into())),
            None if event.starts_with("sys_exit_") => ("E", "call", None),
            None => ("i", "", Some(event.into())),
        },
    };
    let mut event = at(record, phase, kind);
    let count = open.entry((event.pid, event.tid, kind)).or_default();
    match phase {
        "B" => *count += 1,
        "E" => *count = count.checked_sub(1)?,
        _ => event.s = Some("t"),
    }
    event.name = label;
    event.args = Some(Arguments::Fields(record));
    Some(event)
}

fn flow<'a>(phase: &'static str, number: usize, record: &Record) -> Event<'a> {
    let mut event = at(record, phase, "story");
    event.name = Some("event".into());
    event.id = Some(number);
    event.bp = Some("e");
    event
}
