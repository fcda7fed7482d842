// SPDX-License-Identifier: GPL-2.0

//! `kernel_ext::hrtimeout`: a clock that only a test moves.

use std::cell::Cell;

thread_local! {
    // Not seen by loom, which runs the threads of a model on one thread of the system.
    static NOW: Cell<i64> = const { Cell::new(0) };
}

pub(crate) fn now() -> i64 {
    NOW.get()
}

pub(crate) fn set(now: i64) {
    NOW.set(now);
}
