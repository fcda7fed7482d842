// SPDX-License-Identifier: GPL-2.0
//! Ends the program tidily on ctrl-c.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{exit, Command};
use std::sync::atomic::{AtomicBool, Ordering};

/// The signals that ask a program to end.
const ENDING: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Whether a signal has asked the program to end: [`ask_first`].
static ASKED: AtomicBool = AtomicBool::new(false);

/// Runs `cleanup` and ends the program when a signal asks it to end.
///
/// To be called before any other thread is started, for threads inherit the mask that it sets.
/// Children inherit it too, so start them with [`unmasked`].
pub fn on_end(cleanup: impl Fn() + Send + 'static) {
    wait(0, cleanup);
}

/// The same, but the first signal only makes [`asked`] true: the program ends by itself.
pub fn ask_first(cleanup: impl Fn() + Send + 'static) {
    wait(1, cleanup);
}

/// Whether the program shall end.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

fn wait(asks: usize, cleanup: impl Fn() + Send + 'static) {
    let set = ending();
    // SAFETY: `set` is a valid signal set; no old mask is asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    std::thread::spawn(move || {
        let mut signal = 0;
        for _ in 0..asks {
            // SAFETY: both are valid for the time of the call.
            unsafe { libc::sigwait(&set, &mut signal) };
            ASKED.store(true, Ordering::Relaxed);
        }
        // SAFETY: as above.
        if unsafe { libc::sigwait(&set, &mut signal) } == 0 {
            cleanup();
            exit(128 + signal);
        }
    });
}

/// Makes the child start with the signals that [`on_end`] holds back in us.
pub fn unmasked(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only async-signal-safe functions are called.
    unsafe {
        command.pre_exec(|| {
            let set = ending();
            match libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut()) {
                0 => Ok(()),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        })
    }
}

fn ending() -> libc::sigset_t {
    // SAFETY: all zeroes is a valid value, and sigemptyset makes it the empty set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in ENDING {
            libc::sigaddset(&mut set, signal);
        }
        set
    }
}
