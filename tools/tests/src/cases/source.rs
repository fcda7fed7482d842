// SPDX-License-Identifier: GPL-2.0
//! Tests of the event source.

pub mod device;
pub mod feeds;
pub mod limits;
pub mod models;
pub mod stress;

use crate::registry::Test;

/// All tests of this subject, the simple ones first.
pub fn tests() -> Vec<Test> {
    [
        device::tests,
        models::tests,
        feeds::tests,
        limits::tests,
        stress::tests,
    ]
    .into_iter()
    .flat_map(|theme: fn() -> Vec<Test>| theme())
    .collect()
}
