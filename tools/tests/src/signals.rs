// SPDX-License-Identifier: GPL-2.0
//! Signals: sent, handled, blocked.

use crate::sys::{check, owned};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A thread, to send signals to.
#[derive(Clone, Copy)]
pub struct Thread(libc::pthread_t);

impl Thread {
    /// The calling thread.
    pub fn current() -> Self {
        // SAFETY: it is always there.
        Self(unsafe { libc::pthread_self() })
    }

    /// Sends it a signal. It must not have been joined.
    pub fn kill(self, signal: i32) {
        // SAFETY: by the contract of this function the thread is still there.
        unsafe { libc::pthread_kill(self.0, signal) };
    }
}

/// A set of signals.
pub fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: all zeroes is a valid set, which sigemptyset makes the empty one.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        set
    }
}

/// Blocks a signal in the calling thread.
pub fn block_signal(signal: i32) {
    // SAFETY: the set lives through the call, and no old one is asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set_of(&[signal]), null_mut()) };
}

/// Whether a signal is blocked in the calling thread.
pub fn is_blocked(signal: i32) -> bool {
    // SAFETY: the current mask is written to `set`, and nothing is changed.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
        libc::sigismember(&set, signal) == 1
    }
}

/// How often the handler of [`handle_signal`] has run.
pub static HANDLED: AtomicUsize = AtomicUsize::new(0);

/// Installs a handler that only counts, with these flags (`SA_RESTART`, say).
pub fn handle_signal(signal: i32, flags: i32) -> io::Result<()> {
    extern "C" fn count(_: i32) {
        HANDLED.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: all zeroes is a valid value; the handler may run at any time.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as extern "C" fn(i32) as usize;
        action.sa_flags = flags;
        check(libc::sigaction(signal, &action, null_mut())).map(drop)
    }
}

/// kill(2) to this process as a whole.
pub fn signal_this_process(signal: i32) -> io::Result<()> {
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::kill(libc::getpid(), signal) }).map(drop)
}

/// signalfd(2) for one signal, which is blocked in this thread first.
pub fn signalfd(signal: i32) -> io::Result<OwnedFd> {
    block_signal(signal);
    // SAFETY: the set lives through the call.
    owned(unsafe {
        libc::signalfd(
            -1,
            &set_of(&[signal]),
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        )
        .into()
    })
}

/// The next signal that a signalfd has; `None` if there is none.
pub fn next_signal(signalfd: &OwnedFd) -> io::Result<Option<libc::signalfd_siginfo>> {
    // SAFETY: all zeroes is a valid value; it may be written for its length.
    unsafe {
        let mut info: libc::signalfd_siginfo = std::mem::zeroed();
        let address = (&raw mut info).cast();
        match check(libc::read(
            signalfd.as_raw_fd(),
            address,
            size_of_val(&info),
        )) {
            Ok(_) => Ok(Some(info)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}
