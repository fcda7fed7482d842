// SPDX-License-Identifier: GPL-2.0

//! The current task.
//!
//! C header: [`include/linux/sched.h`](srctree/include/linux/sched.h)
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::task;
//!
//! fn count_bits(words: &[u64]) -> Result<u32> {
//!     let mut bits = 0;
//!     for chunk in words.chunks(4096) {
//!         task::yield_or_die()?;
//!         bits += chunk.iter().map(|word| word.count_ones()).sum::<u32>();
//!     }
//!     Ok(bits)
//! }
//! ```

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

/// The current task's ID in the initial PID namespace, as tracers show it. Process context.
pub(crate) fn pid() -> Pid {
    current!().pid()
}

/// Whether the current task has the personality `STICKY_TIMEOUTS`: system calls don't write the
/// time that is left back to userspace. Process context.
pub(crate) fn sticky_timeouts() -> bool {
    // SAFETY: Only reads the current task's own state.
    unsafe { ext::sticky_timeouts() }
}

/// Begins to sleep: until the current task is woken, `schedule()` blocks. Ends with a full barrier,
/// as `set_current_state()`. Process context.
///
/// The caller must call nothing that sleeps, except `schedule()`, before it calls [`set_running`].
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
/// A loop whose length a user chooses calls this every few steps. Process context, sleeps.
pub(crate) fn yield_or_die() -> Result {
    if fatal_signal_pending() {
        return Err(EINTR);
    }
    // SAFETY: Process context, where sleeping is allowed.
    unsafe { ext::cond_resched() };
    Ok(())
}
