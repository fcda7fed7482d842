// SPDX-License-Identifier: GPL-2.0

//! The two older multiplexers: select(2) and poll(2), as calls of the device.
//!
//! They have no instance and take no lock of the module. The state of a call is its own
//! ([`PollWqueues`]): the callback of an entry, under the lock of a file's wait queue, sets a flag
//! of the call and wakes its task. An entry holds its file, and is out of the queue before the call
//! returns; so a call meets neither the last-close hook nor POLLFREE.
//!
//! [`PollWqueues`]: crate::kernel_ext::poll_wqueues::PollWqueues

#![forbid(unsafe_code)]

pub(crate) mod poll;
pub(crate) mod select;
mod select_loop;
