// SPDX-License-Identifier: GPL-2.0

//! The current task: its signals.

use super::bindings as ext;
use kernel::{current, prelude::*};

/// Whether the current task has a signal to handle. Process context.
pub(crate) fn signal_pending() -> bool {
    current!().signal_pending()
}

/// Whether the current task is being killed. Process context.
pub(crate) fn fatal_signal_pending() -> bool {
    // SAFETY: Only reads the current task's own state.
    unsafe { ext::fatal_signal_pending() }
}

/// Calls `wait` with the current task's signal mask replaced by `mask` (bit 0 is signal 1; SIGKILL and
/// SIGSTOP can't be blocked), as `set_user_sigmask()` and `restore_saved_sigmask_unless()`.
///
/// If `wait` fails with EINTR the old mask comes back only after the handlers of the signals that
/// `mask` lets through have been called, on the way to userspace. Process context; not nested.
pub(crate) fn with_sigmask<R>(mask: u64, wait: impl FnOnce() -> Result<R>) -> Result<R> {
    // SAFETY: Only changes the current task's mask.
    unsafe { ext::set_wait_sigmask(mask) };
    let result = wait();
    if !matches!(result, Err(e) if e == EINTR) {
        // SAFETY: As above.
        unsafe { ext::restore_sigmask() };
    }
    result
}
