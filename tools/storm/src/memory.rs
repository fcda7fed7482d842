// SPDX-License-Identifier: GPL-2.0
//! Memory to point the kernel at: valid, invalid, valid in part, and memory that stalls it.

use repoll_testkit::memory::{page_size, Mapping};
use repoll_testkit::random::Random;
use repoll_testkit::stall::Stalling;
use rustix::mm::MprotectFlags;
use std::io;
use std::mem::ManuallyDrop;
use std::ptr::without_provenance_mut;

/// A multiple of the size of pages.
const PAGE: usize = 64 * 1024;
/// Pages to read and write; behind them one that is read-only, one without any right, one that
/// stalls, and a hole.
const GOOD: usize = 4;
const READ_ONLY: usize = GOOD;
const STALLING: usize = GOOD + 2;
const HOLE: usize = GOOD + 3;

/// The memory of one thread.
///
/// # Invariants
///
/// Nothing but random calls and [`Memory::put`] uses it: no reference points into it. What is
/// mapped is never unmapped.
pub struct Memory {
    mapping: ManuallyDrop<Mapping>,
    end_of_user_space: usize,
    stalling: Option<Stalling>,
}

impl Memory {
    /// Maps new memory. Its userfaultfd gets the first free number from `numbers` on.
    pub fn new(numbers: i32, end_of_user_space: usize) -> io::Result<Self> {
        let mapping = ManuallyDrop::new(Mapping::new((HOLE + 1) * PAGE)?);
        mapping.protect(READ_ONLY * PAGE, PAGE, MprotectFlags::READ)?;
        mapping.protect((READ_ONLY + 1) * PAGE, PAGE, MprotectFlags::empty())?;
        let hole = without_provenance_mut(mapping.address() + HOLE * PAGE);
        // SAFETY: nobody uses these pages yet, and the mapping is never dropped.
        unsafe { rustix::mm::munmap(hole, PAGE + page_size()) }?;
        // Not every user has the right to a page that stalls.
        let stalling = Stalling::part(&mapping, STALLING * PAGE, PAGE)
            .and_then(|stalling| stalling.numbered_from(numbers))
            .ok();
        Ok(Self {
            mapping,
            end_of_user_space,
            stalling,
        })
    }

    /// Puts a value somewhere and returns its address, or seldom returns a random address instead.
    pub fn put<T: Copy>(&self, random: &mut Random, value: T) -> usize {
        if random.chance(12) {
            return self.anywhere(random);
        }
        self.place(random, value)
    }

    /// Puts a value somewhere, and returns the address.
    pub fn place<T: Copy>(&self, random: &mut Random, value: T) -> usize {
        let size = size_of::<T>();
        let at = random.below(GOOD * PAGE - size) / 8 * 8;
        self.mapping.put(at, &[value]);
        self.mapping.address() + at
    }

    /// An address with room for `size` bytes, or seldom one without.
    pub fn room(&self, random: &mut Random, size: usize) -> usize {
        if random.chance(12) {
            return self.anywhere(random);
        }
        self.mapping.address() + random.below((GOOD * PAGE).saturating_sub(size).max(8)) / 8 * 8
    }

    /// An address that programs hardly ever pass.
    pub fn anywhere(&self, random: &mut Random) -> usize {
        // None is of memory that is in use for something else.
        let page = |number: usize| self.mapping.address() + number * PAGE;
        match random.below(14) {
            0 => 0,
            1 => random.below(PAGE),
            2 => page(READ_ONLY),
            3 => page(READ_ONLY) - random.below(64),
            4 => page(READ_ONLY + 1),
            5 => page(READ_ONLY + 1) - random.below(64),
            6 => page(HOLE),
            7 => self.mapping.address() + random.below(GOOD * PAGE),
            // The end of user space, beyond it, the kernel's.
            8 => self.end_of_user_space - 0x1000,
            9 => self.end_of_user_space,
            10 => 0xffff_8880_0000_0000,
            11 => usize::MAX - random.below(64),
            12 => page(STALLING) - random.below(32),
            _ => page(STALLING) + random.below(PAGE),
        }
    }

    /// Releases the tasks that wait for the stalling page; later ones wait again.
    pub fn let_go(&self) {
        if let Some(stalling) = &self.stalling {
            let _ = stalling.let_go();
            let _ = self.mapping.discard(STALLING * PAGE, PAGE);
        }
    }
}
