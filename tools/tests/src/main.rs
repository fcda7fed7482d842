// SPDX-License-Identifier: GPL-2.0
//! The tests of repoll that run in a guest, as root, with the module loaded.
//!
//! Prints KTAP. A test of behaviour that the kernel's own epoll has too runs its one body on
//! both, so that a wrong expectation fails on the oracle. Each test runs in a process of its
//! own, with a time limit; what it leaves behind in the kernel log fails it too.

mod cases;
mod cost;
mod differences;
#[cfg(test)]
mod documentation;
mod faults;
mod kmsg;
mod module;
mod prelude;
mod registry;
mod runner;
mod settings;
mod slack;
mod support;

use clap::Parser;
use repoll_testkit::ktap;
use settings::Settings;
use std::process::ExitCode;

fn main() -> ExitCode {
    let settings = Settings::parse();
    settings.publish();
    let settings = settings::get();
    let mut tests = cases::all();
    if let Some(way) = settings.side {
        way.carries_the_kernels_calls();
        tests = differences::skipped(way, registry::of_the_kernels_calls(way, tests));
    }
    if let Some(name) = &settings.child {
        return registry::run_here(&tests, name);
    }
    let mut chosen: Vec<_> = tests
        .iter()
        .filter(|test| test.matches(&settings.names) && (test.counted || !settings.icount))
        .collect();
    let mut index = 0..;
    chosen.retain(|_| index.next().is_some_and(|index| settings.has(index)));
    if settings.list {
        chosen.iter().for_each(|test| println!("{}", test.name));
        return ExitCode::SUCCESS;
    }
    if settings.icount && !cost::clock_counts_instructions() {
        eprintln!("repoll-tests: this guest's clock does not count instructions: boot it with tools/harness/cmd/guest-initramfs --icount");
        return ExitCode::FAILURE;
    }
    if chosen.is_empty() {
        eprintln!("repoll-tests: no test has such a name (--list shows them)");
        return ExitCode::FAILURE;
    }
    ktap::exit_code(runner::run(&chosen, settings))
}
