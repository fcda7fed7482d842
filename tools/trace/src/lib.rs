// SPDX-License-Identifier: GPL-2.0
//! Shows what repoll does, from its tracepoints and the kernel's.
//!
//! [`tracefs`] records, [`recorder`] decides what and how long, [`dat`] is the file that it makes;
//! [`record`] reads it, [`story`] finds the lives of events in it, and [`render`], [`stat`],
//! [`export`] and [`report`] tell them.

pub mod dat;
pub mod export;
pub mod filter;
pub mod format;
mod index;
mod messages;
mod pages;
pub mod record;
pub mod recorder;
pub mod render;
pub mod report;
#[cfg(test)]
mod script;
pub mod signals;
pub mod stat;
pub mod story;
pub mod tracefs;
mod wakeups;
mod way;
