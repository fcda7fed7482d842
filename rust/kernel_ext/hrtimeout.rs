// SPDX-License-Identifier: GPL-2.0

//! The monotonic clock, and sleeping with a time limit in nanoseconds.
//!
//! C header: [`include/linux/hrtimer.h`](srctree/include/linux/hrtimer.h)
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::hrtimeout::{self, Deadline};
//!
//! /// Calls `attempt` until it succeeds, for a millisecond.
//! fn retry(mut attempt: impl FnMut() -> bool) -> Result {
//!     let deadline = Deadline::after(1_000_000);
//!     while !attempt() {
//!         if deadline.left() == 0 {
//!             pr_info!("gave up at {} ns\n", hrtimeout::now());
//!             return Err(ETIMEDOUT);
//!         }
//!     }
//!     Ok(())
//! }
//! ```

use super::bindings as ext;
use core::ptr;
use kernel::bindings;

/// The monotonic clock, in nanoseconds. Any context.
pub(crate) fn now() -> i64 {
    // SAFETY: Can be called in any context.
    unsafe { bindings::ktime_get() }
}

/// Converts `time`, of the monotonic clock, to the current task's time namespace. Process context.
pub(crate) fn in_namespace(time: i64) -> i64 {
    // SAFETY: Only reads the current task's namespaces.
    time.saturating_add(unsafe { ext::monotonic_offset() })
}

/// The time that a call may wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// It does not sleep.
    Zero,
    /// Nanoseconds from now; more than 0.
    After(i64),
    /// Until this time of the monotonic clock, in nanoseconds.
    At(i64),
    /// Without limit.
    Never,
}

impl Timeout {
    /// `nanoseconds` from now; without limit if that is negative.
    #[inline]
    pub(crate) fn after(nanoseconds: i64) -> Self {
        match nanoseconds {
            0 => Self::Zero,
            1.. => Self::After(nanoseconds),
            _ => Self::Never,
        }
    }

    /// The inverse of [`Timeout::after`]: the nanoseconds that are left. Any context.
    pub(crate) fn left(self) -> i64 {
        match self {
            Self::Zero => 0,
            Self::After(nanoseconds) => nanoseconds,
            Self::At(time) => Deadline(time).left(),
            Self::Never => -1,
        }
    }

    /// The end of the wait, if it has one that is not now. Any context.
    pub(crate) fn deadline(self) -> Option<Deadline> {
        match self {
            Self::Zero | Self::Never => None,
            Self::After(nanoseconds) => Some(Deadline::after(nanoseconds)),
            Self::At(time) => Some(Deadline(time)),
        }
    }
}

/// A point in time of the monotonic clock, in nanoseconds.
pub(crate) struct Deadline(i64);

impl Deadline {
    /// `wait` nanoseconds from now, at most the largest time.
    pub(crate) fn after(wait: i64) -> Self {
        Self(now().saturating_add(wait))
    }

    /// The number of nanoseconds until the deadline; 0 if it has passed. Any context.
    pub(crate) fn left(&self) -> i64 {
        self.0.saturating_sub(now()).max(0)
    }

    /// Sleeps in the task's present state, until woken or until the deadline, with the timer slack
    /// of select(2). False if the deadline has passed. Process context.
    pub(super) fn sleep(deadline: Option<&Deadline>) -> bool {
        let mut expires: bindings::ktime_t = deadline.map_or(0, |deadline| deadline.0);
        let (expires, slack) = if deadline.is_some() {
            let left = expires.saturating_sub(now());
            if left <= 0 {
                return false;
            }
            // SAFETY: Only reads fields of the current task.
            (&raw mut expires, unsafe { ext::timer_slack(left) })
        } else {
            (ptr::null_mut(), 0)
        };
        // SAFETY: `expires` is null or valid for the call. The caller may sleep.
        let ret = unsafe {
            bindings::schedule_hrtimeout_range(
                expires,
                slack,
                bindings::hrtimer_mode_HRTIMER_MODE_ABS,
            )
        };
        ret != 0
    }
}
