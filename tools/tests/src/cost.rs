// SPDX-License-Identifier: GPL-2.0
//! Costs, for tests that are `counted()`: instructions, gaps, and the time until a kill is obeyed.
//!
//! In a guest of `tools/harness/cmd/guest-initramfs --icount` the clock counts instructions, a
//! nanosecond each, on its one CPU: a figure is the same on every machine and under every load. It
//! says nothing about time (cache misses, locks, other CPUs).

use crate::support::join;
use anyhow::{bail, ensure, Context, Result};
use repoll_testkit::files;
use repoll_testkit::processes;
use repoll_testkit::skip::skip;
use repoll_testkit::threads::{run_first, run_on};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// Whether this guest's clock counts instructions: the harness says so on the kernel's command
/// line.
pub fn clock_counts_instructions() -> bool {
    fs::read_to_string("/proc/cmdline").is_ok_and(|line| says_so(&line))
}

fn says_so(line: &str) -> bool {
    line.split_ascii_whitespace()
        .any(|word| word == "repoll.icount")
}

/// From then on nothing of the boot falls into the figures. To sleep costs nothing in such a guest.
const SETTLED: Duration = Duration::from_secs(25);

/// Skips a test where the clock does not count instructions; waits until the boot's work is done.
pub fn needs_the_instruction_clock() -> Result<()> {
    if !clock_counts_instructions() {
        return skip("needs a guest of tools/harness/cmd/guest-initramfs --icount");
    }
    let uptime = fs::read_to_string("/proc/uptime")?;
    let seconds: f64 = uptime
        .split(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .context("/proc/uptime")?;
    sleep(SETTLED.saturating_sub(Duration::from_secs_f64(seconds)));
    Ok(())
}

/// Nanoseconds since `start`; instructions, if the clock counts them.
fn since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The most runs, and the total cost after which no further run begins.
const RUNS: usize = 100;
const ENOUGH: u64 = 300_000_000;

/// The least number of instructions that `work` takes of many runs; of few if it takes very many.
///
/// An interrupt makes a run dearer, never cheaper. Work that is to be counted in one run, since it
/// can't be done again, is `instructions_once`.
pub fn instructions(mut work: impl FnMut() -> Result<()>) -> Result<u64> {
    let begin = Instant::now();
    let mut least = u64::MAX;
    for run in 0..RUNS {
        if run >= 3 && since(begin) > ENOUGH {
            break;
        }
        least = least.min(instructions_once(&mut work)?);
    }
    Ok(least)
}

/// The number of instructions that `work` takes, with the interrupts that fall into it.
pub fn instructions_once(work: impl FnOnce() -> Result<()>) -> Result<u64> {
    let start = Instant::now();
    let result = work();
    let taken = since(start);
    result?;
    Ok(taken.saturating_sub(clock_itself()))
}

/// The cost of reading the clock twice.
fn clock_itself() -> u64 {
    static COST: AtomicU64 = AtomicU64::new(0);
    if COST.load(SeqCst) == 0 {
        let least = (0..1000).map(|_| since(Instant::now())).min();
        COST.store(least.unwrap_or(0).max(1), SeqCst);
    }
    COST.load(SeqCst)
}

/// Does `body` while `watcher` runs in another thread; the watcher begins first, and its result is
/// what counts. It is to return soon after the flag is set.
fn beside<T>(
    body: impl FnOnce() -> Result<()>,
    watcher: impl FnOnce(&AtomicBool, &AtomicBool) -> Result<T> + Send,
) -> Result<T>
where
    T: Send,
{
    let (ready, over) = (AtomicBool::new(false), AtomicBool::new(false));
    scope(|threads| {
        let watching = threads.spawn(|| {
            let result = watcher(&ready, &over);
            ready.store(true, SeqCst);
            result
        });
        while !ready.load(SeqCst) {
            sleep(Duration::from_millis(1));
        }
        let done = body();
        over.store(true, SeqCst);
        let seen = join(watching)?;
        done?;
        seen
    })
}

/// The longest gap that a thread sees which spins on this CPU while `during` runs: interrupts, what
/// runs with interrupts off, and the time slices of others (of `during` too, if it runs there).
pub fn worst_gap(during: impl FnOnce() -> Result<()>, cpu: usize) -> Result<u64> {
    beside(during, |ready, over| {
        run_on(cpu)?;
        let mut worst = Duration::ZERO;
        let mut last = Instant::now();
        ready.store(true, SeqCst);
        while !over.load(SeqCst) {
            let now = Instant::now();
            worst = worst.max(now - last);
            last = now;
        }
        Ok(u64::try_from(worst.as_nanos())?)
    })
}

/// The worst delay of the wake-up of a real-time thread, on this CPU, while `during` runs: as long
/// as that can't be preempted there. No time slices are in it.
pub fn worst_lateness(during: impl FnOnce() -> Result<()>, cpu: usize) -> Result<u64> {
    const NAP: Duration = Duration::from_micros(200);
    beside(during, |ready, over| {
        run_on(cpu)?;
        run_first()?;
        // The first wake-ups are not what is asked for.
        sleep(NAP);
        let mut worst = Duration::ZERO;
        ready.store(true, SeqCst);
        while !over.load(SeqCst) {
            let start = Instant::now();
            sleep(NAP);
            worst = worst.max(start.elapsed().saturating_sub(NAP));
        }
        Ok(u64::try_from(worst.as_nanos())?)
    })
}

/// A child does `call`, which must take longer than `head_start`, and is then killed: how long it
/// takes until it is gone. Only to be called while the process has one thread.
pub fn time_to_die(head_start: Duration, call: impl FnOnce()) -> Result<u64> {
    let child = processes::fork(|| {
        call();
        0
    })?;
    let pidfd = processes::pidfd(child.0)?;
    if files::poll_in(&pidfd, head_start)? {
        let status = child.wait()?;
        bail!("the call is over before the kill: {status} after less than {head_start:?}");
    }
    let start = Instant::now();
    child.kill(libc::SIGKILL)?;
    let status = child.wait()?;
    let taken = since(start);
    ensure!(
        status == -libc::SIGKILL,
        "the call is over, and nobody was killed: {status}"
    );
    Ok(taken)
}

/// A call that takes longer than `head_start` ends at most so long after it is killed.
pub fn killed_within(limit: Duration, head_start: Duration, call: impl FnOnce()) -> Result<()> {
    let taken = Duration::from_nanos(time_to_die(head_start, call)?);
    ensure!(
        taken <= limit,
        "it is gone {taken:?} after it was killed; allowed: {limit:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_is_a_word_of_the_command_line() {
        assert!(says_so("console=ttyS0 repoll.icount panic=-1\n"));
        assert!(!says_so("console=ttyS0 repoll.icounts=1\n"));
    }
}
