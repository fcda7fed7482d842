// SPDX-License-Identifier: GPL-2.0

//! The current task's signals.
//!
//! C header: [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h)
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::signal;
//!
//! /// Waits as sigsuspend(2), with the signal mask at `address`.
//! fn suspend(address: u64) -> Result {
//!     signal::with_user_sigmask(address, 8, || {
//!         while !signal::signal_pending() {
//!             kernel::time::delay::fsleep(kernel::time::Delta::from_millis(10));
//!         }
//!         Err(EINTR)
//!     })
//! }
//! ```

use super::{
    bindings as ext,
    uaccess, //
};
use kernel::{
    current,
    prelude::*, //
};

/// Whether the current task has a signal to handle. Process context.
pub(crate) fn signal_pending() -> bool {
    current!().signal_pending()
}

/// Whether the current task is being killed. Process context.
pub(crate) fn fatal_signal_pending() -> bool {
    // SAFETY: Only reads the current task's own state.
    unsafe { ext::fatal_signal_pending() }
}

/// Calls `wait` with the current task's signal mask replaced by the mask at `address`, of `size`
/// bytes (bit 0 is signal 1; SIGKILL and SIGSTOP can't be blocked). Keeps the task's mask if the
/// address is
/// 0. As `set_user_sigmask()` and `restore_saved_sigmask_unless()`.
///
/// EINVAL if the size is not that of a mask, EFAULT if the mask can't be read. If `wait` fails with
/// EINTR or ERESTARTNOHAND, the old mask is restored on the return to userspace, after the handlers
/// of the signals that the new mask unblocks. Process context; not nested.
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
    let mask: u64 = uaccess::read(address as usize, size_of::<u64>())?;
    // SAFETY: Only changes the current task's mask.
    unsafe { ext::set_wait_sigmask(mask) };
    let result = wait();
    if !matches!(result, Err(e) if e == EINTR || e == ERESTARTNOHAND) {
        // SAFETY: As above.
        unsafe { ext::restore_sigmask() };
    }
    result
}
