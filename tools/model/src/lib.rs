// SPDX-License-Identifier: GPL-2.0

//! Model checking of the module's lock-free code with loom: in all interleavings, with all values
//! that a load may return in the C11 memory model.
//!
//! This crate contains only tests. Five files of the module are compiled from their own source:
//! `ready_queue.rs` and `ready_list.rs` (`tests.rs`; `weakened.rs`; `random.rs`, larger, over
//! shuttle's atomics), `llist.rs` (`closed.rs`), `limits.rs` and `throttle.rs` (`numbers.rs`). Code
//! that needs the kernel has a twin here: `rearm.rs`, `pollwake.rs`, `pollfree.rs`,
//! `last_close.rs`, `order_by_lock.rs`, `publish.rs`, `takeover.rs`. Each model has variants with
//! one order less, which must fail. `Documentation/explanation/ordering.rst` lists all models, and
//! the differences between the kernel's memory model and C11's.
//!
//! Run the models with `tools/harness/cmd/cargo test -p repoll-model`.

#[cfg(test)]
mod atomic;
#[cfg(test)]
mod check;
#[cfg(test)]
mod closed;
#[cfg(test)]
mod hrtimeout;
#[cfg(test)]
mod last_close;
#[cfg(test)]
#[path = "../../../rust/kernel_ext/limits.rs"]
mod limits;
#[cfg(test)]
#[path = "../../../rust/kernel_ext/llist.rs"]
mod llist;
#[cfg(test)]
mod numbers;
#[cfg(test)]
mod order_by_lock;
#[cfg(test)]
mod page;
#[cfg(test)]
mod pollfree;
#[cfg(test)]
mod pollwake;
#[cfg(test)]
mod publish;
#[cfg(test)]
#[expect(clippy::duplicate_mod, reason = "the same source over other atomics")]
mod random;
#[cfg(test)]
#[path = "../../../rust/watch/ready_queue.rs"]
mod ready_queue;
#[cfg(test)]
mod ready_sync;
#[cfg(test)]
mod rearm;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod tests;
#[cfg(test)]
#[path = "../../../rust/source/throttle.rs"]
mod throttle;
/// The paths under which `throttle.rs` finds its modules.
#[cfg(test)]
mod kernel_ext {
    pub(crate) use crate::{atomic, hrtimeout};
}
#[cfg(test)]
mod weakened;
