// SPDX-License-Identifier: GPL-2.0

//! A network interface that feeds a queue, from the softirq of its interrupt.
//!
//! No socket, and no protocol: NAPI polls the driver, which hands the frame over, which goes to
//! whoever has asked for its EtherType. That is us.
//!
//! The end, by the program or by the interface, is in [`kernel_ext::net`](crate::kernel_ext::net). A frame that
//! is under way on another CPU while the interface goes away finds the queue hung up, and is dropped:
//! a reader that was told of the end never sees one.

use super::queue::{
    Kind,
    Queue, //
};
use crate::kernel_ext::net::{
    Frame,
    Receiver, //
};
use kernel::sync::Arc;

/// Puts frames into a queue.
pub(super) struct Frames(pub(super) Arc<Queue>);

impl Receiver for Frames {
    fn receive(&self, frame: &Frame<'_>) {
        self.0
            .arrive(Kind::Frame, frame.len(), |bytes| frame.copy_to(bytes));
    }

    fn gone(&self) {
        self.0.hang_up();
    }
}
