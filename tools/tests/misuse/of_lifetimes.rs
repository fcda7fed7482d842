// SPDX-License-Identifier: GPL-2.0
//! As of_types.rs, for what the compiler looks at after the types.

use crate::kernel_ext::poll_wqueues::PollWqueues;
use kernel::prelude::*;

/// They end with the call that they are lent to.
fn wait_queues_kept() {
    let mut kept = None;
    PollWqueues::<()>::with(|queues| kept = Some(queues)); //~ E0521
    let _ = kept.map(|queues: Pin<&PollWqueues>| queues.added());
}
