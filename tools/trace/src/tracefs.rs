// SPDX-License-Identifier: GPL-2.0
//! Recording, through a trace instance of our own that disturbs nobody else's.

use crate::record::{parse, Record};
use anyhow::{bail, Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Mutex;

/// Where tracefs is mounted.
const TRACEFS: &str = "/sys/kernel/tracing";
/// The names of our instances begin so; the process and a number follow.
const PREFIX: &str = "repoll-";

/// The instances of this process, for [`remove_all`].
static LIVE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A trace instance: its own buffers, events and clock. Dropping it removes it.
#[derive(Debug)]
pub struct Session {
    path: PathBuf,
}

/// What was recorded.
#[derive(Debug, Default)]
pub struct Trace {
    /// In the order of time.
    pub records: Vec<Record>,
    /// How many events did not fit into the buffers.
    pub lost: u64,
}

impl Session {
    /// Makes an instance that records nothing yet, with time stamps of `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    ///
    /// When tracefs is not mounted, and those of `mkdir(2)` on it: one must be root.
    pub fn new() -> Result<Self> {
        let instances = Path::new(TRACEFS).join("instances");
        if !instances.is_dir() {
            bail!("tracefs is not mounted at {TRACEFS} (mount -t tracefs tracefs {TRACEFS})");
        }
        remove_stale(&instances);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = instances.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        if let Ok(mut live) = LIVE.lock() {
            live.push(path.clone());
        }
        let session = Self { path };
        session.write("tracing_on", "0")?;
        session.write("trace_clock", "mono")?;
        session.write("buffer_size_kb", "4096")?;
        Ok(session)
    }

    /// Enables the event `system`/`event`; `false` when this kernel has no such event.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn enable(&self, system: &str, event: &str) -> Result<bool> {
        self.enable_path(&format!("events/{system}/{event}/enable"))
    }

    /// Enables all events of a system; `false` when this kernel has no such system.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn enable_system(&self, system: &str) -> Result<bool> {
        self.enable_path(&format!("events/{system}/enable"))
    }

    fn enable_path(&self, path: &str) -> Result<bool> {
        if !self.path.join(path).exists() {
            return Ok(false);
        }
        self.write(path, "1")?;
        Ok(true)
    }

    /// Begins to record.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn start(&self) -> Result<()> {
        self.write("tracing_on", "1")
    }

    /// Forgets what was recorded so far.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn clear(&self) -> Result<()> {
        self.write("trace", "")
    }

    /// Stops to record, and reads what was recorded.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn stop(&self) -> Result<Trace> {
        self.write("tracing_on", "0")?;
        self.read()
    }

    /// Reads what was recorded so far.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn read(&self) -> Result<Trace> {
        Ok(Trace {
            records: parse(&self.text()?),
            lost: self.lost()?,
        })
    }

    /// What was recorded so far, as the kernel writes it.
    ///
    /// # Errors
    ///
    /// When tracefs refuses.
    pub fn text(&self) -> Result<String> {
        let text = fs::read(self.path.join("trace")).context("cannot read the trace")?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// How many events were overwritten or dropped, over all CPUs.
    fn lost(&self) -> Result<u64> {
        let mut lost = 0;
        for cpu in fs::read_dir(self.path.join("per_cpu"))? {
            let stats = fs::read_to_string(cpu?.path().join("stats"))?;
            lost += lost_in(&stats);
        }
        Ok(lost)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write to {}", path.display()))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        remove(&self.path);
        if let Ok(mut live) = LIVE.lock() {
            live.retain(|path| *path != self.path);
        }
    }
}

/// Removes all instances of this process; for the way out on a signal.
pub fn remove_all() {
    if let Ok(mut live) = LIVE.lock() {
        live.drain(..).for_each(|path| remove(&path));
    }
}

/// Removes an instance. Its events must be off first, or modules stay in use.
fn remove(path: &Path) {
    let quiet = fs::write(path.join("events/enable"), "0").and_then(|()| fs::remove_dir(path));
    if let Err(error) = quiet {
        if error.kind() != ErrorKind::NotFound {
            eprintln!("cannot remove {}: {error}", path.display());
        }
    }
}

/// Removes instances that processes have left behind that were killed.
fn remove_stale(instances: &Path) {
    let Ok(entries) = fs::read_dir(instances) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(owner);
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove(&entry.path());
        }
    }
}

/// The process that made the instance of this name, if it is one of ours.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// The events that one CPU's `stats` call lost.
fn lost_in(stats: &str) -> u64 {
    stats
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| matches!(*name, "overrun" | "commit overrun" | "dropped events"))
        .filter_map(|(_, count)| count.trim().parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_instances_have_an_owner() {
        assert_eq!(owner("repoll-123-0"), Some(123));
        assert_eq!(owner("repoll-lab"), None);
        assert_eq!(owner("perf-123-0"), None);
    }

    #[test]
    fn lost_events_are_summed() {
        let stats = "entries: 3\noverrun: 7\ncommit overrun: 1\nbytes: 9\ndropped events: 2\n";
        assert_eq!(lost_in(stats), 10);
    }
}
