// SPDX-License-Identifier: GPL-2.0
//! Runs the program as a child, and stands in for it: signals go to it, its end becomes ours.

use anyhow::{ensure, Result};
use std::io::Error;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// Signals that are meant for the program when they are sent to us.
const FORWARDED: [i32; 6] = [
    libc::SIGHUP,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGWINCH,
];

/// Signals that a terminal sends to the program too.
const TERMINAL: [i32; 2] = [libc::SIGINT, libc::SIGQUIT];

static CHILD: AtomicI32 = AtomicI32::new(0);

/// How the program ended.
pub struct End(i32);

impl End {
    /// Ends as the program did: with its exit status, or by the same signal.
    pub fn pass_on(self) -> ExitCode {
        if libc::WIFSIGNALED(self.0) {
            let signal = libc::WTERMSIG(self.0);
            let no_core = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            // The core, if any, is the program's.
            // SAFETY: the limit is only read, no handler is given, and the rest are numbers.
            unsafe {
                libc::setrlimit(libc::RLIMIT_CORE, &no_core);
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
            return ExitCode::from((128 + signal) as u8);
        }
        ExitCode::from(libc::WEXITSTATUS(self.0) as u8)
    }
}

/// Runs `program` in a child, which ends with the status that it returns if it returns at all, and
/// waits for its end. To be called while there is only one thread.
pub fn run(program: impl FnOnce() -> u8) -> Result<End> {
    let before = block();
    // SAFETY: there is only one thread, so the child can go on as any process.
    let child = unsafe { libc::fork() };
    ensure!(child >= 0, "cannot fork: {}", Error::last_os_error());
    if child == 0 {
        set_mask(&before);
        std::process::exit(program().into());
    }
    CHILD.store(child, Relaxed);
    for signal in TERMINAL {
        // SAFETY: no handler is given.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    for signal in FORWARDED {
        let handler = forward as extern "C" fn(i32);
        // SAFETY: the handler does only what is allowed in one.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
    set_mask(&before);
    wait(child)
}

fn wait(child: i32) -> Result<End> {
    let mut status = 0;
    loop {
        // SAFETY: the status is ours.
        if unsafe { libc::waitpid(child, &mut status, 0) } == child {
            CHILD.store(0, Relaxed);
            return Ok(End(status));
        }
        let error = Error::last_os_error();
        ensure!(
            error.raw_os_error() == Some(libc::EINTR),
            "cannot wait for the program: {error}"
        );
    }
}

extern "C" fn forward(signal: i32) {
    let child = CHILD.load(Relaxed);
    if child > 0 {
        // SAFETY: takes numbers, and may be called in a handler.
        unsafe { libc::kill(child, signal) };
    }
}

/// Blocks what [`run`] is going to forward, and returns the mask of before.
fn block() -> libc::sigset_t {
    // SAFETY: the sets are ours, and initialised before they are used.
    unsafe {
        let (mut set, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigemptyset(&mut set);
        for signal in FORWARDED.into_iter().chain(TERMINAL) {
            libc::sigaddset(&mut set, signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &set, &mut before);
        before
    }
}

fn set_mask(mask: &libc::sigset_t) {
    // SAFETY: the set is a valid one, and only read.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
}
