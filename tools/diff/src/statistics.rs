// SPDX-License-Identifier: GPL-2.0
//! Counts operations and their results, to show that a run tests something.

use crate::answer::{Answer, Outcome};
use crate::operation::Step;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[derive(Default)]
struct Line {
    count: u64,
    events: u64,
    time: Duration,
}

/// Counts outcomes by the first word of their operation, and the error.
pub struct Statistics {
    lines: BTreeMap<String, Line>,
    last: Instant,
}

impl Statistics {
    /// Counts of zero.
    pub fn new() -> Self {
        Self {
            lines: BTreeMap::new(),
            last: Instant::now(),
        }
    }

    /// Charges the time until now to no operation.
    pub fn skip_time(&mut self) {
        self.last = Instant::now();
    }

    /// Counts one outcome.
    pub fn add(&mut self, step: &Step, outcome: &Outcome) {
        let text = step.operation.to_string();
        let mut name = text.split(' ').next().unwrap_or_default().to_owned();
        if let Outcome::Same(error @ Answer::Error(_)) = outcome {
            name = format!("{name} {error}");
        }
        let line = self.lines.entry(name).or_default();
        line.count += 1;
        line.time += self.last.elapsed();
        if let Outcome::Same(Answer::Events(events)) = outcome {
            line.events += events.len() as u64;
        }
        self.last = Instant::now();
    }

    /// Prints a table, as comments.
    pub fn print(&self) {
        println!("# {:30}   count   events  µs each", "operation, error");
        for (name, line) in &self.lines {
            let each = line.time.as_micros() as u64 / line.count.max(1);
            println!("# {name:30} {:7} {:8} {each:8}", line.count, line.events);
        }
    }
}
