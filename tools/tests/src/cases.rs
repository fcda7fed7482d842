// SPDX-License-Identifier: GPL-2.0
//! The tests, one file per theme.

mod cgroup;
mod close;
mod compat;
mod contexts;
mod cost;
mod counts;
mod crowds;
mod delivery;
mod errors;
mod exclusive;
mod faults;
mod fdinfo;
mod ftrace;
mod interface;
mod leaks;
mod masks;
mod module;
mod nesting;
mod nesting_cost;
mod network;
mod poll;
mod quota;
mod realtime;
mod references;
mod scan;
mod select;
mod sharing;
mod source;
mod source_feeds;
mod source_limits;
mod source_models;
mod source_stress;
mod sources;
mod stories;
mod stress;
mod threads;
mod timeouts;
mod tracepoint_fields;
mod tracepoint_format;
mod tracepoint_limits;
mod tracepoints;
mod tracing;
mod triggers;
mod uring;
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
        uring::tests,
        compat::tests,
        nesting::tests,
        crowds::tests,
        nesting_cost::tests,
        sharing::tests,
        scan::tests,
        poll::tests,
        select::tests,
        counts::tests,
        threads::tests,
        references::tests,
        close::tests,
        contexts::tests,
        tracepoints::tests,
        tracepoint_fields::tests,
        tracepoint_limits::tests,
        tracepoint_format::tests,
        tracing::tests,
        stories::tests,
        network::tests,
        cgroup::tests,
        source::tests,
        source_models::tests,
        source_feeds::tests,
        source_limits::tests,
        source_stress::tests,
        leaks::tests,
        quota::tests,
        cost::tests,
        faults::tests,
        stress::tests,
        realtime::tests,
        module::tests,
        ftrace::tests,
    ] {
        tests.extend(theme());
    }
    tests
}
