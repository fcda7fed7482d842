// SPDX-License-Identifier: GPL-2.0
//! The kit that the tests, the lab, the benchmark, the differential tester and the storm share.
//!
//! * [`side`]: the sides, the C epoll and repoll, and the ways to the second one.
//! * [`multiplexer`]: an instance of each side, behind one trait.
//! * [`scanner`]: select(2) and poll(2) of the kernel and of repoll.
//! * [`compat`], [`compat_scan`]: the same sides, called as a 32-bit program calls them.
//! * [`files`], [`file_kinds`]: files to watch. [`processes`], [`threads`], [`signals`].
//! * [`takeover`], [`cgroup`]: takeover, and the groups of its policy.
//! * [`memory`], [`stall`]: memory to point the kernel at.
//! * [`limits`], [`watch_limit`]: limits of open files and of watches.
//! * [`ktap`], [`skip`]: results.
//!
//! System calls are made by rustix. Calls that rustix lacks, and calls with arguments that no
//! library would pass, go through [`raw::syscall`].

pub mod cgroup;
pub mod compat;
pub mod compat_scan;
pub mod descriptor;
pub mod file_kinds;
pub mod files;
pub mod ktap;
pub mod limits;
pub mod memory;
pub mod modules;
pub mod multiplexer;
pub mod processes;
pub mod random;
pub mod raw;
pub mod scanner;
pub mod side;
pub mod signals;
pub mod skip;
pub mod stall;
pub mod takeover;
pub mod threads;
pub mod user_space;
pub mod watch_limit;
