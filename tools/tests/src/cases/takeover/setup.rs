// SPDX-License-Identifier: GPL-2.0
//! The steps that tests of takeover share.

use crate::prelude::*;
use repoll::{Hooks, Policy, Takeover, TakeoverCalls};
use repoll_testkit::takeover::SwitchedOn;

/// The functions that are replaced while an instance is open.
pub(super) const OF_INSTANCES: Hooks = Hooks::EPOLL_CTL
    .union(Hooks::EPOLL_WAIT)
    .union(Hooks::EPOLL_SENDEVENTS)
    .union(Hooks::EPOLL_TFILE);

/// Has all tasks taken over.
pub(super) fn on(calls: TakeoverCalls) -> Result<SwitchedOn> {
    SwitchedOn::with(Policy::All(calls))
}

/// Makes an instance, which must be of this side.
pub(super) fn instance_of(side: Side) -> Result<Epoll> {
    let instance = Epoll::of_any_side()?;
    ensure!(side.has_made(&instance), "the instance is not of {side}");
    Ok(instance)
}

/// Waits until these functions and no others are replaced.
pub(super) fn eventually_hooked(takeover: &Takeover, hooks: Hooks) -> Result<()> {
    let mut seen = Hooks::empty();
    let result = eventually("the functions are replaced", || {
        seen = takeover.status()?.hooked;
        Ok(seen == hooks)
    });
    ensure!(result.is_ok(), "replaced are {seen:?}, not {hooks:?}");
    Ok(())
}
