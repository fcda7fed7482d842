// SPDX-License-Identifier: GPL-2.0
//! Runs the program in a cgroup whose calls the module takes over, without the library.

use crate::program::Program;
use crate::status::{report, FAILED};
use crate::watch;
use anyhow::Result;
use repoll::TakeoverCalls;
use repoll_takeover::control::Control;
use repoll_takeover::group::{End, Group};
use repoll_takeover::words::count;
use std::io::Write;
use std::process::ExitCode;

/// Runs the program until it ends; then removes its cgroup.
pub fn run(program: &Program, calls: TakeoverCalls, stats: bool, quiet: bool) -> Result<ExitCode> {
    let group = Group::begin(Control::open()?, calls)?;
    let ran = run_in(&group, program, stats);
    let end = match group.end() {
        Ok(End::Populated(path)) if !quiet => format!(
            "repoll-exec: processes of the program go on in {}, taken over: takeover stays on for \
             them\n",
            path.display()
        ),
        Ok(_) => String::new(),
        Err(error) => format!(
            "repoll-exec: cannot end takeover: {error:#}: end it with repoll-takeover off\n"
        ),
    };
    let (status, summary) = ran?;
    // The reader of standard error may have exited.
    let _ = std::io::stderr().write_all((summary + &end).as_bytes());
    Ok(status.pass_on())
}

/// Runs the program in the group. Returns its end, and the summary if there is to be one.
fn run_in(group: &Group, program: &Program, stats: bool) -> Result<(watch::End, String)> {
    let before = group.created()?;
    let end = watch::run(|| match group.enter() {
        Ok(()) => report(program, &program.execute()),
        Err(error) => {
            eprintln!("repoll-exec: cannot enter the program's cgroup: {error}");
            FAILED
        }
    })?;
    let summary = match stats {
        true => summary(group.created()?.saturating_sub(before), &group.scope()),
        false => String::new(),
    };
    Ok((end, summary))
}

fn summary(created: u64, scope: &str) -> String {
    format!(
        "repoll-exec: taken over while it ran: {}, of {scope}\n",
        count(created, "epoll instance")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_whose_instances_it_counts() {
        assert_eq!(
            summary(1, "all processes"),
            "repoll-exec: taken over while it ran: 1 epoll instance, of all processes\n"
        );
        assert!(summary(0, "x").contains(": 0 epoll instances, of x"));
    }
}
