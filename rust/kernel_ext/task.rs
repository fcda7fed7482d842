// SPDX-License-Identifier: GPL-2.0

//! The current task.
//!
//! C header: [`include/linux/sched.h`](srctree/include/linux/sched.h)

use super::{
    bindings as ext,
    signal::fatal_signal_pending, //
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
