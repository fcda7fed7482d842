// SPDX-License-Identifier: GPL-2.0
//! The records of a page, in rows without field names: five thousand of them stay small.

use crate::ftrace::record::Record;
use crate::story::event_names;
use serde::Serialize;
use serde_json::{json, Value};
use std::collections::HashMap;

/// The fields of the kernel's events that the picture uses.
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

/// The largest number up to which JavaScript represents each integer.
const EXACT: i64 = 1 << 53;

/// The steps of a recording.
#[derive(Default, Serialize)]
pub(super) struct Steps {
    kinds: Vec<Kind>,
    /// Name and number of each thread.
    threads: Vec<(String, i32)>,
    /// Of each record: kind, nanoseconds since the first record, CPU, context, thread, the first
    /// story that it is a step of, and the values of the kind's fields.
    rows: Vec<Vec<Value>>,
    #[serde(skip)]
    known_kinds: HashMap<String, usize>,
    #[serde(skip)]
    known_threads: HashMap<(String, i32), usize>,
}

/// A kind of record: an event and its fields.
#[derive(Serialize)]
struct Kind {
    /// The event's name; without the prefix `repoll_` if it is one of repoll's (`own`).
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
            Some(_) => true,
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

    /// The number of steps.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

/// The value of a field. Event bits become names; addresses, and numbers too large for JavaScript,
/// become hexadecimal.
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
