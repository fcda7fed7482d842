// SPDX-License-Identifier: GPL-2.0
//! Threads that go to sleep, and the observation that they do.

use anyhow::{anyhow, bail, Result};
use repoll_testkit::threads::{is_asleep, this_thread};
use std::fs;
use std::sync::mpsc;
use std::thread::{sleep, Builder, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// The limit for a thread to reach a state that it must reach, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The pause before a step is repeated.
pub const A_MOMENT: Duration = Duration::from_millis(20);

/// A thread of an experiment.
pub struct Actor<'s, T> {
    thread: ScopedJoinHandle<'s, Result<T>>,
    pub tid: i32,
}

/// Starts one, with a name that recordings show.
pub fn start<'s, T: Send + 's>(
    threads: &'s Scope<'s, '_>,
    name: &str,
    act: impl FnOnce() -> Result<T> + Send + 's,
) -> Result<Actor<'s, T>> {
    let (sender, receiver) = mpsc::channel();
    let thread = Builder::new()
        .name(name.to_owned())
        .spawn_scoped(threads, move || {
            // A recording shows the name that the thread has when it first runs.
            sleep(Duration::from_micros(1));
            // The receiver is gone only if the experiment has failed.
            let _ = sender.send(this_thread());
            act()
        })?;
    let tid = receiver.recv()?;
    Ok(Actor { thread, tid })
}

impl<T> Actor<'_, T> {
    /// Waits until the thread is in interruptible sleep and off its run queue. The state is S a
    /// little sooner; only then does the kernel show the function in which it sleeps.
    pub fn until_asleep(&self) -> Result<()> {
        let start = Instant::now();
        while !self.is_asleep() || self.sleeps_in()? == "0" {
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
    pub fn is_asleep(&self) -> bool {
        // It fails if the thread has ended.
        is_asleep(self.tid).unwrap_or(false)
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// The function of the kernel in which it sleeps.
    pub fn sleeps_in(&self) -> Result<String> {
        let symbol = fs::read_to_string(format!("/proc/self/task/{}/wchan", self.tid))?;
        Ok(plain(&symbol).to_owned())
    }

    /// Waits for its end, and returns its result.
    pub fn end(self) -> Result<T> {
        self.thread
            .join()
            .map_err(|_| anyhow!("a thread has panicked"))?
    }
}

/// The function's name in a symbol: the last name of a mangled Rust symbol, after its length; other
/// symbols without the suffix that the compiler adds.
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
