// SPDX-License-Identifier: GPL-2.0
//! Measurements of the calling thread.

use anyhow::{Context, Result};
use std::fs;
use std::io;
use std::time::{Duration, Instant};

/// The time of the shortest of many runs.
pub fn shortest(mut run: impl FnMut() -> io::Result<()>) -> io::Result<Duration> {
    let mut least = Duration::MAX;
    for _ in 0..200 {
        let start = Instant::now();
        run()?;
        least = least.min(start.elapsed());
    }
    Ok(least)
}

/// The number of sleeps of the calling thread: its voluntary context switches.
pub fn sleeps() -> Result<i64> {
    let status = fs::read_to_string("/proc/thread-self/status")?;
    let mut lines = status.lines();
    let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    let count = count.context("no voluntary_ctxt_switches in /proc/thread-self/status")?;
    Ok(count.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_counted() -> Result<()> {
        let before = sleeps()?;
        std::thread::sleep(Duration::from_millis(1));
        assert!(sleeps()? > before);
        Ok(())
    }
}
