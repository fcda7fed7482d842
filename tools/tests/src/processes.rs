// SPDX-License-Identifier: GPL-2.0
//! Child processes.

use crate::sys::{check, owned};
use std::io;
use std::os::fd::OwnedFd;

/// fork(2): the child does `body` and ends with its result as status.
///
/// Only to be called while the process has one thread.
pub fn fork(body: impl FnOnce() -> i32) -> io::Result<Process> {
    // SAFETY: there is one thread, so the child may do everything.
    match check(unsafe { libc::fork() })? {
        0 => {
            let status = body();
            // SAFETY: ends the process without running the parent's exit handlers.
            unsafe { libc::_exit(status) }
        }
        pid => Ok(Process(pid)),
    }
}

/// A child process.
pub struct Process(pub libc::pid_t);

impl Process {
    /// Sends it a signal.
    pub fn kill(&self, signal: i32) -> io::Result<()> {
        // SAFETY: the call takes numbers only; the child is not yet waited for.
        check(unsafe { libc::kill(self.0, signal) }).map(drop)
    }

    /// Waits until it is stopped by a signal.
    pub fn wait_stopped(&self) -> io::Result<()> {
        let mut status = 0;
        // SAFETY: `status` lives through the call.
        check(unsafe { libc::waitpid(self.0, &mut status, libc::WUNTRACED) })?;
        if !libc::WIFSTOPPED(status) {
            return Err(io::Error::other(format!("the child ended: {status:#x}")));
        }
        Ok(())
    }

    /// Waits for its end: its exit status, or minus the signal that ended it.
    pub fn wait(self) -> io::Result<i32> {
        let mut status = 0;
        // SAFETY: `status` lives through the call.
        check(unsafe { libc::waitpid(self.0, &mut status, 0) })?;
        if libc::WIFSIGNALED(status) {
            return Ok(-libc::WTERMSIG(status));
        }
        Ok(libc::WEXITSTATUS(status))
    }
}

/// Kills a process and all that it started.
pub fn kill_group(leader: u32) {
    // SAFETY: the call takes numbers only. It may fail: then there is nobody left.
    unsafe { libc::kill(-(leader as i32), libc::SIGKILL) };
}

/// pidfd_open(2).
pub fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers only.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}
