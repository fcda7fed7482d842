// SPDX-License-Identifier: GPL-2.0

//! A share in what must last as long as instances that were taken over.

use crate::kernel_ext::atomic::{
    ordering::{Full, Relaxed},
    Atomic, //
};

/// The leases.
pub(crate) struct Leases {
    open: Atomic<u64>,
    made: Atomic<u64>,
    /// Called when the last lease has ended.
    ended: fn(),
}

/// One lease. An instance has it until it is freed: its file has been closed by then.
pub(crate) struct Lease(&'static Leases);

impl Leases {
    /// No leases. `ended` is called whenever the last one has ended, in any context.
    pub(crate) const fn new(ended: fn()) -> Self {
        Self {
            open: Atomic::new(0),
            made: Atomic::new(0),
            ended,
        }
    }

    /// One more lease. Any context.
    pub(crate) fn lease(&'static self) -> Lease {
        self.open.fetch_add(1, Full);
        Lease(self)
    }

    /// Counts an instance that was made. Any context.
    pub(crate) fn count_made(&self) {
        self.made.fetch_add(1, Relaxed);
    }

    /// The number of instances that were made. Any context.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Relaxed)
    }

    /// The number of leases, read after all earlier accesses. Any context.
    pub(crate) fn open(&self) -> u64 {
        self.open.fetch_add(0, Full)
    }
}

impl Drop for Lease {
    /// Any context.
    fn drop(&mut self) {
        // Minus one.
        if self.0.open.fetch_add(u64::MAX, Full) == 1 {
            (self.0.ended)();
        }
    }
}
