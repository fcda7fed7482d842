// SPDX-License-Identifier: GPL-2.0
//! The tests, in a folder per subject and a file per theme.

mod multiplexer;
mod select_poll;
mod source;
mod system;
mod takeover;
mod tracing;

use crate::registry::{of_all, Test};

/// All tests, the simple ones first.
pub fn all() -> Vec<Test> {
    of_all(&[
        multiplexer::tests,
        select_poll::tests,
        tracing::tests,
        source::tests,
        system::tests,
        takeover::tests,
    ])
}
