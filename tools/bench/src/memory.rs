// SPDX-License-Identifier: GPL-2.0
//! The memory that the kernel has allocated.

use anyhow::{Context, Result};
use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// The bytes of the kernel's slabs and `vmalloc` areas, after pending frees.
pub fn allocated() -> Result<u64> {
    // RCU frees late, and counts stay per CPU until the refresh.
    sleep(Duration::from_secs(2));
    fs::write("/proc/sys/vm/stat_refresh", "1").context("cannot refresh the statistics")?;
    let text = fs::read_to_string("/proc/meminfo")?;
    let field = |name| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"))
            .and_then(|kilobytes| kilobytes.trim().parse::<u64>().ok())
            .with_context(|| format!("no {name} in /proc/meminfo"))
    };
    Ok((field("Slab:")? + field("VmallocUsed:")?) * 1024)
}
