// SPDX-License-Identifier: GPL-2.0
//! Records and presents what repoll does, from its tracepoints and the kernel's.
//!
//! `ftrace` records events and reads recordings, [`story`] follows single events through a trace,
//! and `views` present the result. Each imports only from those before it. Other crates name the
//! modules without their folder.

mod ftrace;
pub mod signals;
pub mod story;
pub mod taken_over;
mod views;

pub use ftrace::{dat, filter, format, record, recorder, tracefs};
pub use views::{render, report, stat};
