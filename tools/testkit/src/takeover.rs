// SPDX-License-Identifier: GPL-2.0
//! Takeover, switched on for as long as something needs it: for all tasks, or for one thread.

use crate::cgroup::{self, Group};
use crate::multiplexer::Epoll;
use crate::side::Side;
use anyhow::{Context, Result};
use repoll::{Policy, Takeover, TakeoverCalls};
use std::io;
use std::os::fd::AsFd;
use std::thread::scope;

/// Switches takeover off when it is dropped.
pub struct SwitchedOn(Takeover);

impl SwitchedOn {
    /// Sets the policy.
    pub fn with(policy: Policy<'_>) -> Result<Self> {
        let takeover = Takeover::open()?;
        takeover
            .set(policy)
            .context("cannot switch takeover on (the kernel's log says more)")?;
        Ok(Self(takeover))
    }

    /// The device, for other policies and for the status.
    pub fn device(&self) -> &Takeover {
        &self.0
    }
}

impl Drop for SwitchedOn {
    fn drop(&mut self) {
        if let Err(error) = self.0.set(Policy::Off) {
            eprintln!("cannot switch takeover off: {error}");
        }
    }
}

/// Has this process and its later children taken over, and no others, until it is dropped.
pub struct Member {
    // Dropped in this order: the policy, then its group, which is empty by then.
    _on: SwitchedOn,
    _group: Group,
}

impl Member {
    /// Moves this process to a group, and has the group's calls taken over.
    pub fn of_a_group(calls: TakeoverCalls) -> Result<Self> {
        let group = Group::new(&[])?;
        group.enter(0)?;
        let on = SwitchedOn::with(Policy::Cgroup(group.as_fd(), calls));
        if on.is_err() {
            cgroup::enter_root(0)?;
        }
        Ok(Self {
            _on: on?,
            _group: group,
        })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // The end of the group kills its tasks.
        if let Err(error) = cgroup::enter_root(0) {
            eprintln!("cannot leave the group: {error}");
        }
    }
}

/// Makes instances that are taken over in a process that otherwise makes C epolls: a thread is in a
/// control group of its own while it makes one.
pub struct Maker {
    // Dropped in this order: the policy, then its group.
    _on: SwitchedOn,
    group: Group,
}

impl Maker {
    /// Switches takeover on for such threads.
    pub fn new() -> Result<Self> {
        let group = Group::new(&[])?;
        group.write("cgroup.type", "threaded")?;
        let on = SwitchedOn::with(Policy::Cgroup(group.as_fd(), TakeoverCalls::EPOLL))?;
        Ok(Self { _on: on, group })
    }

    /// Makes an instance.
    pub fn instance(&self) -> io::Result<Epoll> {
        let made = scope(|threads| {
            let maker = threads.spawn(|| {
                self.group.write("cgroup.threads", "0")?;
                Epoll::of_any_side()
            });
            maker.join()
        });
        let made = made.map_err(|_| io::Error::other("the thread has panicked"))??;
        match Side::Repoll.has_made(&made) {
            true => Ok(made),
            false => Err(io::Error::other("the instance was not taken over")),
        }
    }
}
