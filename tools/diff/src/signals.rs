// SPDX-License-Identifier: GPL-2.0
//! The signals of the tester.
//!
//! SIGUSR1 is for signalfds and always blocked. SIGUSR2 interrupts a wait. Each side has a signal
//! for calls with a mask, whose handler counts.

use repoll::SignalSet;
use repoll_testkit::processes;
use repoll_testkit::side::Side;
use repoll_testkit::signals::{
    change_mask, handle_signal, handle_signal_by, ignore_signal, is_blocked, kill_thread, pending,
    set_of,
};
use repoll_testkit::threads::this_thread;
use rustix::thread::CapabilitySet;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

/// The set that has only SIGUSR1.
pub fn usr1() -> SignalSet {
    set_of(&[libc::SIGUSR1])
}

/// The signal that [`Blocked`] sends for a side.
fn signal_of(side: Side) -> i32 {
    libc::SIGRTMIN() + side as i32
}

/// The set of both signals, and of SIGUSR1.
fn both_signals() -> SignalSet {
    let [kernel, repoll] = Side::ALL.map(signal_of);
    set_of(&[libc::SIGUSR1, kernel, repoll])
}

static HANDLED: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];

extern "C" fn count(signal: i32) {
    let number = (signal - libc::SIGRTMIN()) as usize;
    if let Some(counter) = HANDLED.get(number) {
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// The number of times that the signal of a side was handled.
pub fn handled(side: Side) -> u32 {
    HANDLED[side as usize].load(Ordering::SeqCst)
}

/// Blocks SIGUSR1, catches SIGUSR2, ignores SIGPIPE, for all threads to come; gives up
/// `CAP_BLOCK_SUSPEND`, without which both sides ignore EPOLLWAKEUP.
pub fn prepare_process() -> io::Result<()> {
    change_mask(libc::SIG_BLOCK, &usr1())?;
    ignore_signal(libc::SIGPIPE);
    handle_signal(libc::SIGUSR2, 0)?;
    for side in Side::ALL {
        // SAFETY: the handler only adds to an atomic.
        unsafe { handle_signal_by(signal_of(side), 0, count) }?;
    }
    processes::give_up(CapabilitySet::BLOCK_SUSPEND)
}

/// Interrupts a thread of this process, if it still runs.
pub fn interrupt(thread: i32) {
    let _ = kill_thread(thread, libc::SIGUSR2);
}

/// The mask for a wait: both signals are blocked, or all but the side's.
pub fn mask(side: Side, open: bool) -> SignalSet {
    let mut set = both_signals();
    if open {
        set.remove(signal_of(side));
    }
    set
}

/// Whether the side's signal is pending, and blocked, in this thread.
pub fn is_pending(side: Side) -> bool {
    let signal = signal_of(side);
    pending().is_ok_and(|set| set.contains(signal)) && is_blocked(signal)
}

/// While it lives, both signals are blocked in this thread; they are sent to it at the start.
pub struct Blocked;

impl Blocked {
    /// Blocks the signals, then sends them.
    pub fn new() -> Self {
        // The set is valid, and the thread is this one: there is no error.
        let _ = change_mask(libc::SIG_BLOCK, &both_signals());
        for side in Side::ALL {
            let _ = kill_thread(this_thread(), signal_of(side));
        }
        Self
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let mut set = both_signals();
        set.remove(libc::SIGUSR1);
        let _ = change_mask(libc::SIG_UNBLOCK, &set);
    }
}
