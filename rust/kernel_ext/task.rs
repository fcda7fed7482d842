// SPDX-License-Identifier: GPL-2.0

//! What the current task and the current context are.

use super::bindings as ext;
use kernel::current;

/// Whether the current task has a signal to handle. Process context.
pub(crate) fn signal_pending() -> bool {
    current!().signal_pending()
}

/// Whether the current task is being killed. Process context.
pub(crate) fn fatal_signal_pending() -> bool {
    // SAFETY: Only reads the current task's own state.
    unsafe { ext::fatal_signal_pending() }
}

/// The kind of context that this runs in, as the tracepoints tell it: 0 task, 1 softirq, 2 hardirq,
/// 3 NMI.
pub(crate) fn context() -> u32 {
    // SAFETY: Can be called in any context.
    unsafe { ext::context() }
}
