// SPDX-License-Identifier: GPL-2.0
//! Follows one event through a trace, in both directions from a record in the middle.
//!
//! The middle is a callback of an item, a wake-up of a SELECT or POLL entry, or the arrival of a
//! message that has no callee.
//!
//! * Backwards ([`cause`]): the cause is on the same CPU, in the same softirq, interrupt or system
//!   call.
//! * Upwards ([`callback`]): a callback calls the watchers of its instance, until one wakes a
//!   thread.
//! * Forwards ([`consumer`]): the thread polls the file, gets the event from WAIT ([`delivery`]),
//!   SELECT or POLL ([`pass`]), and uses it. A message is followed to its read ([`message`]).
//!
//! Each step is a record of the trace, and comes after the step before it.

mod callback;
mod cause;
mod consumer;
mod delivery;
mod follower;
mod message;
mod pass;
mod words;

use crate::ftrace::record::Record;
use crate::story::index::Index;
use crate::story::Story;
use follower::Follower;

/// Whether a story can be followed from this record.
pub(crate) fn is_start(record: &Record) -> bool {
    let field = |name| record.field(name);
    match record.event() {
        "repoll_queue" => matches!(field("reason"), Some("add" | "mod")),
        "repoll_select_setup" | "repoll_source_arrive" => true,
        "repoll_source_wake" => record.number("sleepers") == Some(1),
        _ => callback::is_news(record),
    }
}

/// Follows the event of the record at `middle`. Returns the story and the starts that it covers,
/// from which no other story needs to be followed. `None` if another start leads to the same story,
/// or none does.
pub(crate) fn follow<'a>(index: &'a Index<'a>, middle: usize) -> Option<(Story, Vec<usize>)> {
    let mut follower = Follower::new(index);
    let followed = match index.records[middle].event() {
        "repoll_callback" | "repoll_select_wake" => follower.follow_callback(middle),
        "repoll_queue" => follower.follow_ready_at_ctl(middle),
        "repoll_select_setup" => follower.follow_ready_at_first_pass(middle),
        _ => follower.follow_message(middle),
    };
    followed.then(|| follower.finish())
}
