// SPDX-License-Identifier: GPL-2.0
//! Threads that go to sleep, and how to see that they do.

use crate::sys;
use anyhow::{anyhow, bail, Context, Result};
use std::fs;
use std::sync::mpsc;
use std::thread::{sleep, Builder, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// How long a thread may take to do what it must come to: a machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long to wait before something is done again.
pub const A_MOMENT: Duration = Duration::from_millis(20);

/// A thread of an experiment.
pub struct Actor<'s, T> {
    thread: ScopedJoinHandle<'s, Result<T>>,
    pub tid: i32,
}

/// Starts one, by a name that recordings show.
pub fn start<'s, T: Send + 's>(
    threads: &'s Scope<'s, '_>,
    name: &str,
    act: impl FnOnce() -> Result<T> + Send + 's,
) -> Result<Actor<'s, T>> {
    let (told, tid) = mpsc::channel();
    let thread = Builder::new()
        .name(name.to_owned())
        .spawn_scoped(threads, move || {
            // Recordings know a thread by the name that it has when it begins to run.
            sleep(Duration::from_micros(1));
            // If nobody listens, nobody wants to know.
            let _ = told.send(sys::thread_number());
            act()
        })?;
    let tid = tid.recv()?;
    Ok(Actor { thread, tid })
}

impl<T> Actor<'_, T> {
    /// Waits until it sleeps in a way that a signal can end, and its CPU is another's: the kernel tells where
    /// a thread sleeps only of those that are not in a run queue. The state alone is S a little sooner.
    pub fn until_asleep(&self) -> Result<()> {
        let start = Instant::now();
        while !self.is_asleep()? || self.sleeps_in()? == "0" {
            if self.has_ended() {
                bail!("it returned, and did not go to sleep");
            }
            if start.elapsed() > PATIENCE {
                bail!("it does not go to sleep");
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Whether it sleeps now: state S of proc(5).
    pub fn is_asleep(&self) -> Result<bool> {
        let path = format!("/proc/self/task/{}/stat", self.tid);
        let Ok(stat) = fs::read_to_string(path) else {
            // It has ended.
            return Ok(false);
        };
        let (_, rest) = stat.rsplit_once(')').context("an odd stat file")?;
        Ok(rest.trim_start().starts_with('S'))
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// In which function of the kernel it sleeps.
    pub fn sleeps_in(&self) -> Result<String> {
        let symbol = fs::read_to_string(format!("/proc/self/task/{}/wchan", self.tid))?;
        Ok(plain(&symbol).to_owned())
    }

    /// Waits until it has ended, and returns what came of it.
    pub fn end(self) -> Result<T> {
        self.thread
            .join()
            .map_err(|_| anyhow!("a thread has panicked"))?
    }
}

/// The last name in a symbol of Rust's, which has its length before it; other symbols as they are, but for
/// what the compiler adds.
fn plain(symbol: &str) -> &str {
    if symbol.starts_with("_R") {
        for (at, _) in symbol.char_indices() {
            let (length, name) = symbol.split_at(at);
            let digits = length.len() - length.trim_end_matches(|c: char| c.is_ascii_digit()).len();
            if digits > 0 && length[at - digits..].parse() == Ok(name.len()) {
                return name;
            }
        }
    }
    symbol.split('.').next().unwrap_or(symbol)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn symbols_are_plain() {
        let rust = "_RNvNtNtCsafFBGQp5BU9_11repoll_main9eventpoll4wait17sleep_and_deliver";
        assert_eq!(plain(rust), "sleep_and_deliver");
        assert_eq!(
            plain("poll_schedule_timeout.constprop.0"),
            "poll_schedule_timeout"
        );
        assert_eq!(plain("do_epoll_wait"), "do_epoll_wait");
        assert_eq!(plain("_Rodd"), "_Rodd");
        assert_eq!(plain("0"), "0");
    }
}
