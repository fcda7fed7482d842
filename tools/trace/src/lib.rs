// SPDX-License-Identifier: GPL-2.0
//! Shows what repoll does, from its tracepoints and the kernel's.
//!
//! [`ftrace`] records, [`story`] finds the lives of events in a trace, and [`views`] tell them. Each
//! imports from those before it only. Other crates name the modules without their folder.

mod ftrace;
pub mod signals;
pub mod story;
mod views;

pub use ftrace::{dat, filter, format, record, recorder, tracefs};
pub use views::{render, report, stat};
