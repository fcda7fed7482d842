// SPDX-License-Identifier: GPL-2.0
//! Threads: their numbers, what they sleep in, and where they run.

use crate::compat;
use rustix::process::Pid;
use rustix::thread::CpuSet;
use std::fs;
use std::io;

/// The calling thread, as the kernel numbers it.
pub fn this_thread() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// The number that begins `/proc/N/syscall`; `None` if the thread is running.
pub fn number_of_call(line: &str) -> Option<libc::c_long> {
    line.split(' ').next()?.parse().ok()
}

/// The letter for the state in the text of `/proc/N/stat`.
pub fn state(stat: &str) -> Option<char> {
    // The name before it may hold anything.
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a thread of any process sleeps so that a signal ends the sleep.
pub fn is_asleep(thread: i32) -> io::Result<bool> {
    Ok(state(&fs::read_to_string(format!("/proc/{thread}/stat"))?) == Some('S'))
}

/// Whether a thread sleeps in a WAIT of either side, or in another ioctl.
pub fn is_in_wait(thread: i32) -> io::Result<bool> {
    // epoll_pwait2 has the same number for 32-bit programs.
    const CALLS: [libc::c_long; 3] = [
        libc::SYS_ioctl,
        compat::IOCTL as libc::c_long,
        libc::SYS_epoll_pwait2,
    ];
    // It may sleep in another call, waiting for a lock.
    let call = number_of_call(&fs::read_to_string(format!("/proc/{thread}/syscall"))?);
    Ok(call.is_some_and(|call| CALLS.contains(&call)) && is_asleep(thread)?)
}

/// Has the calling thread run on this CPU only.
pub fn run_on(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None::<Pid>, &set)?)
}

/// Sets the scheduling policy of the calling thread.
pub fn schedule(policy: i32, priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: the parameters live through the call, which reads them.
    crate::raw::check(unsafe { libc::sched_setscheduler(0, policy, &parameters) })
}

/// Has the calling thread run before all that are not of real time.
pub fn run_first() -> io::Result<()> {
    schedule(libc::SCHED_FIFO, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_found_after_any_name() {
        assert_eq!(state("12 (a) b) S 1 2"), Some('S'));
        assert_eq!(state("12"), None);
    }

    #[test]
    fn this_thread_is_not_asleep() -> io::Result<()> {
        assert!(!is_asleep(this_thread())?);
        Ok(())
    }
}
