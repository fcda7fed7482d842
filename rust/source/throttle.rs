// SPDX-License-Identifier: GPL-2.0

//! Limits the work that is done in interrupts, or on PREEMPT_RT in softirqs, to a third of one CPU.

use crate::kernel_ext::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    hrtimeout, //
};

/// Paces pieces of work of several interrupts, on any CPUs.
///
/// A token bucket: a piece of work that took *t* costs three times *t*, and passing time pays. So
/// *t* is paid when the work ends. The unpaid part is the *debt*. While the debt is at most
/// [`BURST`], work may begin at once. A piece of work that makes the debt larger begins a *rest*,
/// in which no work may begin. The rest lasts until all is paid.
///
/// So a piece of work that takes longer than half of [`BURST`] is followed by a rest at least twice
/// as long. Pieces of work that follow each other without a rest take half of [`BURST`] together,
/// not counting the last one.
///
/// # Races
///
/// All state is one word, and each change of it is one `cmpxchg`, so no payment is lost, whatever
/// the order. Work on one CPU does not exclude work on another: when a rest begins, at most one
/// piece of work continues on each other CPU. Each adds three times its own *t* to the debt when it
/// ends, and makes the rest longer. So over a longer time all CPUs together still spend a third of
/// one CPU. On the same CPU an interrupt comes after the previous one's [`Work::end`], in program
/// order. So it sees the debt of that work, or a later one, since the debt is one word: no order
/// between two words is needed, so all accesses are relaxed.
///
/// The model checker compiles this file over loom's atomics (`tools/model/src/numbers.rs`).
pub(crate) struct Throttle {
    /// The time at which all work is paid for, on the monotonic clock in nanoseconds. The lowest
    /// bit is set if no work may begin before that time.
    paid: Atomic<i64>,
}

/// The largest debt, in nanoseconds, that needs no rest. Short work does not reach it. The work
/// that makes this debt takes half as long, which is short enough for other work on the CPU.
const BURST: i64 = 100_000;
/// The longest time that one piece of work is charged. Work that took longer was interrupted
/// itself, by a hypervisor, say, or preempted in a softirq of PREEMPT_RT.
const LONGEST: i64 = 1_000_000_000;
/// The lowest bit of [`Throttle::paid`].
const RESTS: i64 = 1;

/// The result of [`Throttle::begin`].
pub(crate) enum Turn<'a> {
    /// The work may begin.
    Work(Work<'a>),
    /// No work may begin for this number of nanoseconds.
    Rest(i64),
}

impl Throttle {
    /// Makes a throttle without debt.
    pub(crate) fn new() -> Self {
        Self {
            paid: Atomic::new(0),
        }
    }

    /// Begins a piece of work, unless there is a rest. Any context.
    pub(crate) fn begin(&self) -> Turn<'_> {
        let began = hrtimeout::now();
        let paid = self.paid.load(Relaxed);
        if paid & RESTS != 0 && began < paid {
            return Turn::Rest(paid - began);
        }
        Turn::Work(Work {
            throttle: self,
            began,
        })
    }
}

/// A piece of work that has begun.
#[must_use = "the work has to be paid for"]
pub(crate) struct Work<'a> {
    throttle: &'a Throttle,
    began: i64,
}

impl Work<'_> {
    /// Ends the work. Returns the number of nanoseconds for which no work may begin. Any context.
    pub(crate) fn end(self) -> i64 {
        let now = hrtimeout::now();
        let took = now.saturating_sub(self.began).clamp(0, LONGEST);
        let word = &self.throttle.paid;
        let mut old = word.load(Relaxed);
        loop {
            // On top of the present debt: time pays for one piece of work after the other.
            let paid = old.max(self.began).saturating_add(3 * took);
            let rests = paid.saturating_sub(now) > BURST || (old & RESTS != 0 && old > now);
            let new = if rests { paid | RESTS } else { paid & !RESTS };
            match word.cmpxchg(old, new, Relaxed) {
                Ok(_) => return if rests { (new - now).max(0) } else { 0 },
                Err(found) => old = found,
            }
        }
    }
}
