// SPDX-License-Identifier: GPL-2.0
//! The memory to which a task's events are written.

use crate::operation;
use anyhow::Result;
use repoll::Event;
use repoll_testkit::memory::{Mapping, Place};
use repoll_testkit::user_space::end_of_user_space;

/// The size: a multiple of each possible page size.
const BYTES: usize = 64 * 1024;
/// The number of events that fit.
const ROOM: usize = BYTES / size_of::<Event>();

/// Memory at an address that is the same in every run, and then a page that is not accessible. Each
/// task that waits has one.
pub struct Memory {
    mapping: Mapping,
    end_of_user_space: usize,
}

impl Memory {
    /// Maps the memory number `number`.
    pub fn map(number: usize) -> Result<Self> {
        let address = 0x1000_0000_0000 + number * 4 * BYTES;
        Ok(Self {
            mapping: Mapping::at(address, BYTES)?,
            end_of_user_space: end_of_user_space()?,
        })
    }

    /// The address of a place in a program.
    pub fn place(&self, at: operation::Place) -> Place<'_> {
        match at {
            operation::Place::Good => self.mapping.place(0),
            operation::Place::Null => Place::NULL,
            operation::Place::Unmapped => self.mapping.place(BYTES),
            operation::Place::Kernel => Place::nowhere(0xffff_8880_0000_0000),
            // SAFETY: the kernel maps nothing into the last pages of user space by itself.
            operation::Place::Top => unsafe { Place::at(self.end_of_user_space - 0x2000) },
            // Room for the events and four bytes.
            operation::Place::Part(count) => {
                let events = usize::from(count) % ROOM;
                self.mapping.before_end(events * size_of::<Event>() + 4)
            }
        }
    }

    /// The events that were written to a place; `None` if the place is outside of the memory.
    pub fn events(&self, place: Place<'_>, count: usize) -> Option<Vec<Event>> {
        let offset = place.address().checked_sub(self.mapping.address())?;
        let end = offset + count * size_of::<Event>();
        (end <= BYTES).then(|| self.mapping.values(offset, count))
    }
}
