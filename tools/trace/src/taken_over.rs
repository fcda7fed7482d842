// SPDX-License-Identifier: GPL-2.0
//! Takeover during a recording, so that the calls of unmodified programs are repoll's events.

use anyhow::{Context, Result};
use repoll::TakeoverCalls;
use repoll_takeover::control::Control;
use repoll_takeover::group::{End, Group};
use repoll_takeover::whole::Whole;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// The processes that are taken over.
#[derive(Debug)]
enum Reach {
    /// Those of a command that enter a group.
    Group(Group),
    /// All.
    Whole(Whole),
}

/// The takeover of this process, which [`end`] ends.
static LIVE: Mutex<Option<Arc<Reach>>> = Mutex::new(None);

/// Takeover that lasts until this is dropped.
#[derive(Debug)]
pub struct TakenOver(Arc<Reach>);

impl TakenOver {
    /// Takes over the calls of a command, which [`TakenOver::place`] prepares.
    ///
    /// # Errors
    ///
    /// When this kernel, this machine or the policy does not allow it.
    pub fn command() -> Result<Self> {
        Self::begin(|control, calls| Group::begin(control, calls).map(Reach::Group))
    }

    /// Takes over the calls of all processes.
    ///
    /// # Errors
    ///
    /// When this kernel does not allow it.
    pub fn system() -> Result<Self> {
        Self::begin(|control, calls| Whole::begin(control, calls).map(Reach::Whole))
    }

    /// Begins with all calls, or with epoll alone where select and poll can't be replaced.
    fn begin(begin: impl Fn(Control, TakeoverCalls) -> Result<Reach>) -> Result<Self> {
        // The lock is held meanwhile, so that end() misses nothing.
        let mut live = LIVE.lock().ok().context("a thread has panicked")?;
        let with = |calls| begin(Control::open()?, calls);
        let all = with(TakeoverCalls::all());
        let reach = all.or_else(|error| with(TakeoverCalls::EPOLL).map_err(|_| error))?;
        let reach = Arc::new(reach);
        *live = Some(reach.clone());
        Ok(Self(reach))
    }

    /// Makes a command enter the group, if there is one. To be called for one command.
    pub fn place(&self, command: &mut Command) {
        let reach = self.0.clone();
        // SAFETY: the closure makes two system calls and allocates nothing.
        unsafe {
            command.pre_exec(move || match &*reach {
                Reach::Group(group) => group.enter(),
                Reach::Whole(_) => Ok(()),
            });
        }
    }
}

impl Drop for TakenOver {
    fn drop(&mut self) {
        end();
    }
}

/// Ends the takeover of this process, if there is one. To be called before it exits on a signal.
pub fn end() {
    let Some(reach) = LIVE.lock().ok().and_then(|mut live| live.take()) else {
        return;
    };
    let ended = match &*reach {
        Reach::Group(group) => group.end(),
        Reach::Whole(whole) => whole.end().map(|()| End::Removed),
    };
    match ended {
        Ok(End::Removed) => {}
        Ok(End::Populated(path)) => eprintln!(
            "processes of the command go on in {}, taken over: takeover stays on for them",
            path.display()
        ),
        Err(error) => {
            eprintln!("cannot end takeover: {error:#}: end it with repoll-takeover off");
        }
    }
}
