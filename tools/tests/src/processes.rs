// SPDX-License-Identifier: GPL-2.0
//! Child processes.

use crate::compat;
use crate::sys::{self, check, owned};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

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

    /// Whether it ends within the limit.
    pub fn ends_within(&self, limit: Duration) -> io::Result<bool> {
        sys::poll_in(pidfd(self.0 as u32)?.as_fd(), limit)
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
        loop {
            // SAFETY: `status` lives through the call.
            match check(unsafe { libc::waitpid(self.0, &mut status, 0) }) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    result?;
                    break;
                }
            }
        }
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

/// The calling thread, as the kernel numbers it.
pub fn this_thread() -> libc::pid_t {
    // SAFETY: the call takes nothing and does not fail.
    unsafe { libc::gettid() }
}

/// The number that begins `/proc/N/syscall`; `None` if the thread is running.
pub fn number_of_call(line: &str) -> Option<libc::c_long> {
    line.split(' ').next()?.parse().ok()
}

/// Waits until a thread, or a process of one thread, sleeps in a WAIT of either make.
pub fn eventually_waits(thread: libc::pid_t) -> anyhow::Result<()> {
    // epoll_pwait2 has the same number for 32-bit programs.
    const CALLS: [libc::c_long; 3] = [
        libc::SYS_ioctl,
        compat::IOCTL as libc::c_long,
        libc::SYS_epoll_pwait2,
    ];
    crate::support::eventually("the thread sleeps in WAIT", || {
        let read = |name| std::fs::read_to_string(format!("/proc/{thread}/{name}"));
        // It may wait for a lock there.
        let call = number_of_call(&read("syscall")?);
        let in_wait = call.is_some_and(|call| CALLS.contains(&call));
        // The name before it may hold anything.
        let state = read("stat")?;
        let state = state.rsplit_once(") ").map_or("", |(_, rest)| rest);
        Ok(in_wait && state.starts_with('S'))
    })
}

/// Has the calling thread run on this CPU only.
pub fn run_on(cpu: usize) -> io::Result<()> {
    // SAFETY: all zeroes is an empty set, in whose range the CPU is.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        check(libc::sched_setaffinity(0, size_of_val(&set), &set)).map(drop)
    }
}

/// Has the calling thread run before all that are not of real time.
pub fn run_first() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters live through the call.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) }).map(drop)
}

/// Has the calling thread be one of real time whose children are not.
pub fn reset_children_of_real_time() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the parameters live through the call.
    check(unsafe { libc::sched_setscheduler(0, policy, &parameters) }).map(drop)
}

/// Becomes another user, for good.
pub fn become_user(id: u32) -> io::Result<()> {
    // SAFETY: the call takes a number only.
    check(unsafe { libc::setuid(id) }).map(drop)
}

/// Gives up one of the capabilities that are in force.
pub fn give_up(capability: u32) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    // Effective, permitted, inheritable; the capabilities from 32 on in the second half.
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: the header and room for the sets, as version 3 has them, live through the calls.
    unsafe {
        check(libc::syscall(libc::SYS_capget, &header, &mut sets))?;
        sets[capability as usize / 32][0] &= !(1 << (capability % 32));
        check(libc::syscall(libc::SYS_capset, &header, &sets)).map(drop)
    }
}
