// SPDX-License-Identifier: GPL-2.0

//! The module's tracepoints: a static branch each while they are off.
//!
//! They are declared in `rust/trace/repoll_trace.h`. All arguments are plain values, or
//! references to structures of them, and all may be called in any context. `kernel::declare_trace!`
//! serves only tracepoints that are in the kernel's own bindings, and evaluates their arguments also
//! while they are off: the branch is opaque to the compiler, which so can't put it before the loads.
//! [`trace!`] evaluates them behind it, as the macros of C do.

mod bindings;

use crate::uapi::args::repoll_counts;

/// The values of the tracepoints' fields, as `repoll_trace.h` names them.
pub(crate) mod constants {
    pub(crate) use super::bindings::{
        REPOLL_CALL_POLL,
        REPOLL_CALL_SELECT,
        REPOLL_CB_ALREADY,
        REPOLL_CB_DISARMED,
        REPOLL_CB_MISMATCH,
        REPOLL_CB_QUEUED,
        REPOLL_DROP_FULL,
        REPOLL_DROP_OTHER,
        REPOLL_DROP_TOO_LONG,
        REPOLL_LIMIT_DEPTH,
        REPOLL_LIMIT_FILE,
        REPOLL_LIMIT_PATHS,
        REPOLL_LIMIT_POLLERS,
        REPOLL_LIMIT_USER,
        REPOLL_QUEUE_ADD,
        REPOLL_QUEUE_BACK,
        REPOLL_QUEUE_CALLBACK,
        REPOLL_QUEUE_LEVEL,
        REPOLL_QUEUE_MOD,
        REPOLL_REMOVE_CLOSED,
        REPOLL_REMOVE_DEL,
        REPOLL_REMOVE_RELEASE,
        REPOLL_SCAN_POLL,
        REPOLL_SCAN_WAIT,
        REPOLL_WAKE_EVENT,
        REPOLL_WAKE_LEFT,
        REPOLL_WAKE_RELEASE,
        REPOLL_WOKEN_EVENT,
        REPOLL_WOKEN_NOTHING,
        REPOLL_WOKEN_SIGNAL,
        REPOLL_WOKEN_TIMEOUT, //
    };
}

/// Calls a tracepoint, with arguments that are evaluated only if it is on: `trace!(create(ep.id))`.
macro_rules! trace {
    ($name:ident($($arg:expr),* $(,)?)) => {
        if $crate::trace::is_on::$name() {
            $crate::trace::record::$name($($arg),*);
        }
    };
}
pub(crate) use trace;

macro_rules! declare_trace {
    (
        $($(#[$attr:meta])* fn $name:ident($($arg:ident : $type:ty),* $(,)?)
            $(, $edge:ident($slice:expr))?;)*
    ) => {
        /// Whether somebody listens to a tracepoint. For [`trace!`].
        pub(crate) mod is_on {
            $(
                #[doc = concat!("See [`", stringify!($name), "`](super::record::", stringify!($name), ").")]
                #[inline(always)]
                pub(crate) fn $name() -> bool {
                    kernel::macros::paste! {
                        // SAFETY: The static key is that of a tracepoint of this module.
                        unsafe {
                            kernel::jump_label::static_branch_unlikely!(
                                $crate::trace::bindings::[< __tracepoint_repoll_ $name >],
                                kernel::bindings::tracepoint,
                                key
                            )
                        }
                    }
                }
            )*
        }

        /// What the tracepoints record. For [`trace!`].
        pub(crate) mod record {
            use super::*;
            $(
                $(#[$attr])*
                #[cold]
                pub(crate) fn $name($($arg: $type),*) {
                    kernel::macros::paste! {
                        // SAFETY: The tracepoint takes plain values, or references for the call.
                        unsafe { $crate::trace::bindings::[< rust_do_trace_repoll_ $name >]($($arg),*) };
                    }
                    $($edge($slice);)?
                }
            )*
        }
    }
}
}
