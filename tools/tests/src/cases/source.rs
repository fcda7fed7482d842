// SPDX-License-Identifier: GPL-2.0
//! Tests of the event source.

pub mod device;
pub mod feeds;
pub mod limits;
pub mod models;
pub mod stress;

use crate::registry::{of_all, Test};

/// All tests of this subject, the simple ones first.
pub fn tests() -> Vec<Test> {
    of_all(&[
        device::tests,
        models::tests,
        feeds::tests,
        limits::tests,
        stress::tests,
    ])
}
