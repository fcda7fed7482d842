// SPDX-License-Identifier: GPL-2.0
//! The trace for timelines: Chrome's JSON format, which Perfetto's viewer opens, too.
//!
//! CPUs are one process of it, with a thread each for what interrupts; the threads of the machine
//! are another: with their system calls, their WAITs, SELECTs and POLLs, passes and sleeps. An arrow leads from
//! each callback, or message, to where the event was found.

mod slices;
#[cfg(test)]
mod tests;

use crate::ftrace::record::{Context, Record, Trace};
use crate::story::{Step, Story};
use anyhow::Result;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use slices::{Phase, Slices};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;

/// The two "processes" of the timeline.
const CPUS: u32 = 1;
const THREADS: u32 = 2;
/// More than any thread's number. What reads the format takes number 0 for the idle thread, or for none; so
/// CPUs have numbers from here on, and so have their idle threads, which are all called 0.
const FIRST_CPU: i32 = 1 << 22;

/// Writes the timeline.
///
/// # Errors
///
/// Those of writing.
pub fn chrome(trace: &Trace, stories: &[Story], out: &mut impl Write) -> Result<()> {
    // What is missing is told in the file, too.
    let other = Other {
        clock: "CLOCK_MONOTONIC",
        lost: trace.lost,
        warnings: &trace.warnings,
    };
    let other = serde_json::to_string(&other)?;
    writeln!(
        out,
        "{{\"displayTimeUnit\":\"ns\",\"otherData\":{other},\"traceEvents\":["
    )?;
    let mut events = Events { out, first: true };
    events.names(trace)?;
    if let Some(first) = trace.records.first().filter(|_| trace.lost > 0) {
        let mut event = on(first, "i", "");
        event.name = Some(format!("{} records were lost", trace.lost).into());
        event.s = Some("g");
        events.write(&event)?;
    }
    let arrows = arrows(stories);
    let mut slices = Slices::default();
    for (at, record) in trace.records.iter().enumerate() {
        let arrows = arrows.get(&at).map_or(&[][..], Vec::as_slice);
        events.record(record, arrows, &mut slices)?;
    }
    writeln!(events.out, "\n]}}")?;
    events.out.flush()?;
    Ok(())
}

#[derive(Serialize)]
struct Other<'a> {
    clock: &'static str,
    lost: u64,
    warnings: &'a [String],
}

/// An end of an arrow: `s` or `f`, and the number of the story.
type Arrow = (&'static str, usize);

/// Which arrows begin and end at which records.
fn arrows(stories: &[Story]) -> HashMap<usize, Vec<Arrow>> {
    let mut arrows: HashMap<usize, Vec<Arrow>> = HashMap::new();
    for (number, story) in stories.iter().enumerate() {
        let place = |names: &[&str]| {
            let mut steps = story.steps.iter();
            let step: Option<&Step> = steps.find(|step| names.contains(&step.name));
            step.map(|step| step.at)
        };
        let from = place(&["callback"]).or(place(&["arrival"]));
        let to = place(&["delivery", "pass"]).or(place(&["read"]));
        if let (Some(from), Some(to)) = (from, to) {
            arrows.entry(from).or_default().push(("s", number));
            arrows.entry(to).or_default().push(("f", number));
        }
    }
    arrows
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

    /// What the tracks are called.
    fn names(&mut self, trace: &Trace) -> Result<()> {
        self.write(&name("process_name", CPUS, FIRST_CPU, "CPUs: interrupts"))?;
        self.write(&name("process_name", THREADS, FIRST_CPU, "threads"))?;
        let mut tracks = BTreeMap::new();
        for record in &trace.records {
            let (pid, tid) = track(record);
            tracks
                .entry((CPUS, FIRST_CPU + record.cpu as i32))
                .or_insert_with(|| format!("CPU {}", record.cpu));
            let text = match record.pid {
                0 => format!("idle, CPU {}", record.cpu),
                number => format!("{} ({number})", record.comm),
            };
            // The last name that a thread has.
            if pid == THREADS {
                tracks.insert((pid, tid), text);
            }
        }
        for ((pid, tid), text) in tracks {
            self.write(&name("thread_name", pid, tid, &text))?;
        }
        Ok(())
    }

    fn record(&mut self, record: &Record, arrows: &[Arrow], slices: &mut Slices) -> Result<()> {
        for (phase, kind, label) in slices.of(record, track(record)) {
            let mut event = on(record, phase.letter(), kind);
            event.args = Some(Arguments::Fields(record));
            match phase {
                Phase::Begin => {
                    event.name = Some(label);
                    self.write(&event)?;
                    self.arrows(record, arrows)?;
                }
                Phase::End => {
                    self.write(&event)?;
                }
                // Of itself it is the end of no arrow: those end at slices.
                Phase::Instant if !arrows.is_empty() => {
                    event.ph = "B";
                    event.name = Some(label);
                    self.write(&event)?;
                    self.arrows(record, arrows)?;
                    self.write(&on(record, "E", kind))?;
                }
                Phase::Instant => {
                    event.name = Some(label);
                    event.s = Some("t");
                    self.write(&event)?;
                }
            }
        }
        Ok(())
    }

    fn arrows(&mut self, record: &Record, arrows: &[Arrow]) -> Result<()> {
        for (phase, number) in arrows {
            let mut event = on(record, phase, "story");
            event.name = Some("event".into());
            event.id = Some(*number);
            event.bp = Some("e");
            self.write(&event)?;
        }
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
    /// What an instant is one of: its track, or everything.
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

/// The track of a record: that of the thread, or of the CPU that was interrupted.
fn track(record: &Record) -> (u32, i32) {
    let cpu = FIRST_CPU + record.cpu as i32;
    match (record.context, record.pid) {
        (Context::Task, 0) => (THREADS, cpu),
        (Context::Task, pid) => (THREADS, pid),
        _ => (CPUS, cpu),
    }
}

/// An event on the track of a record.
fn on<'a>(record: &Record, ph: &'static str, cat: &'static str) -> Event<'a> {
    let (pid, tid) = track(record);
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
