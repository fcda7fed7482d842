// SPDX-License-Identifier: GPL-2.0

//! A queue of a fixed length, which allocates only when it is made.

use kernel::{
    alloc::AllocError,
    prelude::*, //
};

/// Up to a fixed number of values, first in, first out.
pub(super) struct Ring<T> {
    places: KVVec<Option<T>>,
    /// The place of the first value.
    first: usize,
    /// The number of values.
    len: usize,
}

impl<T> Ring<T> {
    /// Makes an empty ring with this number of places, at least one. Process context, sleeps.
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

    /// The first value.
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

    /// Adds a last value. There must be a free place.
    pub(super) fn push_back(&mut self, value: T) {
        let place = self.place(self.len);
        self.put(place, value);
    }

    /// Adds a first value. There must be a free place.
    pub(super) fn push_front(&mut self, value: T) {
        let place = self.place(self.places.len() - 1);
        self.put(place, value);
        self.first = place;
    }

    /// The place `after` places behind the first one; `after` is at most the number of places.
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
