// SPDX-License-Identifier: GPL-2.0

//! A queue of a fixed length, which never allocates once it is made.

use kernel::{
    alloc::AllocError,
    prelude::*, //
};

/// Up to a fixed number of values; the first one comes out first.
pub(super) struct Ring<T> {
    places: KVVec<Option<T>>,
    /// The place of the first value.
    first: usize,
    /// How many there are.
    len: usize,
}

impl<T> Ring<T> {
    /// An empty ring with this many places, at least one. Process context, sleeps.
    pub(super) fn new(places: usize) -> Result<Self, AllocError> {
        let mut ring = Self {
            places: KVVec::with_capacity(places, GFP_KERNEL_ACCOUNT)?,
            first: 0,
            len: 0,
        };
        for _ in 0..places {
            ring.places.push(None, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(ring)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value that comes out next.
    pub(super) fn front(&self) -> Option<&T> {
        self.places.get(self.first)?.as_ref()
    }

    /// Takes the first value.
    pub(super) fn pop_front(&mut self) -> Option<T> {
        let value = self.places.get_mut(self.first)?.take()?;
        self.first = self.place(1);
        self.len -= 1;
        Some(value)
    }

    /// Adds a value that comes out last. There must be a place for it.
    pub(super) fn push_back(&mut self, value: T) {
        let place = self.place(self.len);
        self.put(place, value);
    }

    /// Adds a value that comes out first. There must be a place for it.
    pub(super) fn push_front(&mut self, value: T) {
        let place = self.place(self.places.len() - 1);
        self.put(place, value);
        self.first = place;
    }

    /// The place that is so many after the first; at most as many as there are places.
    fn place(&self, after: usize) -> usize {
        (self.first + after) % self.places.len()
    }

    fn put(&mut self, place: usize, value: T) {
        if let Some(free) = self.places.get_mut(place) {
            debug_assert!(free.is_none());
            *free = Some(value);
            self.len += 1;
        }
    }
}
