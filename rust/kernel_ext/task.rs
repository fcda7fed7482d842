// SPDX-License-Identifier: GPL-2.0

//! The current task: its signals.

use super::{
    bindings as ext,
    user_args, //
};
use kernel::{
    bindings,
    current,
    prelude::*,
    task::Pid, //
};

/// The number that tracers know the current task by. Process context.
pub(crate) fn pid() -> Pid {
    current!().pid()
}

/// Whether the current task's personality has it that time limits are not changed
/// (`STICKY_TIMEOUTS`). Process context.
pub(crate) fn sticky_timeouts() -> bool {
    // SAFETY: Only reads the current task's own state.
    unsafe { ext::sticky_timeouts() }
}

/// Begins to sleep: until the current task is woken, `schedule()` blocks. After this there is a full
/// barrier, as after `set_current_state()`. Process context.
///
/// The caller must not do anything else that sleeps before it calls [`set_running`].
pub(super) fn set_interruptible() {
    // SAFETY: Only changes the current task's own state, to one that signals end.
    unsafe { ext::set_current_state(bindings::TASK_INTERRUPTIBLE) };
}

/// Ends what [`set_interruptible`] began. Process context.
pub(super) fn set_running() {
    // SAFETY: Only changes the current task's own state.
    unsafe { ext::set_current_state(bindings::TASK_RUNNING) };
}

/// Whether the current task has a signal to handle. Process context.
pub(crate) fn signal_pending() -> bool {
    current!().signal_pending()
}

/// Whether the current task is being killed. Process context.
pub(crate) fn fatal_signal_pending() -> bool {
    // SAFETY: Only reads the current task's own state.
    unsafe { ext::fatal_signal_pending() }
}

/// Yields the CPU if another task is due; EINTR if the current task is being killed.
///
/// A walk whose length a user chooses calls this every few steps. Process context, sleeps.
pub(crate) fn yield_or_die() -> Result {
    if fatal_signal_pending() {
        return Err(EINTR);
    }
    // SAFETY: Process context, where sleeping is allowed.
    unsafe { ext::cond_resched() };
    Ok(())
}

/// Calls `wait` with the current task's signal mask replaced by the one at `address`, of `size` bytes
/// (bit 0 is signal 1; SIGKILL and SIGSTOP can't be blocked); or just calls it if the address is 0. As
/// `set_user_sigmask()` and `restore_saved_sigmask_unless()`.
///
/// EINVAL if the size is not that of a mask, EFAULT if it can't be read. If `wait` fails with EINTR or
/// ERESTARTNOHAND the old mask comes back only after the handlers of the signals that the new one lets
/// through have been called, on the way to userspace. Process context; not nested.
pub(crate) fn with_user_sigmask<R>(
    address: u64,
    size: u64,
    wait: impl FnOnce() -> Result<R>,
) -> Result<R> {
    if address == 0 {
        return wait();
    }
    if size != size_of::<u64>() as u64 {
        return Err(EINVAL);
    }
    let mask: u64 = user_args::read(address as usize, size_of::<u64>())?;
    // SAFETY: Only changes the current task's mask.
    unsafe { ext::set_wait_sigmask(mask) };
    let result = wait();
    if !matches!(result, Err(e) if e == EINTR || e == ERESTARTNOHAND) {
        // SAFETY: As above.
        unsafe { ext::restore_sigmask() };
    }
    result
}
