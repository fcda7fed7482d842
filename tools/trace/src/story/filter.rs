// SPDX-License-Identifier: GPL-2.0
//! Selects stories by a filter's conditions.

use crate::ftrace::filter::{Filter, FIELDS};
use crate::ftrace::record::Record;
use crate::story::{Called, Story};

impl Filter {
    /// Whether a story passes: each field condition holds for it, and a step is of a selected
    /// event.
    pub fn wants(&self, story: &Story, records: &[Record]) -> bool {
        let called = |field: &str, value: i64| {
            story.called.iter().any(|called| match (field, *called) {
                ("fd", called) => called.fd() == value,
                ("ep", Called::Item { ep, .. }) => ep == value,
                ("item", Called::Item { item, .. }) => item == value,
                ("task", Called::Entry { task, .. }) => task == value,
                _ => false,
            })
        };
        let has = |field: &str, value| match field {
            "source" => story.source == Some(value),
            field => called(field, value),
        };
        let mut steps = story.steps.iter();
        FIELDS
            .into_iter()
            .all(|field| self.holds(field, |value| has(field, value)))
            && steps.any(|step| self.wants_event(records[step.at].event()))
    }
}
