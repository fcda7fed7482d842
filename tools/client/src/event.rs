// SPDX-License-Identifier: MIT OR Apache-2.0
//! Events as the kernel reports them, the bits that name them, and a buffer of them.

use std::fmt;
use std::ops::Deref;

bitflags::bitflags! {
    /// The event bits and input flags of `epoll_ctl(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct EventFlags: u32 {
        /// The file can be read from.
        const IN = libc::EPOLLIN as u32;
        /// There is an exceptional condition, such as out-of-band data.
        const PRI = libc::EPOLLPRI as u32;
        /// The file can be written to.
        const OUT = libc::EPOLLOUT as u32;
        /// The file has an error; always reported.
        const ERR = libc::EPOLLERR as u32;
        /// The file has hung up; always reported.
        const HUP = libc::EPOLLHUP as u32;
        /// Normal data can be read.
        const RDNORM = libc::EPOLLRDNORM as u32;
        /// Priority data can be read.
        const RDBAND = libc::EPOLLRDBAND as u32;
        /// Normal data can be written.
        const WRNORM = libc::EPOLLWRNORM as u32;
        /// Priority data can be written.
        const WRBAND = libc::EPOLLWRBAND as u32;
        /// There is a message; Linux does not use it.
        const MSG = libc::EPOLLMSG as u32;
        /// The peer of a stream socket has shut down its writing half.
        const RDHUP = libc::EPOLLRDHUP as u32;
        /// Wake one of the instances that watch the file, not all of them.
        const EXCLUSIVE = libc::EPOLLEXCLUSIVE as u32;
        /// Keep the system from suspending while the event is handled.
        const WAKEUP = libc::EPOLLWAKEUP as u32;
        /// One-shot: report once, then nothing until [`Instance::modify`](crate::Instance::modify).
        const ONESHOT = libc::EPOLLONESHOT as u32;
        /// Edge-triggered: report changes, not the state.
        const ET = libc::EPOLLET as u32;
        // The kernel may know bits that this crate does not.
        const _ = !0;
    }
}

/// One reported event: the kernel's `struct epoll_event`.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Event(libc::epoll_event);

impl Event {
    /// An event with these flags and this datum.
    pub const fn new(flags: EventFlags, data: u64) -> Self {
        Self(libc::epoll_event {
            events: flags.bits(),
            u64: data,
        })
    }

    /// The state that the file is reported for.
    pub const fn flags(&self) -> EventFlags {
        EventFlags::from_bits_retain(self.0.events)
    }

    /// The datum that the file was added or last modified with.
    pub const fn data(&self) -> u64 {
        self.0.u64
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new(EventFlags::empty(), 0)
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.flags() == other.flags() && self.data() == other.data()
    }
}

impl Eq for Event {}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("flags", &self.flags())
            .field("data", &self.data())
            .finish()
    }
}

/// The buffer of [`Instance::wait`](crate::Instance::wait). It dereferences to the slice of the
/// events that the last wait reported.
///
/// ```
/// let events = repoll::Events::with_capacity(16);
/// assert_eq!((events.capacity(), events.len()), (16, 0));
/// for event in &events {
///     println!("{}: {:?}", event.data(), event.flags());
/// }
/// ```
#[derive(Clone)]
pub struct Events {
    buffer: Box<[Event]>,
    filled: usize,
}

impl Events {
    /// An empty buffer with room for `capacity` events, the most that one wait reports.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            buffer: vec![Event::default(); capacity].into_boxed_slice(),
            filled: 0,
        }
    }

    /// The number of events that there is room for.
    pub fn capacity(&self) -> usize {
        self.buffer.len()
    }

    /// Empties the buffer. A wait does that itself.
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// Empties the buffer and lends all of its room to the kernel.
    pub(crate) fn room(&mut self) -> &mut [Event] {
        self.clear();
        &mut self.buffer
    }

    /// Says how many events the kernel has written.
    pub(crate) fn set_filled(&mut self, filled: usize) {
        self.filled = filled.min(self.buffer.len());
    }
}

impl Deref for Events {
    type Target = [Event];

    fn deref(&self) -> &[Event] {
        &self.buffer[..self.filled]
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = std::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
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
    fn event_keeps_flags_and_datum() {
        let event = Event::new(EventFlags::IN | EventFlags::ET, u64::MAX - 1);
        assert_eq!(event.flags(), EventFlags::IN | EventFlags::ET);
        assert_eq!(event.data(), u64::MAX - 1);
        assert_eq!(event, event.clone());
        assert_ne!(event, Event::default());
    }

    #[test]
    fn buffer_shows_what_was_filled_in() {
        let mut events = Events::with_capacity(3);
        assert!(events.is_empty());
        events.room()[..2].copy_from_slice(&[
            Event::new(EventFlags::IN, 1),
            Event::new(EventFlags::OUT, 2),
        ]);
        events.set_filled(2);
        let data: Vec<_> = events.iter().map(Event::data).collect();
        assert_eq!((data, events.capacity()), (vec![1, 2], 3));
        assert_eq!(events.room().len(), 3);
        assert!(events.is_empty());
        events.set_filled(4);
        assert_eq!(events.len(), 3);
    }
}
