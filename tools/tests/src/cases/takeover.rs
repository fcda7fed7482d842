// SPDX-License-Identifier: GPL-2.0
//! Tests of takeover: who is taken over, by which calls, and how it begins and ends.
//!
//! All other tests are about the instances: `repoll-tests --side taken-over` runs them.

pub mod calls;
pub mod ends;
pub mod others;
pub mod policy;
pub mod races;
mod setup;
pub mod stages;

use crate::registry::{of_all, Test};

/// All tests of this subject, the simple ones first.
pub fn tests() -> Vec<Test> {
    of_all(&[
        policy::tests,
        calls::tests,
        ends::tests,
        others::tests,
        races::tests,
        stages::tests,
    ])
}
