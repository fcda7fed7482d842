// SPDX-License-Identifier: GPL-2.0
//! Restores the inherited state that the Rust runtime changes before `main`: it ignores SIGPIPE,
//! and opens /dev/null in place of a closed standard descriptor.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const STANDARD: usize = 3;

static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);
static CLOSED: [AtomicBool; STANDARD] = [const { AtomicBool::new(false) }; STANDARD];

/// Runs before the Rust runtime, which starts in C's `main`.
#[used]
#[link_section = ".init_array"]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    // SAFETY: all zeros are a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: no new action is given, and `action` can be written.
    unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), &mut action) };
    SIGPIPE_IGNORED.store(action.sa_sigaction == libc::SIG_IGN, Relaxed);
    for (fd, closed) in (0..).zip(&CLOSED) {
        // SAFETY: `fcntl` takes only numbers here.
        closed.store(unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0, Relaxed);
    }
}

/// Restores both before the program is executed.
pub fn restore() {
    let action = match SIGPIPE_IGNORED.load(Relaxed) {
        true => libc::SIG_IGN,
        false => libc::SIG_DFL,
    };
    // SAFETY: no handler is given.
    unsafe { libc::signal(libc::SIGPIPE, action) };
    for (fd, closed) in (0..).zip(&CLOSED) {
        if closed.load(Relaxed) {
            // SAFETY: `fcntl` takes only numbers here; /dev/null stays open until the execution.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}
