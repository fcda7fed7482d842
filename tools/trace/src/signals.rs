// SPDX-License-Identifier: GPL-2.0
//! Cleans up before the program ends on a signal such as ctrl-c.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{exit, Command};
use std::sync::atomic::{AtomicBool, Ordering};

/// The signals that end a program.
const ENDING: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Whether a signal has asked the program to end; see [`ask_first`].
static ASKED: AtomicBool = AtomicBool::new(false);

/// Runs `cleanup` and exits when a signal asks the program to end.
///
/// Call it before any thread is started: threads inherit the signal mask that it sets. Child
/// processes inherit it, too, so start them with [`unmasked`].
pub fn on_end(cleanup: impl Fn() + Send + 'static) {
    wait(0, cleanup);
}

/// Sets [`asked`] on the first signal; runs `cleanup` and exits on the second one.
pub fn ask_first(cleanup: impl Fn() + Send + 'static) {
    wait(1, cleanup);
}

/// Whether a signal has asked the program to end.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

fn wait(asks: usize, cleanup: impl Fn() + Send + 'static) {
    let set = ending();
    // SAFETY: `set` is a valid signal set; a null pointer is allowed for the old mask.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    std::thread::spawn(move || {
        let mut signal = 0;
        for _ in 0..asks {
            // SAFETY: both references are valid during the call.
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

/// Makes a child process start without the signal mask of [`on_end`].
pub fn unmasked(command: &mut Command) -> &mut Command {
    // SAFETY: the closure calls only async-signal-safe functions between fork and exec.
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
    // SAFETY: all zeroes is a valid sigset_t; sigemptyset() makes it the empty set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in ENDING {
            libc::sigaddset(&mut set, signal);
        }
        set
    }
}
