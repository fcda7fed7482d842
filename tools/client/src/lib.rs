// SPDX-License-Identifier: MIT OR Apache-2.0
#![doc = include_str!("../README.md")]

mod counts;
mod descriptor;
mod event;
mod instance;
mod open;
mod select_poll;
mod signal_set;
mod source;
#[cfg(feature = "sys")]
pub mod sys;
#[cfg(not(feature = "sys"))]
mod sys;
mod takeover;

pub use counts::Counts;
pub use event::{Event, EventFlags, Events};
pub use instance::{CreateFlags, Instance, DEVICE};
pub use open::OpenError;
pub use select_poll::{FdSet, PollFd, PollFlags, SelectSets};
pub use signal_set::SignalSet;
pub use source::{Kind, Message, Source, Status, SOURCE_DEVICE};
pub use takeover::{
    Hooks, Policy, Takeover, TakeoverCalls, TakeoverCause, TakeoverMeans, TakeoverMode,
    TakeoverStatus, TAKEOVER_DEVICE,
};
