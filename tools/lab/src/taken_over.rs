// SPDX-License-Identifier: GPL-2.0
//! Experiments whose calls of epoll, select and poll are taken over.

use anyhow::{ensure, Context as _, Result};
use repoll::{Takeover, TakeoverCalls, TakeoverMode};
use repoll_testkit::multiplexer::Epoll;
use repoll_testkit::scanner::{self, Kernel, Poll, Select};
use repoll_testkit::side::Side as Code;
use repoll_testkit::skip::skip;
use repoll_testkit::takeover::Member;
use std::io;
use std::sync::Mutex;

/// The takeover of this process, which [`end`] ends.
static LIVE: Mutex<Option<Member>> = Mutex::new(None);

/// Takeover that lasts until this is dropped.
struct TakenOver;

impl TakenOver {
    /// Moves this process to a group whose calls are taken over.
    fn begin() -> Result<Self> {
        // The lock is held meanwhile, so that end() misses nothing.
        let mut live = LIVE.lock().ok().context("a thread has panicked")?;
        match Member::of_a_group(TakeoverCalls::all()) {
            Ok(member) => *live = Some(member),
            Err(error) => match obstacle(&error) {
                Some(obstacle) => return skip(obstacle),
                None => return Err(error),
            },
        }
        Ok(Self)
    }
}

impl Drop for TakenOver {
    fn drop(&mut self) {
        end();
    }
}

/// Ends the takeover of this process, if there is one. To be called before it exits early.
pub fn end() {
    drop(LIVE.lock().ok().and_then(|mut live| live.take()));
}

/// The reason for which this kernel allows no takeover, if that is the error.
fn obstacle(error: &anyhow::Error) -> Option<&'static str> {
    match error.downcast_ref::<io::Error>()?.raw_os_error()? {
        libc::EOPNOTSUPP => Some("it can't be taken over; dmesg says why"),
        libc::EBUSY => Some("livepatch or BPF replaces one of the functions; dmesg says which"),
        _ => None,
    }
}

/// Runs an experiment with its calls taken over. It is skipped where the kernel allows no takeover.
pub fn run<T>(experiment: impl FnOnce() -> Result<T>) -> Result<T> {
    let taken_over = TakenOver::begin()?;
    carries_all_calls()?;
    let result = experiment();
    let mode = Takeover::open()?.status()?.mode;
    drop(taken_over);
    ensure!(
        matches!(mode, TakeoverMode::Cgroup(_)),
        "takeover ended before the experiment did; dmesg says why"
    );
    result
}

/// Checks that repoll serves the kernel's calls of this process, each of them.
fn carries_all_calls() -> Result<()> {
    ensure!(
        Code::Repoll.has_made(&Epoll::of_any_side()?),
        "epoll is not taken over"
    );
    scanner::is_taken_over(&Poll(Kernel)).context("poll is not taken over")?;
    scanner::is_taken_over(&Select(Kernel)).context("select is not taken over")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kernel_without_takeover_is_an_obstacle() {
        let error = |number| {
            let error = anyhow::Error::new(io::Error::from_raw_os_error(number));
            error.context("cannot switch takeover on")
        };
        assert!(obstacle(&error(libc::EOPNOTSUPP)).is_some());
        assert!(obstacle(&error(libc::EBUSY)).is_some());
        assert_eq!(obstacle(&error(libc::EPERM)), None);
    }
}
