// SPDX-License-Identifier: GPL-2.0
//! The tests, one file per theme.

mod close;
mod contexts;
mod counts;
mod delivery;
mod errors;
mod exclusive;
mod fdinfo;
mod interface;
mod leaks;
mod masks;
mod module;
mod nesting;
mod network;
mod poll;
mod quota;
mod references;
mod scan;
mod select;
mod sharing;
mod sources;
mod stress;
mod threads;
mod timeouts;
mod triggers;
mod watching;

use crate::registry::Test;

/// All of them, the simple ones first.
pub fn all() -> Vec<Test> {
    let mut tests = Vec::new();
    for theme in [
        sources::tests,
        triggers::tests,
        delivery::tests,
        timeouts::tests,
        masks::tests,
        exclusive::tests,
        fdinfo::tests,
        errors::tests,
        interface::tests,
        watching::tests,
        nesting::tests,
        sharing::tests,
        scan::tests,
        poll::tests,
        select::tests,
        counts::tests,
        threads::tests,
        references::tests,
        close::tests,
        contexts::tests,
        network::tests,
        leaks::tests,
        quota::tests,
        stress::tests,
        module::tests,
    ] {
        tests.extend(theme());
    }
    tests
}
