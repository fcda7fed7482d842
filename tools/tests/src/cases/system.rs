// SPDX-License-Identifier: GPL-2.0
//! Tests of the module within the system: 32-bit callers, limits, memory, loading, load.

pub mod cgroup;
pub mod compat;
pub mod cost;
pub mod faults;
pub mod ftrace;
pub mod leaks;
pub mod module;
pub mod quota;
pub mod realtime;
pub mod stress;

use crate::registry::{of_all, Test};

/// All tests of this subject, the simple ones first.
pub fn tests() -> Vec<Test> {
    of_all(&[
        compat::tests,
        cgroup::tests,
        leaks::tests,
        quota::tests,
        cost::tests,
        faults::tests,
        stress::tests,
        realtime::tests,
        module::tests,
        ftrace::tests,
    ])
}
