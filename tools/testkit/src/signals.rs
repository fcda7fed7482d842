// SPDX-License-Identifier: GPL-2.0
//! Signals: sent, handled, blocked.

use crate::files::read;
use crate::processes::kill;
use crate::raw::{self, check};
use crate::threads::this_thread;
use repoll::SignalSet;
use std::io;
use std::os::fd::OwnedFd;
use std::ptr::{from_mut, from_ref, null_mut};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The size of the kernel's signal set.
const SIZE: usize = size_of::<SignalSet>();

/// A signal mask: its address and its size; 0 for none. The kernel only reads it.
#[derive(Clone, Copy, Default)]
pub struct Mask {
    pub(crate) address: usize,
    pub(crate) size: usize,
    pub(crate) signals: Option<SignalSet>,
}

impl Mask {
    /// The mask `signals`. It must live through the call.
    pub fn of(signals: &SignalSet) -> Self {
        Self {
            address: from_ref(signals) as usize,
            size: SIZE,
            signals: Some(*signals),
        }
    }

    /// Anything in place of a mask.
    pub fn at(address: usize, size: usize) -> Self {
        Self {
            address,
            size,
            signals: None,
        }
    }
}

/// A thread of this process, to send signals to.
#[derive(Clone, Copy)]
pub struct Thread(i32);

impl Thread {
    /// The calling thread.
    pub fn current() -> Self {
        Self(this_thread())
    }

    /// Sends it a signal, if it has not ended.
    pub fn kill(self, signal: i32) {
        // Without a thread there is nobody to interrupt.
        let _ = kill_thread(self.0, signal);
    }
}

/// tgkill(2): sends a signal to a thread of this process.
pub fn kill_thread(thread: i32, signal: i32) -> io::Result<()> {
    let process = std::process::id() as usize;
    // SAFETY: the call takes numbers only.
    unsafe {
        raw::syscall(
            libc::SYS_tgkill,
            [process, thread as usize, signal as usize],
        )
    }
    .map(drop)
}

/// A set of signals.
pub fn set_of(signals: &[i32]) -> SignalSet {
    signals.iter().copied().collect()
}

/// Changes the mask of the calling thread by `how`, and returns the mask before.
pub fn change_mask(how: i32, set: &SignalSet) -> io::Result<SignalSet> {
    let mut before = SignalSet::empty();
    let (new, old) = (from_ref(set) as usize, from_mut(&mut before) as usize);
    // SAFETY: both are the kernel's signal sets, and live through the call.
    unsafe { raw::syscall(libc::SYS_rt_sigprocmask, [how as usize, new, old, SIZE]) }?;
    Ok(before)
}

/// Blocks a signal in the calling thread.
pub fn block_signal(signal: i32) -> io::Result<()> {
    change_mask(libc::SIG_BLOCK, &set_of(&[signal])).map(drop)
}

/// Whether a signal is blocked in the calling thread.
pub fn is_blocked(signal: i32) -> bool {
    change_mask(libc::SIG_BLOCK, &SignalSet::empty()).is_ok_and(|mask| mask.contains(signal))
}

/// The signals that are sent to the calling thread or its process, and blocked.
pub fn pending() -> io::Result<SignalSet> {
    let mut set = SignalSet::empty();
    // SAFETY: it is the kernel's signal set, and lives through the call.
    unsafe { raw::syscall(libc::SYS_rt_sigpending, [from_mut(&mut set) as usize, SIZE]) }?;
    Ok(set)
}

/// Takes back the pending signals of a set.
pub fn forget(set: &SignalSet) {
    let now = [0u64; 2];
    let arguments = [from_ref(set) as usize, 0, from_ref(&now) as usize, SIZE];
    // SAFETY: set and time live through the call, which writes nothing.
    while unsafe { raw::syscall(libc::SYS_rt_sigtimedwait, arguments) }.is_ok() {}
}

/// The number of times that the handler of [`handle_signal`] has run.
pub static HANDLED: AtomicUsize = AtomicUsize::new(0);

/// Installs a handler that only counts, with these flags (`SA_RESTART`, say).
pub fn handle_signal(signal: i32, flags: i32) -> io::Result<()> {
    extern "C" fn count(_: i32) {
        HANDLED.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: the handler only adds to an atomic.
    unsafe { handle_signal_by(signal, flags, count) }
}

/// Installs a handler.
///
/// # Safety
///
/// The handler may run at any time: it does only what signal-safety(7) permits.
pub unsafe fn handle_signal_by(
    signal: i32,
    flags: i32,
    handler: extern "C" fn(i32),
) -> io::Result<()> {
    // SAFETY: all zeroes is a valid action; the handler is the caller's business.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = flags;
        check(libc::sigaction(signal, &action, null_mut()))
    }
}

/// Ignores a signal.
pub fn ignore_signal(signal: i32) {
    // SAFETY: no handler is installed.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// kill(2) to this process as a whole.
pub fn signal_this_process(signal: i32) -> io::Result<()> {
    kill(std::process::id() as i32, signal)
}

/// signalfd(2) for one signal, which is blocked in this thread first.
pub fn signalfd(signal: i32) -> io::Result<OwnedFd> {
    block_signal(signal)?;
    let set = set_of(&[signal]);
    let flags = (libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) as usize;
    let arguments = [usize::MAX, from_ref(&set) as usize, SIZE, flags];
    // SAFETY: the set lives through the call, which makes a descriptor.
    unsafe { raw::new_descriptor(libc::SYS_signalfd4, arguments) }
}

/// The parts of a signalfd's report that tests use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The signal.
    pub signal: u32,
    /// Why it was sent: `SI_USER`, or `POLL_IN` and the like.
    pub code: i32,
    /// The descriptor, for SIGIO.
    pub fd: i32,
    /// The events, for SIGIO.
    pub band: u32,
}

/// The next signal that a signalfd has; `None` if there is none.
pub fn next_signal(signalfd: &OwnedFd) -> io::Result<Option<Received>> {
    use std::mem::offset_of;
    type Info = libc::signalfd_siginfo;
    let mut info = [0u8; size_of::<Info>()];
    match read(signalfd, &mut info) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        result => result?,
    };
    let word = |at: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&info[at..at + 4]);
        u32::from_ne_bytes(bytes)
    };
    Ok(Some(Received {
        signal: word(offset_of!(Info, ssi_signo)),
        code: word(offset_of!(Info, ssi_code)) as i32,
        fd: word(offset_of!(Info, ssi_fd)) as i32,
        band: word(offset_of!(Info, ssi_band)),
    }))
}
