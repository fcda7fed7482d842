// SPDX-License-Identifier: GPL-2.0
//! Finds all stories of a trace.

use crate::ftrace::record::Record;
use crate::story::follow::{self, is_start};
use crate::story::index::Index;
use crate::story::Story;
use std::collections::HashSet;

/// The stories of all events in a trace, in the order of the records that they are followed from,
/// which are mostly callbacks.
pub fn all(records: &[Record]) -> Vec<Story> {
    let index = Index::new(records);
    let (messages, calls): (Vec<_>, Vec<_>) = (0..records.len())
        .filter(|at| is_start(&records[*at]))
        .partition(|at| records[*at].event().starts_with("repoll_source_"));
    let mut covered = HashSet::new();
    let mut stories = Vec::new();
    for at in calls {
        if covered.contains(&at) {
            continue;
        }
        if let Some((story, starts)) = follow::follow(&index, at) {
            covered.extend(starts);
            stories.push((at, story));
        }
    }
    // A message has a story of its own unless another story includes it; it has one in any case if
    // it wakes a task that sleeps in a read.
    for at in messages {
        if covered.contains(&at) && !index.wakes_sleeper(at) {
            continue;
        }
        stories.extend(follow::follow(&index, at).map(|(story, _)| (at, story)));
    }
    stories.sort_by_key(|(at, _)| *at);
    stories.into_iter().map(|(_, story)| story).collect()
}
