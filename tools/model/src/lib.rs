// SPDX-License-Identifier: GPL-2.0

//! Model checking of `rust/kernel_ext/ready_queue.rs`: the module's own source, over loom's atomics.
//!
//! There is nothing here but tests: `tests.rs`, exhaustive, and `random.rs`, larger, over shuttle's
//! atomics; `rearm.rs` mirrors a protocol around the queue. They tell what they prove, and how it was
//! seen that they can fail. Run them with `cargo test -p ready-queue-model --release`.

#[cfg(test)]
#[expect(clippy::duplicate_mod, reason = "the same source over other atomics")]
mod random;
#[cfg(test)]
#[path = "../../../rust/kernel_ext/ready_queue.rs"]
mod ready_queue;
#[cfg(test)]
mod ready_sync;
#[cfg(test)]
mod rearm;
#[cfg(test)]
mod tests;
