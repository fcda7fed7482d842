// SPDX-License-Identifier: GPL-2.0
//! Tests of SELECT and POLL.

pub mod counts;
pub mod poll;
pub mod scan;
pub mod select;

use crate::registry::{of_all, Test};

/// All tests of this subject, the simple ones first.
pub fn tests() -> Vec<Test> {
    of_all(&[scan::tests, poll::tests, select::tests, counts::tests])
}
