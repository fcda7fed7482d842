// SPDX-License-Identifier: GPL-2.0

//! The instances and the calls that are taken over now.

#![forbid(unsafe_code)]

use crate::eventpoll::Leases;
use crate::kernel_ext::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    set_once::SetOnce, //
};
use kernel::prelude::*;

/// The instances that were taken over.
pub(super) static LEASES: Leases = Leases::new(last_ended);

/// The function that is called when the last of them has ended.
static ON_LAST_END: SetOnce<fn()> = SetOnce::new();

/// Has `function` called whenever the last instance that was taken over has ended, in any context.
/// EBUSY on a second call.
pub(super) fn on_last_end(function: fn()) -> Result {
    ON_LAST_END.init(function)
}

fn last_ended() {
    if let Ok(function) = ON_LAST_END.get() {
        function();
    }
}

/// The calls of select and poll that are being served.
static RUNNING: Atomic<u64> = Atomic::new(0);

/// Counts a call of select or poll.
pub(super) struct Usage;

impl Usage {
    pub(super) fn begin() -> Self {
        RUNNING.fetch_add(1, Relaxed);
        Self
    }

    /// The number of calls that are being served now.
    pub(super) fn running() -> u64 {
        RUNNING.load(Relaxed)
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        // Minus one.
        RUNNING.fetch_add(u64::MAX, Relaxed);
    }
}
