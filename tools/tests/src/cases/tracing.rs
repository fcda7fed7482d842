// SPDX-License-Identifier: GPL-2.0
//! Tests of the tracepoints, of repoll-trace, and of the stories that it reads from them.

pub mod contexts;
pub mod network;
pub mod repoll_trace;
pub mod stories;
pub mod tracepoint_fields;
pub mod tracepoint_format;
pub mod tracepoint_limits;
pub mod tracepoints;

use crate::registry::{of_all, Test};

/// All tests of this subject, the simple ones first.
pub fn tests() -> Vec<Test> {
    of_all(&[
        contexts::tests,
        tracepoints::tests,
        tracepoint_fields::tests,
        tracepoint_limits::tests,
        tracepoint_format::tests,
        repoll_trace::tests,
        stories::tests,
        network::tests,
    ])
}
