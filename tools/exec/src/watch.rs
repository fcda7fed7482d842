// SPDX-License-Identifier: GPL-2.0
//! Runs the program as a child and represents it: forwards signals to it, and stops and ends as the
//! program does.

use anyhow::{ensure, Result};
use std::io::Error;
use std::mem::zeroed;
use std::process::ExitCode;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// Signals that are not forwarded to the program; all others are.
const OURS: [i32; 10] = [
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGCHLD,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGPIPE,
    libc::SIGSYS,
];

/// Signals that the terminal also sends to the program, which is in the same process group.
const TERMINAL: [i32; 7] = [
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGHUP,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGWINCH,
];

static CHILD: AtomicI32 = AtomicI32::new(0);

/// The program's wait status.
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
            // Only the program dumps core. SAFETY: the limit is only read, no handler is given, and
            // the other arguments are numbers.
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

/// Runs `program` in a child and waits for its end. If `program` returns, the child exits with the
/// returned status. Must be called while there is only one thread.
pub fn run(program: impl FnOnce() -> u8) -> Result<End> {
    // SAFETY: the sets can be written, and are initialised before they are used.
    let (all, before) = unsafe {
        let (mut all, mut before) = (zeroed(), zeroed());
        libc::sigfillset(&mut all);
        libc::sigprocmask(libc::SIG_BLOCK, &all, &mut before);
        (all, before)
    };
    // If our caller ignores SIGCHLD, the status of a child would be lost.
    // SAFETY: no handler is given.
    let child_signal = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    // SAFETY: there is only one thread, so the child may call any function.
    let child = unsafe { libc::fork() };
    ensure!(child >= 0, "cannot fork: {}", Error::last_os_error());
    if child == 0 {
        // SAFETY: the action is the previous one, the default or SIG_IGN; the set is valid and only
        // read.
        unsafe {
            libc::signal(libc::SIGCHLD, child_signal);
            libc::sigprocmask(libc::SIG_SETMASK, &before, null_mut());
        }
        std::process::exit(program().into());
    }
    CHILD.store(child, Relaxed);
    // Ignored and blocked signals are forwarded, too: the program may handle them.
    for signal in (1..=libc::SIGRTMAX()).filter(|signal| !OURS.contains(signal)) {
        // SAFETY: all zeros are a valid `sigaction`.
        let mut action: libc::sigaction = unsafe { zeroed() };
        let handler = forward as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        action.sa_mask = all;
        // SAFETY: the handler is async-signal-safe. The C library refuses its own two signals.
        unsafe { libc::sigaction(signal, &action, null_mut()) };
    }
    // SAFETY: the set is valid and only read.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &all, null_mut()) };
    wait(child)
}

fn wait(child: i32) -> Result<End> {
    loop {
        // SAFETY: all zeros are a valid `siginfo_t`.
        let mut info: libc::siginfo_t = unsafe { zeroed() };
        let kinds = libc::WEXITED | libc::WSTOPPED;
        // WNOWAIT leaves an ended child unreaped, so its PID is not reused while signals go to it.
        // SAFETY: `info` can be written.
        if unsafe { libc::waitid(libc::P_PID, child as u32, &mut info, kinds | libc::WNOWAIT) } == 0
        {
            if info.si_code == libc::CLD_STOPPED {
                let stops = libc::WSTOPPED | libc::WNOHANG;
                // SAFETY: `info` can be written, and the other arguments are numbers.
                unsafe {
                    libc::waitid(libc::P_PID, child as u32, &mut info, stops);
                    // SIGCONT ends this stop; its handler continues the program.
                    libc::raise(libc::SIGSTOP);
                }
                continue;
            }
            CHILD.store(0, Relaxed);
            let mut status = 0;
            // SAFETY: `status` can be written.
            unsafe { libc::waitpid(child, &mut status, 0) };
            return Ok(End(status));
        }
        let error = Error::last_os_error();
        ensure!(
            error.raw_os_error() == Some(libc::EINTR),
            "cannot wait for the program: {error}"
        );
    }
}

/// Forwards a signal from kill(2) or a timer, which only this process received. The program also
/// received a signal of the terminal, except the hang-up of a session leader.
extern "C" fn forward(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes valid information to each handler.
    let info = unsafe { &*info };
    let by_kernel = info.si_code > 0;
    // SAFETY: both functions are async-signal-safe and take numbers.
    let leads = unsafe { libc::getsid(0) == libc::getpid() };
    if by_kernel && TERMINAL.contains(&signal) && !(signal == libc::SIGHUP && leads) {
        return;
    }
    let child = CHILD.load(Relaxed);
    if child <= 0 {
        return;
    }
    // SAFETY: both functions are async-signal-safe and take numbers. A queued signal has a value.
    unsafe {
        if info.si_code == libc::SI_QUEUE {
            libc::sigqueue(child, signal, info.si_value());
        } else {
            libc::kill(child, signal);
        }
    }
}
