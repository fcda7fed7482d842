// SPDX-License-Identifier: GPL-2.0
//! Must not compile as a module of repoll's crate: see tools/harness/cmd/check. `//~` names the
//! errors.

use crate::kernel_ext::{
    fdget::Files,
    net::Net,
    poll_wqueues::PollWqueues, //
};
use kernel::prelude::*;

/// Entries would wake a task that is gone.
fn wait_queues_off_the_stack() {
    let _ = KBox::pin_init(PollWqueues::<()>::new(), GFP_KERNEL); //~ E0624
}

/// The table is that of the task that asked for it, while its call lasts.
fn files_for_another_task(files: Files) -> impl Send {
    //~ E0277
    files
}

/// An exiting task has no namespace: that can't be overlooked.
fn net_without_a_question() -> Net {
    Net::current() //~ E0308
}
