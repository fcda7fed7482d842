// SPDX-License-Identifier: GPL-2.0
//! Tests of an instance: what it watches, what WAIT reports, and when.

pub mod close;
pub mod crowds;
pub mod delivery;
pub mod errors;
pub mod exclusive;
pub mod fdinfo;
pub mod file_kinds;
pub mod interface;
pub mod masks;
pub mod nesting;
pub mod nesting_cost;
pub mod references;
pub mod sharing;
pub mod threads;
pub mod timeouts;
pub mod triggers;
pub mod uring;
pub mod watching;

use crate::registry::{of_all, Test};

/// All tests of this subject, the simple ones first.
pub fn tests() -> Vec<Test> {
    of_all(&[
        file_kinds::tests,
        triggers::tests,
        delivery::tests,
        timeouts::tests,
        masks::tests,
        exclusive::tests,
        fdinfo::tests,
        errors::tests,
        interface::tests,
        watching::tests,
        uring::tests,
        nesting::tests,
        crowds::tests,
        nesting_cost::tests,
        sharing::tests,
        threads::tests,
        references::tests,
        close::tests,
    ])
}
