// SPDX-License-Identifier: GPL-2.0
//! Child processes.

use crate::files::poll_in;
use crate::raw::check;
use rustix::process::{self, Pid, PidfdFlags, Signal, WaitOptions};
use rustix::thread::{CapabilitySet, Uid};
use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A result that a child ends with.
pub trait Status {
    /// The exit status.
    fn status(self) -> i32;
}

impl Status for i32 {
    fn status(self) -> i32 {
        self
    }
}

impl Status for () {
    fn status(self) -> i32 {
        0
    }
}

/// The status of a child that failed.
pub const FAILED: i32 = 100;

impl<T: Status, E: Display> Status for Result<T, E> {
    fn status(self) -> i32 {
        self.map_or_else(
            |error| {
                eprintln!("in the child: {error:#}");
                FAILED
            },
            T::status,
        )
    }
}

/// fork(2): the child does `body` and ends with its result as status; [`FAILED`] for an error.
///
/// Only to be called while the process has one thread, or with a `body` that takes no lock that
/// another thread may hold.
pub fn fork<T: Status>(body: impl FnOnce() -> T) -> io::Result<Process> {
    // SAFETY: by the contract of this function the child needs nothing that another thread may
    // hold.
    let pid = unsafe { libc::fork() };
    check(pid)?;
    if pid == 0 {
        end(body().status());
    }
    Ok(Process(pid))
}

/// Ends this process at once, without running exit handlers.
pub fn end(status: i32) -> ! {
    // SAFETY: it does not return; what the exit handlers would do is left undone on purpose.
    unsafe { libc::_exit(status) }
}

/// A child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(pub i32);

impl Process {
    fn pid(self) -> io::Result<Pid> {
        pid(self.0)
    }

    /// Sends it a signal.
    pub fn kill(self, signal: i32) -> io::Result<()> {
        kill(self.0, signal)
    }

    /// Kills it and waits for its end, as [`Process::wait`].
    pub fn kill_and_wait(self) -> io::Result<i32> {
        self.kill(libc::SIGKILL)?;
        self.wait()
    }

    /// Whether it ends within the limit.
    pub fn ends_within(self, limit: Duration) -> io::Result<bool> {
        poll_in(pidfd(self.0)?, limit)
    }

    /// Waits until it is stopped by a signal.
    pub fn wait_stopped(self) -> io::Result<()> {
        match process::waitpid(Some(self.pid()?), WaitOptions::UNTRACED)? {
            Some((_, status)) if status.stopped() => Ok(()),
            ended => Err(io::Error::other(format!("the child ended: {ended:?}"))),
        }
    }

    /// Whether it has ended, or never was.
    pub fn has_ended(self) -> bool {
        let Ok(pid) = self.pid() else { return true };
        !matches!(process::waitpid(Some(pid), WaitOptions::NOHANG), Ok(None))
    }

    /// Waits for its end: its exit status, or minus the signal that ended it.
    pub fn wait(self) -> io::Result<i32> {
        let pid = self.pid()?;
        let wait = || process::waitpid(Some(pid), WaitOptions::empty());
        let Some((_, status)) = rustix::io::retry_on_intr(wait)? else {
            return Err(io::Error::other("the child has not ended"));
        };
        let by_signal = status.terminating_signal().map(|signal| -signal);
        Ok(by_signal.or(status.exit_status()).unwrap_or(0))
    }
}

fn pid(number: i32) -> io::Result<Pid> {
    let pid = (number > 0).then(|| Pid::from_raw(number)).flatten();
    pid.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}

/// Sends a signal to a process.
pub fn kill(process: i32, signal: i32) -> io::Result<()> {
    match Signal::from_named_raw(signal) {
        Some(signal) => Ok(process::kill_process(pid(process)?, signal)?),
        None => Err(io::Error::from_raw_os_error(libc::EINVAL)),
    }
}

/// Kills a process and all that it started.
pub fn kill_group(leader: i32) {
    if let Ok(leader) = pid(leader) {
        // It fails if nobody is left.
        let _ = process::kill_process_group(leader, Signal::KILL);
    }
}

/// The parent of this process; 0 if it is in another process namespace.
pub fn parent() -> i32 {
    Pid::as_raw(process::getppid())
}

/// pidfd_open(2).
pub fn pidfd(process: i32) -> io::Result<OwnedFd> {
    Ok(process::pidfd_open(pid(process)?, PidfdFlags::empty())?)
}

/// Becomes another user, for good.
pub fn become_user(id: u32) -> io::Result<()> {
    Ok(rustix::thread::set_thread_uid(Uid::from_raw(id))?)
}

/// Moves the calling thread into new namespaces, by the flags of unshare(2).
pub fn unshare(namespaces: i32) -> io::Result<()> {
    assert!(namespaces & libc::CLONE_FILES == 0, "not a namespace");
    // SAFETY: the table of descriptors stays shared.
    check(unsafe { libc::unshare(namespaces) })
}

/// Gives up capabilities that are in force.
pub fn give_up(capabilities: CapabilitySet) -> io::Result<()> {
    let mut sets = rustix::thread::capabilities(None)?;
    sets.effective.remove(capabilities);
    Ok(rustix::thread::set_capabilities(None, sets)?)
}
