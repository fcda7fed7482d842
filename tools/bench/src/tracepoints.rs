// SPDX-License-Identifier: GPL-2.0
//! The cost of the tracepoints, off and on.

use crate::clock::Clock;
use crate::multiplexer::Maker;
use crate::paths::{self, Watching};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// A trace instance with all tracepoints of repoll.
struct Tracing(&'static Path);

impl Tracing {
    fn new() -> Result<Self> {
        let path = Path::new("/sys/kernel/tracing/instances/repoll-bench");
        fs::create_dir(path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.0.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write to {}", path.display()))
    }

    fn set(&self, on: bool) -> Result<()> {
        self.write("events/repoll/enable", if on { "1" } else { "0" })
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        let off = self.set(false);
        if let Err(error) = off.and_then(|()| Ok(fs::remove_dir(self.0)?)) {
            eprintln!("cannot remove {}: {error:#}", self.0.display());
        }
    }
}

/// A path, and the number of tracepoints on it.
struct Case {
    name: &'static str,
    measure: fn(&Clock, &Maker) -> Result<f64>,
    passes: u32,
}

const CASES: [Case; 4] = [
    Case {
        name: "WAIT: 0 ready",
        measure: |clock, maker| paths::wait_ready(clock, maker, 1, 0),
        // wait_enter, wait_exit
        passes: 2,
    },
    Case {
        name: "WAIT: 1 ready",
        measure: |clock, maker| paths::wait_ready(clock, maker, 1, 1),
        // wait_enter, scan_begin, poll, deliver, queue, scan_end, wait_exit
        passes: 7,
    },
    Case {
        name: "write, callback: queued already",
        measure: |clock, maker| paths::write(clock, maker, Watching::Queued),
        // callback, callback_exit
        passes: 2,
    },
    Case {
        name: "write, callback: queues",
        measure: |clock, maker| paths::write(clock, maker, Watching::Idle),
        // callback, queue, callback_exit
        passes: 3,
    },
];

/// The table.
pub fn table(clock: &Clock) -> Result<String> {
    let maker = Maker::repoll()?;
    let tracing = Tracing::new()?;
    let mut text = format!(
        "{:<32} {:>6} {:>6} {:>9} {:>9}\n",
        "path", "passes", "off", "on", "a record"
    );
    for case in CASES {
        let off = (case.measure)(clock, &maker)?;
        tracing.set(true)?;
        let on = (case.measure)(clock, &maker)?;
        tracing.set(false)?;
        let each = (on - off) / f64::from(case.passes);
        writeln!(
            text,
            "{:<32} {:>6} {:>6.0} {:>9.0} {:>9.0}",
            case.name, case.passes, off, on, each
        )?;
    }
    Ok(text)
}
