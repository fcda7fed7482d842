// SPDX-License-Identifier: GPL-2.0
//! Traces for tests, written as text.
//!
//! Each line is a record: CPU, context (`task`, `soft`, `hard`), thread, event, fields. Records are
//! one microsecond apart.

use crate::ftrace::format::Format;
use crate::ftrace::record::{Builder, Record};
use std::collections::HashMap;
use std::fmt::Write;

/// The records of a text.
pub(crate) fn records(text: &str) -> Vec<Record> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
    let mut formats = HashMap::new();
    let mut all = Vec::new();
    for (number, line) in (1..).zip(lines) {
        let mut words = line.split_ascii_whitespace();
        let mut word = || words.next().expect("a word");
        let (cpu, context, pid, name) = (word(), word(), word(), word());
        let fields: Vec<(&str, &str)> = words
            .map(|field| field.split_once('=').expect("a field"))
            .collect();
        // Lines of the same event may have different fields, so each line has its own format.
        let mut format = format!("name: {name}\nID: {number}\nformat:\n");
        let mut data = Vec::new();
        data.extend(u16::to_le_bytes(number));
        data.push(match context {
            "task" => 0,
            "soft" => 0x10,
            "hard" => 0x08,
            _ => panic!("no context: {line}"),
        });
        data.push(0);
        data.extend(pid.parse::<i32>().expect("a thread").to_le_bytes());
        for (key, value) in fields {
            let offset = data.len();
            let declared = match value.parse::<i64>() {
                Ok(value) => {
                    data.extend(value.to_le_bytes());
                    format!("s64 {key};\toffset:{offset};\tsize:8;\tsigned:1;")
                }
                Err(_) => {
                    let mut bytes = value.as_bytes().to_vec();
                    bytes.resize(16, 0);
                    data.extend(bytes);
                    format!("char {key}[16];\toffset:{offset};\tsize:16;\tsigned:0;")
                }
            };
            writeln!(format, "\tfield:{declared}").expect("a string takes it");
        }
        formats.insert(number, format);
        all.push((u64::from(number) * 1000, cpu.parse().expect("a CPU"), data));
    }
    let formats = formats
        .values()
        .map(|text| Format::parse(text).expect("a format"));
    let mut builder = Builder::new(formats);
    for (time, cpu, data) in all {
        builder.event(cpu, time, &data);
    }
    builder.finish().records
}

#[test]
fn a_line_is_a_record() {
    let records = records("1 soft 7 repoll_wake ep=3 reason=event\n0 task 8 other");
    assert_eq!(records.len(), 2);
    let first = &records[0];
    assert_eq!((first.cpu, first.pid, first.time), (1, 7, 1000));
    assert_eq!(
        (first.number("ep"), first.field("reason")),
        (Some(3), Some("event"))
    );
    assert_eq!(first.context, crate::ftrace::record::Context::Softirq);
    assert!(records[1].is("other"));
}
