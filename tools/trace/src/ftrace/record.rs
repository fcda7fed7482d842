// SPDX-License-Identifier: GPL-2.0
//! Recorded events, in order of time.

use crate::ftrace::format::Format;
use crate::ftrace::pages;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The execution context that recorded an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// A task, mostly in a system call.
    Task,
    /// A softirq.
    Softirq,
    /// A hardware interrupt.
    Hardirq,
    /// A non-maskable interrupt.
    Nmi,
}

impl Context {
    /// From a record's flags.
    fn of(flags: u8) -> Self {
        const HARDIRQ: u8 = 0x08;
        const SOFTIRQ: u8 = 0x10;
        const NMI: u8 = 0x40;
        match flags {
            flags if flags & NMI != 0 => Self::Nmi,
            flags if flags & HARDIRQ != 0 => Self::Hardirq,
            flags if flags & SOFTIRQ != 0 => Self::Softirq,
            _ => Self::Task,
        }
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Task => "task",
            Self::Softirq => "softirq",
            Self::Hardirq => "hard irq",
            Self::Nmi => "nmi",
        })
    }
}

/// One recorded event.
#[derive(Clone)]
pub struct Record {
    /// Nanoseconds of the trace clock.
    pub time: u64,
    /// The CPU's current thread, which may be interrupted; 0 when the CPU is idle.
    pub pid: i32,
    /// The CPU.
    pub cpu: u32,
    /// The context.
    pub context: Context,
    /// The thread's name.
    pub comm: Arc<str>,
    format: Arc<Format>,
    data: Box<[u8]>,
}

impl Record {
    /// The event's name.
    pub fn event(&self) -> &str {
        &self.format.name
    }

    /// Whether the event has this name.
    pub fn is(&self, event: &str) -> bool {
        self.format.name == event
    }

    /// The text in a field, or the name of its value.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.format.text(&self.data, name)
    }

    /// The value of a numeric field. A `u64` keeps its bits.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.format.number(&self.data, name)
    }

    /// A field as text; `?` if the event has no such field.
    pub fn show(&self, name: &str) -> String {
        match (self.field(name), self.number(name)) {
            (Some(text), _) => text.to_owned(),
            (None, Some(number)) => number.to_string(),
            (None, None) => "?".to_owned(),
        }
    }

    /// The names of the event's own fields, without those that all events have.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.format.names()
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.event())?;
        self.names()
            .try_for_each(|name| write!(f, " {name}={}", self.show(name)))
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "[{} {}/{} cpu {} {} {self}]",
            self.time, self.comm, self.pid, self.cpu, self.context
        )
    }
}

/// A recording.
#[derive(Debug, Default)]
pub struct Trace {
    /// The recorded events, in order of time.
    pub records: Vec<Record>,
    /// The number of events that did not fit into the buffers.
    pub lost: u64,
    /// Problems, one line each, such as a truncated file.
    pub warnings: Vec<String>,
}

/// Builds a [`Trace`] from formats and pages.
pub struct Builder {
    formats: HashMap<u16, Arc<Format>>,
    names: HashMap<i32, Arc<str>>,
    unknown: Arc<str>,
    trace: Trace,
}

impl Builder {
    /// Begins a trace of events of the given formats.
    pub fn new(formats: impl IntoIterator<Item = Format>) -> Self {
        let idle = (0, Arc::from("idle"));
        Self {
            formats: formats
                .into_iter()
                .map(|format| (format.id, Arc::new(format)))
                .collect(),
            names: HashMap::from([idle]),
            unknown: Arc::from("?"),
            trace: Trace::default(),
        }
    }

    /// Adds names of threads from `saved_cmdlines`: a number and a name on each line.
    pub fn names(&mut self, text: &str) {
        for line in text.lines() {
            if let Some((pid, name)) = line.split_once(' ') {
                if let Ok(pid) = pid.parse() {
                    self.names.insert(pid, Arc::from(name));
                }
            }
        }
    }

    /// Counts lost events.
    pub fn lost(&mut self, count: u64) {
        self.trace.lost += count;
    }

    /// Adds a warning.
    pub fn warn(&mut self, warning: String) {
        self.trace.warnings.push(warning);
    }

    /// Adds the pages of one CPU.
    pub fn pages(&mut self, cpu: u32, bytes: &[u8], page_size: usize) {
        let mut damaged = 0;
        for page in bytes.chunks(page_size) {
            let result = pages::events(page, |time, data| self.event(cpu, time, data));
            damaged += usize::from(result.is_err());
        }
        if damaged > 0 {
            self.warn(format!(
                "{damaged} pages of CPU {cpu} are damaged: their events are missing"
            ));
        }
    }

    /// Adds one event. `data` is the record as it is in memory, common fields included.
    pub(crate) fn event(&mut self, cpu: u32, time: u64, data: &[u8]) {
        // The common fields: the event's number (16 bits), flags, the preemption count, the thread.
        let &[id0, id1, flags, _, pid0, pid1, pid2, pid3, ..] = data else {
            return;
        };
        let Some(format) = self.formats.get(&u16::from_le_bytes([id0, id1])) else {
            return;
        };
        let pid = i32::from_le_bytes([pid0, pid1, pid2, pid3]);
        self.trace.records.push(Record {
            time,
            pid,
            cpu,
            context: Context::of(flags),
            comm: self.unknown.clone(),
            format: format.clone(),
            data: data.into(),
        });
    }

    /// Completes the trace: sorts its records, and gives each the name of its thread if it is
    /// known.
    pub fn finish(mut self) -> Trace {
        self.trace.records.sort_by_key(|record| record.time);
        // A thread's name may change: the records' names are of the time, `saved_cmdlines` is
        // later.
        self.learn_names();
        for record in &mut self.trace.records {
            let renamed = match record.format.name.as_str() {
                "sched_switch" => Some(("next_pid", "next_comm")),
                "sched_process_exec" => Some(("pid", "filename")),
                _ => None,
            };
            if let Some((pid, name)) = renamed {
                let pid = record.number(pid).unwrap_or(0) as i32;
                if let Some(name) = record.field(name).filter(|_| pid != 0) {
                    let name: String = name
                        .rsplit('/')
                        .next()
                        .unwrap_or(name)
                        .chars()
                        .take(15)
                        .collect();
                    if self.names.get(&pid).is_none_or(|known| **known != *name) {
                        self.names.insert(pid, Arc::from(name));
                    }
                }
            }
            if let Some(name) = self.names.get(&record.pid) {
                record.comm = name.clone();
            }
        }
        self.trace
    }

    /// Takes the first name of each thread in the records, unless it is known already.
    fn learn_names(&mut self) {
        for record in &self.trace.records {
            let (pid, name) = match record.format.name.as_str() {
                "sched_switch" => ("prev_pid", "prev_comm"),
                "sched_waking" => ("pid", "comm"),
                _ => continue,
            };
            if let (Some(pid), Some(name)) = (record.number(pid), record.field(name)) {
                self.names
                    .entry(pid as i32)
                    .or_insert_with(|| Arc::from(name));
            }
        }
    }
}
