// SPDX-License-Identifier: GPL-2.0

//! The arguments of the ioctls, and the events that WAIT writes to user memory.

#![forbid(unsafe_code)]

use super::bindings as uapi;
use crate::kernel_ext::uaccess::{
    access_ok,
    put_epoll_event,
    UserArg, //
};
use kernel::{
    bindings::epoll_event,
    prelude::*, //
};

pub(crate) use uapi::{
    repoll_counts, repoll_create, repoll_ctl, repoll_poll, repoll_select, repoll_source_attach,
    repoll_source_header, repoll_source_setup, repoll_source_status, repoll_source_timer,
    repoll_takeover, repoll_takeover_status, repoll_wait,
};

impl UserArg for repoll_counts {}
impl UserArg for repoll_create {}
impl UserArg for repoll_ctl {}
impl UserArg for repoll_poll {}
impl UserArg for repoll_select {}
impl UserArg for repoll_source_attach {}
impl UserArg for repoll_source_header {}
impl UserArg for repoll_source_setup {}
impl UserArg for repoll_source_status {}
impl UserArg for repoll_source_timer {}
impl UserArg for repoll_takeover {}
impl UserArg for repoll_takeover_status {}
impl UserArg for repoll_wait {
    const MIN_SIZE: usize = uapi::REPOLL_WAIT_SIZE_VER0 as usize;
}

/// The caller's array of `struct epoll_event`, filled from its start.
#[derive(Clone, Copy)]
pub(crate) struct EventWriter {
    address: usize,
    left: u32,
    max: u32,
}

impl EventWriter {
    /// The size of an event.
    pub(crate) const EVENT_SIZE: usize = size_of::<epoll_event>();

    /// The most events that an array can have: `EP_MAX_EVENTS`.
    pub(crate) const MAX_EVENTS: i32 = i32::MAX / Self::EVENT_SIZE as i32;

    /// Makes a writer to an array of `max` events at `address`. EINVAL for no event or too many,
    /// EFAULT for an address outside of user memory.
    pub(crate) fn new(address: u64, max: i32) -> Result<Self> {
        if max <= 0 || max > Self::MAX_EVENTS {
            return Err(EINVAL);
        }
        let length = max as usize * Self::EVENT_SIZE;
        if !access_ok(address as usize, length) {
            return Err(EFAULT);
        }
        Ok(Self {
            address: address as usize,
            left: max as u32,
            max: max as u32,
        })
    }

    /// The number of events that have been written.
    #[inline]
    pub(crate) fn written(&self) -> usize {
        (self.max.wrapping_sub(self.left)) as usize
    }

    /// Whether the array has no more room.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Appends one event; EFAULT if the memory can't be written. Process context.
    #[inline]
    pub(crate) fn write(&mut self, events: u32, data: u64) -> Result {
        put_epoll_event(self.address, events, data)?;
        self.address = self.address.wrapping_add(Self::EVENT_SIZE);
        self.left = self.left.wrapping_sub(1);
        Ok(())
    }
}
