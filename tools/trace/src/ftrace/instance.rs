// SPDX-License-Identifier: GPL-2.0
//! Trace instances of tracefs: made, removed, and their files read and written.

use anyhow::{bail, Context, Result};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Mutex;

/// Where tracefs is mounted.
pub(super) const TRACEFS: &str = "/sys/kernel/tracing";
/// The prefix of our instances' names; the process ID and a number follow.
const PREFIX: &str = "repoll-";

/// The instances of this process, which [`remove_all`] removes.
static LIVE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A trace instance, with its own buffers, events and clock. Removed when dropped.
#[derive(Debug)]
pub(super) struct Instance(PathBuf);

impl Instance {
    /// Makes an instance, after removing those that killed processes have left behind.
    pub(super) fn new() -> Result<Self> {
        let instances = Path::new(TRACEFS).join("instances");
        if !instances.is_dir() {
            bail!("tracefs is not mounted at {TRACEFS} (mount -t tracefs tracefs {TRACEFS})");
        }
        remove_stale(&instances);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = instances.join(format!("{PREFIX}{}-{number}", std::process::id()));
        // The lock is held while the instance is made, so that remove_all() misses none.
        let mut live = LIVE
            .lock()
            .map_err(|_| anyhow::anyhow!("a thread has panicked"))?;
        fs::create_dir(&path)
            .with_context(|| format!("cannot make {} (are you root?)", path.display()))?;
        live.push(path.clone());
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn bytes(&self, file: &str) -> Result<Vec<u8>> {
        let path = self.0.join(file);
        read_large(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    pub(super) fn text(&self, file: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(file)?).into_owned())
    }

    pub(super) fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.0.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write to {}", path.display()))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        remove(&self.0);
        if let Ok(mut live) = LIVE.lock() {
            live.retain(|path| *path != self.0);
        }
    }
}

/// Removes all instances of this process, before it exits on a signal.
pub fn remove_all() {
    if let Ok(mut live) = LIVE.lock() {
        live.drain(..).for_each(|path| remove(&path));
    }
}

/// Removes an instance. Its events are disabled first: enabled ones keep modules in use.
fn remove(path: &Path) {
    let quiet = fs::write(path.join("events/enable"), "0").and_then(|()| fs::remove_dir(path));
    if let Err(error) = quiet {
        if error.kind() != ErrorKind::NotFound {
            eprintln!("cannot remove {}: {error}", path.display());
        }
    }
}

/// Removes the instances that killed processes of ours have left behind.
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

/// The process that made an instance, by the instance's name; `None` if it is not ours.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

/// Reads a whole file in large pieces: some files of tracefs return all in one read, or only their
/// beginning.
fn read_large(path: &Path) -> io::Result<Vec<u8>> {
    const PIECE: usize = 1 << 16;
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    loop {
        let length = bytes.len();
        bytes.resize(length + PIECE, 0);
        let count = file.read(&mut bytes[length..])?;
        bytes.truncate(length + count);
        if count == 0 {
            return Ok(bytes);
        }
    }
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
}
