// SPDX-License-Identifier: GPL-2.0
//! A story and its steps.

use crate::ftrace::record::Context;
use crate::story::{Called, Cause, Protocol};

/// One step of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The index of the step's record in the trace.
    pub at: usize,
    /// Nanoseconds of the trace clock.
    pub time: u64,
    /// The CPU that recorded it.
    pub cpu: u32,
    /// The context that recorded it.
    pub context: Context,
    /// The name of the step: one or two words.
    pub name: &'static str,
    /// A description for people.
    pub detail: String,
}

/// The life of one event, in causal order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Why the file became ready.
    pub cause: Cause,
    /// The callees, from the file upwards: an item, then an item or entry that watches its
    /// instance, and so on. Empty if the story is of a source's message that only a read takes.
    pub called: Vec<Called>,
    /// The source that the event comes from.
    pub source: Option<i64>,
    /// The name and number of the thread that got the event; empty if none did.
    pub receiver: String,
    /// The steps, from the cause on.
    pub steps: Vec<Step>,
    /// The first step that must have happened but is not in the trace.
    pub missing: Option<&'static str>,
}

impl Story {
    /// Nanoseconds from the first to the last step.
    pub fn duration(&self) -> u64 {
        match (self.steps.first(), self.steps.last()) {
            (Some(first), Some(last)) => last.time.saturating_sub(first.time),
            _ => 0,
        }
    }

    /// Nanoseconds from the first step named `from` to the first step named `to`.
    pub fn between(&self, from: &str, to: &str) -> Option<u64> {
        let time = |name: &str| {
            self.steps
                .iter()
                .find(|step| step.name == name)
                .map(|step| step.time)
        };
        time(to)?.checked_sub(time(from)?)
    }

    /// The source and the callees, in words.
    pub fn subject(&self) -> String {
        let source = self.source.map(|source| format!("source {source}"));
        let called = self.called.iter().map(Called::to_string);
        source
            .into_iter()
            .chain(called)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Whether the story follows a packet from the NIC's interrupt to the echo, without a gap.
    pub fn is_whole(&self, protocol: Protocol) -> bool {
        self.cause == Cause::Packet(protocol)
            && self.missing.is_none()
            && self
                .steps
                .last()
                .is_some_and(|step| step.name == "echo sent")
    }
}
