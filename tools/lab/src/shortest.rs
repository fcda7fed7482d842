// SPDX-License-Identifier: GPL-2.0
//! The time of the shortest run.

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
