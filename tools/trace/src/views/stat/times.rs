// SPDX-License-Identifier: GPL-2.0
//! How long things took.

use crate::story::{Step, Story};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// A stretch of a story: what it is called, the names of the steps that it may begin with, and of those that
/// it may end with.
pub(super) type Span = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const INTERRUPTS: &[&str] = &["interrupt", "timer"];

const TO_CALLBACK: Span = (
    "from the interrupt to the callback",
    INTERRUPTS,
    &["callback"],
);
const TO_THREAD: Span = (
    "from the callback to the running thread",
    &["callback"],
    &["running"],
);

/// Of events that WAIT delivers.
pub(super) const WAIT: [Span; 4] = [
    TO_CALLBACK,
    TO_THREAD,
    (
        "from the running thread to the return of WAIT",
        &["running"],
        &["wait returns"],
    ),
    (
        "from the callback to the delivery",
        &["callback"],
        &["delivery"],
    ),
];

/// Of events that SELECT and POLL find.
pub(super) const CALL: [Span; 4] = [
    TO_CALLBACK,
    TO_THREAD,
    (
        "from the running thread to the return of the call",
        &["running"],
        &["returns"],
    ),
    (
        "from the callback to the end of the pass",
        &["callback"],
        &["pass"],
    ),
];

/// Of messages of a source.
pub(super) const READ: [Span; 3] = [
    (
        "from the interrupt to the arrival",
        INTERRUPTS,
        &["arrival"],
    ),
    (
        "from the arrival to the running thread",
        &["arrival"],
        &["running"],
    ),
    (
        "from the arrival to the end of the read",
        &["arrival"],
        &["read"],
    ),
];

/// Durations of one kind, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Where it begins, and where it ends.
    pub name: &'static str,
    /// All of them, the shortest first.
    pub sorted: Vec<u64>,
}

impl Times {
    /// Those of some stories that have any.
    pub(super) fn all(spans: &[Span], stories: Option<&Vec<&Story>>) -> Vec<Self> {
        let stories = stories.map_or(&[][..], Vec::as_slice);
        let times = spans.iter().map(|(name, from, to)| {
            let mut sorted: Vec<_> = stories
                .iter()
                .filter_map(|story| between(&story.steps, from, to))
                .collect();
            sorted.sort_unstable();
            Self { name, sorted }
        });
        times.filter(|times| !times.sorted.is_empty()).collect()
    }

    /// The one that so many percent are not longer than.
    pub fn percentile(&self, percent: usize) -> u64 {
        let rank = (self.sorted.len() * percent)
            .div_ceil(100)
            .saturating_sub(1);
        self.sorted.get(rank).copied().unwrap_or(0)
    }

    /// How many there are from one power of two (of nanoseconds) to the next.
    pub fn buckets(&self) -> Vec<(u64, usize)> {
        let exponent = |time: &u64| time.max(&1).ilog2();
        let (Some(first), Some(last)) = (self.sorted.first(), self.sorted.last()) else {
            return Vec::new();
        };
        let mut buckets: Vec<_> = (exponent(first)..=exponent(last))
            .map(|bit| (1u64 << bit, 0))
            .collect();
        for time in &self.sorted {
            buckets[(exponent(time) - exponent(first)) as usize].1 += 1;
        }
        buckets
    }
}

/// From the first step of some names to the first of others, in nanoseconds.
fn between(steps: &[Step], from: &[&str], to: &[&str]) -> Option<u64> {
    let time = |names: &[&str]| {
        let mut steps = steps.iter();
        steps
            .find(|step| names.contains(&step.name))
            .map(|step| step.time)
    };
    time(to)?.checked_sub(time(from)?)
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut times = serializer.serialize_struct("Times", 7)?;
        times.serialize_field("name", self.name)?;
        times.serialize_field("count", &self.sorted.len())?;
        times.serialize_field("median", &self.percentile(50))?;
        times.serialize_field("p90", &self.percentile(90))?;
        times.serialize_field("p99", &self.percentile(99))?;
        times.serialize_field("most", &self.percentile(100))?;
        times.serialize_field("buckets", &self.buckets())?;
        times.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_durations_that_were_seen() {
        let times = Times {
            name: "",
            sorted: vec![1, 2, 3, 100],
        };
        assert_eq!(
            [0, 25, 50, 75, 99, 100].map(|p| times.percentile(p)),
            [1, 1, 2, 3, 100, 100]
        );
        assert_eq!(Times::default().percentile(50), 0);
    }

    #[test]
    fn buckets_are_powers_of_two_without_a_gap() {
        let times = Times {
            name: "",
            sorted: vec![0, 1, 4, 5, 7, 16],
        };
        assert_eq!(times.buckets(), [(1, 2), (2, 0), (4, 3), (8, 0), (16, 1)]);
        assert_eq!(Times::default().buckets(), []);
    }
}
