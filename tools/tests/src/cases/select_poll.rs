// SPDX-License-Identifier: GPL-2.0
//! Tests of SELECT and POLL.

pub mod counts;
pub mod poll;
pub mod scan;
pub mod select;

use crate::registry::Test;

/// All tests of this subject, the simple ones first.
pub fn tests() -> Vec<Test> {
    [scan::tests, poll::tests, select::tests, counts::tests]
        .into_iter()
        .flat_map(|theme: fn() -> Vec<Test>| theme())
        .collect()
}
