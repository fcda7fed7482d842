// SPDX-License-Identifier: GPL-2.0
//! Checks of the clock and the figures that counting tests rely on.

use crate::cost::{instructions, killed_within, time_to_die, worst_gap, worst_lateness};
use crate::prelude::*;
use std::hint::black_box;

pub fn tests() -> Vec<Test> {
    let tests = repoll_only!("cost":
        the_clock_counts_instructions,
        a_time_slice_is_a_gap_and_no_lateness,
        a_kill_ends_a_wait_at_once,
        a_call_that_is_over_was_not_killed,
    );
    tests.into_iter().map(Test::counted).collect()
}

fn spin(rounds: u64) {
    for round in 0..rounds {
        black_box(round);
    }
}

/// Twice the work is twice the count, and the same work the same count, to the instruction.
fn the_clock_counts_instructions() -> Result<()> {
    let count = |rounds| {
        instructions(|| {
            spin(rounds);
            Ok(())
        })
    };
    let (once, again, twice) = (count(10_000)?, count(10_000)?, count(20_000)?);
    ensure!(
        once.abs_diff(again) <= 20,
        "{once} and {again} instructions of the same work"
    );
    ensure!(
        twice.abs_diff(2 * once) < 200,
        "{once} instructions, {twice} of twice the work"
    );
    Ok(())
}

fn a_time_slice_is_a_gap_and_no_lateness() -> Result<()> {
    // Shorter than the scheduler's shortest slice, and longer than any other gap.
    const PART: u64 = 300_000;
    let busy = || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(50) {
            spin(100);
        }
        Ok(())
    };
    let idle = || {
        sleep(Duration::from_millis(50));
        Ok(())
    };
    let gap = worst_gap(busy, 0)?;
    ensure!(gap > PART, "the slices of another thread: {gap}");
    let gap = worst_gap(idle, 0)?;
    ensure!(gap < PART, "a gap of {gap} while nothing runs");
    let late = worst_lateness(busy, 0)?;
    ensure!(late < PART, "a real-time thread is {late} late");
    Ok(())
}

fn a_kill_ends_a_wait_at_once() -> Result<()> {
    let m = Repoll::new()?;
    let wait = || drop(m.wait(1, None));
    killed_within(Duration::from_millis(2), Duration::from_millis(10), wait)
}

fn a_call_that_is_over_was_not_killed() -> Result<()> {
    let over = time_to_die(Duration::from_secs(1), || ());
    ensure!(over.is_err(), "killed: {over:?}");
    Ok(())
}
