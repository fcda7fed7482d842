// SPDX-License-Identifier: GPL-2.0
//! Tests of takeover: who is taken over, by which calls, and how it begins and ends.
//!
//! What a taken-over instance does is tested by all other tests: `repoll-tests --side taken-over`.

pub mod calls;
pub mod ends;
pub mod policy;
pub mod races;

use crate::registry::Test;
use crate::support::eventually;
use anyhow::{ensure, Result};
use repoll::{Hooks, Policy, Takeover, TakeoverCalls};
use repoll_testkit::multiplexer::Epoll;
use repoll_testkit::side::Side;
use repoll_testkit::takeover::SwitchedOn;

/// All tests of this subject, the simple ones first.
pub fn tests() -> Vec<Test> {
    [policy::tests, calls::tests, ends::tests, races::tests]
        .into_iter()
        .flat_map(|theme: fn() -> Vec<Test>| theme())
        .collect()
}

/// The functions that are replaced while an instance is open.
const OF_INSTANCES: Hooks = Hooks::EPOLL_CTL
    .union(Hooks::EPOLL_WAIT)
    .union(Hooks::EPOLL_SENDEVENTS)
    .union(Hooks::EPOLL_TFILE);

/// Has all tasks taken over.
fn on(calls: TakeoverCalls) -> Result<SwitchedOn> {
    SwitchedOn::with(Policy::All(calls))
}

/// Makes an instance, which must be of this side.
fn instance_of(side: Side) -> Result<Epoll> {
    let instance = Epoll::of_any_side()?;
    ensure!(side.has_made(&instance), "the instance is not of {side}");
    Ok(instance)
}

/// Waits until these functions and no others are replaced.
fn eventually_hooked(takeover: &Takeover, hooks: Hooks) -> Result<()> {
    let mut seen = Hooks::empty();
    let result = eventually("the functions are replaced", || {
        seen = takeover.status()?.hooked;
        Ok(seen == hooks)
    });
    ensure!(result.is_ok(), "replaced are {seen:?}, not {hooks:?}");
    Ok(())
}
