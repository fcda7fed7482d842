// SPDX-License-Identifier: GPL-2.0

//! Paces work that is done in interrupts: at most a third of one CPU.

use super::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    time, //
};

/// A pace for pieces of work that several interrupts do, on any CPUs.
///
/// A piece of work that took *t* is paid for by time that passes: three times *t*, its own included. What
/// is not yet paid for is the *debt*. While it is at most [`BURST`], work may begin at once. A piece of
/// work that makes it more begins a *rest*, which lasts until all is paid: no work may begin.
///
/// While a piece of work is done, a third of it is paid. So one that takes longer than half of [`BURST`]
/// is followed by a rest of at least twice that long; and those that follow each other without a rest
/// take half of [`BURST`] together, besides the last one.
///
/// # Races
///
/// All state is one word, and each change of it is one `cmpxchg`, so no payment is lost, whatever the
/// order. Work does not exclude work on other CPUs: what has begun when a rest begins goes on, one
/// piece on each other CPU at most. Each adds its own three times *t* to the debt when it ends, and
/// makes the rest longer. So over a longer time all CPUs together still spend a third of one CPU. On a
/// CPU of its own an interrupt comes after the previous one's [`Work::end`], in program order, and sees the
/// debt that it made, or a later one: it is one word.
pub(crate) struct Throttle {
    /// When all work is paid for, on the monotonic clock in nanoseconds, but for the lowest bit, which
    /// says that there is a rest until then.
    paid: Atomic<i64>,
}

/// The largest debt, in nanoseconds, that needs no rest. Short work does not reach it; the work that makes
/// it is half of it, and holds up nobody.
const BURST: i64 = 100_000;
/// The longest time that is paid for one piece of work: longer ones were interrupted themselves, by a
/// hypervisor say.
const LONGEST: i64 = 1_000_000_000;
/// The bit of [`Throttle::paid`].
const RESTS: i64 = 1;

impl Throttle {
    /// Nothing is to be paid.
    pub(crate) const fn new() -> Self {
        Self {
            paid: Atomic::new(0),
        }
    }

    /// Begins a piece of work. In a rest it must not be done: for how many nanoseconds yet, as an error.
    /// Any context.
    pub(crate) fn begin(&self) -> Result<Work<'_>, i64> {
        let began = time::now();
        let paid = self.paid.load(Relaxed);
        if paid & RESTS != 0 && began < paid {
            return Err(paid - began);
        }
        Ok(Work {
            throttle: self,
            began,
        })
    }
}

/// A piece of work that is under way.
#[must_use = "the work has to be paid for"]
pub(crate) struct Work<'a> {
    throttle: &'a Throttle,
    began: i64,
}

impl Work<'_> {
    /// Ends it. Returns for how many nanoseconds there must be no other. Any context.
    pub(crate) fn end(self) -> i64 {
        let now = time::now();
        let took = now.saturating_sub(self.began).clamp(0, LONGEST);
        let word = &self.throttle.paid;
        let mut old = word.load(Relaxed);
        loop {
            // On top of the debt that there is: time pays for one piece of work after the other.
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
