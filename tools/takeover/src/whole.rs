// SPDX-License-Identifier: GPL-2.0
//! Takeover of all processes for a time, after which the former policy is restored.

use crate::cgroup::{self, Cgroup};
use crate::control::{Control, Lock};
use anyhow::Result;
use repoll::{Policy, TakeoverCalls, TakeoverMode, TakeoverStatus};
use std::os::fd::AsFd;

/// A policy for all processes, and the one that it replaced.
#[derive(Debug)]
pub struct Whole {
    control: Control,
    before: TakeoverStatus,
    calls: TakeoverCalls,
}

impl Whole {
    /// Takes these calls over, and those that are taken over of all processes anyway.
    ///
    /// # Errors
    ///
    /// When the module refuses.
    pub fn begin(control: Control, calls: TakeoverCalls) -> Result<Self> {
        let _lock = Lock::take()?;
        let before = control.status()?;
        let calls = wanted(&before, calls);
        if !is(&before, calls) {
            control.set(Policy::All(calls))?;
        }
        Ok(Self {
            control,
            before,
            calls,
        })
    }

    /// Restores the former policy, unless somebody has replaced the present one. If the former
    /// policy's cgroup has been removed, takeover is off then.
    ///
    /// # Errors
    ///
    /// When the module refuses.
    pub fn end(&self) -> Result<()> {
        let _lock = Lock::take()?;
        if !is(&self.control.status()?, self.calls) || is(&self.before, self.calls) {
            return Ok(());
        }
        match self.before.mode {
            TakeoverMode::Off => self.control.set(Policy::Off),
            TakeoverMode::All => self.control.set(Policy::All(self.before.calls)),
            TakeoverMode::Cgroup(id) => match cgroup::path_of(id) {
                None => self.control.set(Policy::Off),
                Some(path) => {
                    let group = Cgroup::open(&path)?;
                    self.control
                        .set(Policy::Cgroup(group.as_fd(), self.before.calls))
                }
            },
        }
    }
}

/// The calls to take over of all processes.
fn wanted(before: &TakeoverStatus, calls: TakeoverCalls) -> TakeoverCalls {
    match before.mode {
        TakeoverMode::All => calls | before.calls,
        TakeoverMode::Off | TakeoverMode::Cgroup(_) => calls,
    }
}

/// Whether exactly these calls of all processes are taken over.
fn is(status: &TakeoverStatus, calls: TakeoverCalls) -> bool {
    (status.mode, status.calls) == (TakeoverMode::All, calls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::status_of;

    #[test]
    fn calls_of_all_processes_stay_taken_over() {
        let (epoll, poll) = (TakeoverCalls::EPOLL, TakeoverCalls::POLL);
        let all = status_of(TakeoverMode::All, poll);
        assert_eq!(wanted(&all, epoll), epoll | poll);
        // Those of a cgroup are not widened to all processes.
        let group = status_of(TakeoverMode::Cgroup(7), poll);
        assert_eq!(wanted(&group, epoll), epoll);
        assert!(is(&all, poll) && !is(&all, epoll) && !is(&group, poll));
    }
}
