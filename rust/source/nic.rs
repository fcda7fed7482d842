// SPDX-License-Identifier: GPL-2.0

//! A network interface that feeds a queue, from the softirq of its interrupt.
//!
//! There is no socket and no protocol: NAPI polls the driver, the driver hands the frame over, and
//! the kernel passes it to the handlers of its EtherType, such as this one.
//!
//! [`kernel_ext::net`](crate::kernel_ext::net) describes the end, by the program or by the
//! interface. A frame that arrives on another CPU while the interface is unregistered finds the
//! queue hung up, and is dropped: a reader that has seen the end never gets a frame.

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

    fn unregistered(&self) {
        self.0.hang_up();
    }
}
