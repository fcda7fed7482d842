// SPDX-License-Identifier: GPL-2.0
//! Stories: the life of one event in a trace, from the cause to what a thread does with it.
//!
//! [`all`] finds them in the records of a trace. `index` says which records belong together,
//! `follow` builds one story.

mod called;
mod cause;
mod event_bits;
mod filter;
mod find;
mod follow;
mod index;
mod life;
mod messages;
mod packets;
#[cfg(test)]
mod tests;
mod wakeups;

pub use called::{Call, Called};
pub use cause::{Cause, Protocol};
pub use event_bits::event_names;
pub(crate) use event_bits::is_ready;
pub use find::all;
pub use life::{Step, Story};
pub use packets::Packets;
