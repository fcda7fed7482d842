// SPDX-License-Identifier: GPL-2.0
//! Records, as the script reads them: in columns, so that five thousand make no large page.

use crate::ftrace::record::Record;
use crate::story::event_names;
use serde::Serialize;
use serde_json::{json, Value};
use std::collections::HashMap;

/// What the picture needs of the kernel's own events.
const OF_THE_KERNEL: [&str; 20] = [
    "comm",
    "dev_name",
    "fd",
    "hrtimer",
    "irq",
    "len",
    "name",
    "next_comm",
    "next_pid",
    "pid",
    "prev_comm",
    "prev_pid",
    "prev_state",
    "protocol",
    "ret",
    "sk",
    "skaddr",
    "target_cpu",
    "ufd",
    "vec",
];

/// The largest number that JavaScript has no neighbours too few for.
const EXACT: i64 = 1 << 53;

/// The steps of a picture.
#[derive(Default, Serialize)]
pub(super) struct Steps {
    kinds: Vec<Kind>,
    /// A name and a number each.
    threads: Vec<(String, i32)>,
    /// Kind, nanoseconds since the first one, CPU, context, thread, the first story that it is a step of,
    /// and the kind's fields.
    rows: Vec<Vec<Value>>,
    #[serde(skip)]
    known_kinds: HashMap<String, usize>,
    #[serde(skip)]
    known_threads: HashMap<(String, i32), usize>,
}

/// An event.
#[derive(Serialize)]
struct Kind {
    /// Without the prefix, if it is one of repoll's.
    event: String,
    own: bool,
    fields: Vec<String>,
}

impl Steps {
    /// Appends a record.
    pub(super) fn push(&mut self, record: &Record, start: u64, story: Option<usize>) {
        let kind = self.kind(record);
        let thread = self.thread(record);
        let mut row = vec![
            json!(kind),
            json!(record.time.saturating_sub(start)),
            json!(record.cpu),
            json!(record.context.to_string()),
            json!(thread),
            json!(story),
        ];
        let Kind { own, fields, .. } = &self.kinds[kind];
        row.extend(fields.iter().map(|field| value(record, *own, field)));
        self.rows.push(row);
    }

    fn kind(&mut self, record: &Record) -> usize {
        if let Some(known) = self.known_kinds.get(record.event()) {
            return *known;
        }
        let own = record.event().strip_prefix("repoll_");
        let wanted = |name: &&str| match own {
            Some(_) => !matches!(*name, "track_event_type" | "slice_name"),
            None => OF_THE_KERNEL.contains(name),
        };
        self.kinds.push(Kind {
            event: own.unwrap_or(record.event()).to_owned(),
            own: own.is_some(),
            fields: record.names().filter(wanted).map(str::to_owned).collect(),
        });
        let number = self.kinds.len() - 1;
        self.known_kinds.insert(record.event().to_owned(), number);
        number
    }

    fn thread(&mut self, record: &Record) -> usize {
        let thread = (record.comm.to_string(), record.pid);
        *self
            .known_threads
            .entry(thread)
            .or_insert_with_key(|thread| {
                self.threads.push(thread.clone());
                self.threads.len() - 1
            })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

/// A field: event bits by their names, addresses and what is too large for JavaScript in hexadecimal.
fn value(record: &Record, own: bool, field: &str) -> Value {
    let number = record.number(field);
    let are_bits = own
        && matches!(field, "events" | "ready" | "key")
        && !matches!(record.event(), "repoll_scan_end" | "repoll_select_pass");
    match (record.field(field), number) {
        (_, Some(0)) if are_bits => json!(""),
        (_, Some(bits)) if are_bits => json!(event_names(bits as u32)),
        (Some(text), _) => json!(text),
        (None, Some(number)) if matches!(field, "file" | "sk" | "skaddr" | "hrtimer" | "data") => {
            json!(format!("{number:x}"))
        }
        (None, Some(number)) if !(-EXACT..=EXACT).contains(&number) => {
            json!(format!("{number:x}"))
        }
        (None, Some(number)) => json!(number),
        (None, None) => Value::Null,
    }
}
