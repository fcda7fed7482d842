// SPDX-License-Identifier: GPL-2.0
//! Durations between steps of stories.

use crate::story::{Step, Story};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// A span of a story.
pub(super) struct Span {
    name: &'static str,
    /// The names of the steps that may begin it.
    from: &'static [&'static str],
    /// The names of the steps that may end it.
    to: &'static [&'static str],
}

const fn span(
    name: &'static str,
    from: &'static [&'static str],
    to: &'static [&'static str],
) -> Span {
    Span { name, from, to }
}

const INTERRUPTS: &[&str] = &["interrupt", "timer"];

const TO_CALLBACK: Span = span(
    "from the interrupt to the callback",
    INTERRUPTS,
    &["callback"],
);
const TO_THREAD: Span = span(
    "from the callback to the running thread",
    &["callback"],
    &["running"],
);

/// The spans of events that WAIT delivers.
pub(super) const WAIT: [Span; 4] = [
    TO_CALLBACK,
    TO_THREAD,
    span(
        "from the running thread to the return of WAIT",
        &["running"],
        &["wait returns"],
    ),
    span(
        "from the callback to the delivery",
        &["callback"],
        &["delivery"],
    ),
];

/// The spans of events that SELECT and POLL find.
pub(super) const CALL: [Span; 4] = [
    TO_CALLBACK,
    TO_THREAD,
    span(
        "from the running thread to the return of the call",
        &["running"],
        &["returns"],
    ),
    span(
        "from the callback to the end of the pass",
        &["callback"],
        &["pass"],
    ),
];

/// The spans of a source's messages.
pub(super) const READ: [Span; 3] = [
    span(
        "from the interrupt to the arrival",
        INTERRUPTS,
        &["arrival"],
    ),
    span(
        "from the arrival to the running thread",
        &["arrival"],
        &["running"],
    ),
    span(
        "from the arrival to the end of the read",
        &["arrival"],
        &["read"],
    ),
];

/// The durations of one span, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The span's name: "from the ... to the ...".
    pub name: &'static str,
    /// All durations, the shortest first.
    pub sorted: Vec<u64>,
}

impl Times {
    /// The durations of each span that occurs in the stories.
    pub(super) fn all(spans: &[Span], stories: Option<&Vec<&Story>>) -> Vec<Self> {
        let stories = stories.map_or(&[][..], Vec::as_slice);
        let times = spans.iter().map(|Span { name, from, to }| {
            let mut sorted: Vec<_> = stories
                .iter()
                .filter_map(|story| between(&story.steps, from, to))
                .collect();
            sorted.sort_unstable();
            Self { name, sorted }
        });
        times.filter(|times| !times.sorted.is_empty()).collect()
    }

    /// The shortest duration that `percent` % of all do not exceed.
    pub fn percentile(&self, percent: usize) -> u64 {
        let rank = (self.sorted.len() * percent)
            .div_ceil(100)
            .saturating_sub(1);
        self.sorted.get(rank).copied().unwrap_or(0)
    }

    /// The number of durations between each power of two (of nanoseconds) and the next.
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

/// Nanoseconds from the first step named in `from` to the first step named in `to`.
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
    fn percentiles_are_recorded_durations() {
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
