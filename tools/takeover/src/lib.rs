// SPDX-License-Identifier: GPL-2.0
//! The takeover of the machine's epoll: the policy, the cgroups it names, and the epolls of all
//! processes.
//!
//! The command `repoll-takeover` is made from this. `repoll-exec` and `repoll-trace` use [`group`]
//! and [`whole`].

pub mod cgroup;
pub mod control;
pub mod ftrace;
pub mod group;
pub mod release;
pub mod report;
pub mod scan;
pub mod unit;
pub mod whole;
pub mod words;
