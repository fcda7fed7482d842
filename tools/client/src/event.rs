// SPDX-License-Identifier: MIT OR Apache-2.0
//! Events as the kernel reports them, and the bits that name them.

use std::fmt;

bitflags::bitflags! {
    /// The event bits and input flags of `epoll_ctl(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Events: u32 {
        /// The file can be read from.
        const IN = libc::EPOLLIN as u32;
        /// There is an exceptional condition, such as out-of-band data.
        const PRI = libc::EPOLLPRI as u32;
        /// The file can be written to.
        const OUT = libc::EPOLLOUT as u32;
        /// An error; reported whether asked for or not.
        const ERR = libc::EPOLLERR as u32;
        /// A hang-up; reported whether asked for or not.
        const HUP = libc::EPOLLHUP as u32;
        /// Normal data can be read.
        const RDNORM = libc::EPOLLRDNORM as u32;
        /// Priority data can be read.
        const RDBAND = libc::EPOLLRDBAND as u32;
        /// Normal data can be written.
        const WRNORM = libc::EPOLLWRNORM as u32;
        /// Priority data can be written.
        const WRBAND = libc::EPOLLWRBAND as u32;
        /// A message is there; not used by Linux.
        const MSG = libc::EPOLLMSG as u32;
        /// The peer of a stream socket has shut down its writing half.
        const RDHUP = libc::EPOLLRDHUP as u32;
        /// Flag: wake one of the instances that watch the file, not all of them.
        const EXCLUSIVE = libc::EPOLLEXCLUSIVE as u32;
        /// Flag: keep the system from suspending while the event is handled.
        const WAKEUP = libc::EPOLLWAKEUP as u32;
        /// Flag: report once, then nothing until [`Instance::modify`](crate::Instance::modify).
        const ONESHOT = libc::EPOLLONESHOT as u32;
        /// Flag: edge-triggered: report changes, not the state.
        const ET = libc::EPOLLET as u32;
        // The kernel may know more bits than this crate does.
        const _ = !0;
    }
}

/// One reported event: the kernel's `struct epoll_event`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Event(libc::epoll_event);

impl Event {
    /// An event with these bits and this datum.
    pub const fn new(events: Events, data: u64) -> Self {
        Self(libc::epoll_event {
            events: events.bits(),
            u64: data,
        })
    }

    /// What the file is ready for.
    pub const fn events(&self) -> Events {
        Events::from_bits_retain(self.0.events)
    }

    /// The datum that was given when the file was added or last modified.
    pub const fn data(&self) -> u64 {
        self.0.u64
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new(Events::empty(), 0)
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.events() == other.events() && self.data() == other.data()
    }
}

impl Eq for Event {}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("events", &self.events())
            .field("data", &self.data())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_has_the_layout_of_the_kernel() {
        // Packed on x86-64 (as for 32-bit programs), naturally aligned elsewhere.
        let size = if cfg!(target_arch = "x86_64") { 12 } else { 16 };
        assert_eq!(size_of::<Event>(), size);
    }

    #[test]
    fn event_keeps_bits_and_datum() {
        let event = Event::new(Events::IN | Events::ET, u64::MAX - 1);
        assert_eq!(event.events(), Events::IN | Events::ET);
        assert_eq!(event.data(), u64::MAX - 1);
        assert_eq!(event, event.clone());
        assert_ne!(event, Event::default());
    }
}
