// SPDX-License-Identifier: GPL-2.0
//! Memory to point the kernel at: mapped for that alone, or not mapped at all.

use repoll::Event;
use rustix::mm::{self, MapFlags, MprotectFlags, ProtFlags};
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::atomic::AtomicU64;

/// Types of which any bytes are a value.
///
/// # Safety
///
/// Any bytes are a value, and there is no padding.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($type:ty),+) => {
        $(
            // SAFETY: an integer, or a structure of the kernel that consists of integers.
            unsafe impl Plain for $type {}
        )+
    };
}

plain!(u8, u16, u32, u64, i64, Event, libc::pollfd);

/// The size of a page.
pub fn page_size() -> usize {
    rustix::param::page_size()
}

/// An address for the kernel to write to, and the room there.
///
/// # Invariants
///
/// Nobody else uses the bytes from the address on while a `Place` is there: as many as `room` says,
/// or all up to a page that is not accessible.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    address: usize,
    room: Option<usize>,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> Place<'a> {
    /// No place: the address 0.
    pub const NULL: Self = Self {
        address: 0,
        room: None,
        memory: PhantomData,
    };

    /// The memory of a slice.
    pub fn of<T: Plain>(values: &'a mut [T]) -> Self {
        Self {
            address: values.as_mut_ptr() as usize,
            room: Some(size_of_val(values)),
            memory: PhantomData,
        }
    }

    /// An address that no program has memory at: below the first 64 KiB (`vm.mmap_min_addr`), or
    /// beyond user space.
    pub fn nowhere(address: usize) -> Self {
        assert!(address < 0x1_0000 || address as isize <= 0, "{address:#x}");
        Self {
            address,
            ..Self::NULL
        }
    }

    /// Any address.
    ///
    /// # Safety
    ///
    /// Nobody uses the memory there, up to a page that is not accessible.
    pub unsafe fn at(address: usize) -> Self {
        Self {
            address,
            ..Self::NULL
        }
    }

    /// The address.
    pub fn address(self) -> usize {
        self.address
    }

    /// The address, for a call that writes at most `count` values of `size` bytes there.
    pub fn with_room_for(self, count: usize, size: usize) -> usize {
        let bytes = count.saturating_mul(size);
        let room = self.room.unwrap_or(usize::MAX);
        assert!(bytes <= room, "{bytes} bytes do not fit into {room}");
        self.address
    }
}

/// Zeroed memory, followed by a page that is not accessible. Only the kernel and the methods of
/// this type use it.
#[derive(Debug)]
pub struct Mapping {
    start: usize,
    size: usize,
}

impl Mapping {
    /// Memory for `size` bytes, in whole pages, wherever the kernel has room.
    pub fn new(size: usize) -> io::Result<Self> {
        Self::map(0, size, MapFlags::PRIVATE)
    }

    /// Memory at this address, where nothing may be mapped.
    pub fn at(address: usize, size: usize) -> io::Result<Self> {
        Self::map(address, size, MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE)
    }

    /// Memory with further flags of mmap(2).
    pub(crate) fn map(address: usize, size: usize, flags: MapFlags) -> io::Result<Self> {
        let size = size.max(1).next_multiple_of(page_size());
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        let hint = without_provenance_mut(address);
        // SAFETY: a new mapping, which replaces none.
        let start = unsafe { mm::mmap_anonymous(hint, size + page_size(), rights, flags) }?;
        let this = Self {
            start: start as usize,
            size,
        };
        this.protect(size, page_size(), MprotectFlags::empty())?;
        Ok(this)
    }

    /// A copy of `values` that ends at the inaccessible page.
    pub fn ending_with<T: Plain>(values: &[T]) -> io::Result<(Self, usize)> {
        let this = Self::new(size_of_val(values))?;
        let offset = this.size - size_of_val(values);
        this.put(offset, values);
        Ok((this, offset))
    }

    /// Changes the rights of some pages.
    pub fn protect(&self, offset: usize, size: usize, rights: MprotectFlags) -> io::Result<()> {
        assert!(offset + size <= self.size + page_size());
        let start = without_provenance_mut(self.start + offset);
        // SAFETY: the pages are this mapping's, and hold no value of Rust's.
        Ok(unsafe { mm::mprotect(start, size, rights) }?)
    }

    /// A read-only copy of `values`.
    pub fn read_only_with<T: Plain>(values: &[T]) -> io::Result<Self> {
        let this = Self::new(size_of_val(values))?;
        this.put(0, values);
        this.read_only()?;
        Ok(this)
    }

    /// Makes it read-only, for the kernel and for this type.
    pub fn read_only(&self) -> io::Result<()> {
        self.protect(0, self.size, MprotectFlags::READ)
    }

    /// Drops the contents of some pages, which are then as if never touched.
    pub fn discard(&self, offset: usize, size: usize) -> io::Result<()> {
        assert!(offset + size <= self.size);
        let start = without_provenance_mut(self.start + offset);
        // SAFETY: the pages are this mapping's, and hold no value of Rust's.
        Ok(unsafe { mm::madvise(start, size, mm::Advice::LinuxDontNeed) }?)
    }

    /// The size, without the inaccessible page.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The address.
    pub fn address(&self) -> usize {
        self.start
    }

    /// The place at `offset`.
    pub fn place(&self, offset: usize) -> Place<'_> {
        assert!(offset <= self.size);
        Place {
            address: self.start + offset,
            ..Place::NULL
        }
    }

    /// The place of `bytes` bytes before the inaccessible page.
    pub fn before_end(&self, bytes: usize) -> Place<'_> {
        self.place(self.size - bytes)
    }

    /// Copies values to `offset`.
    pub fn put<T: Copy>(&self, offset: usize, values: &[T]) {
        assert!(offset + size_of_val(values) <= self.size);
        let bytes = values.as_ptr().cast::<u8>();
        let to = std::ptr::with_exposed_provenance_mut::<u8>(self.start + offset);
        // SAFETY: the bytes fit into the mapping, in which no reference points.
        unsafe { bytes.copy_to_nonoverlapping(to, size_of_val(values)) }
    }

    /// A copy of `count` values at `offset`.
    pub fn values<T: Plain>(&self, offset: usize, count: usize) -> Vec<T> {
        assert!(offset + count * size_of::<T>() <= self.size);
        let first = std::ptr::with_exposed_provenance::<T>(self.start + offset);
        // SAFETY: the values lie within the mapping, and any bytes are a value.
        let value = |at| unsafe { first.add(at).read_unaligned() };
        (0..count).map(value).collect()
    }
}

/// Counters that are shared with all children, for as long as the process runs.
pub fn shared_counters<const N: usize>() -> io::Result<&'static [AtomicU64; N]> {
    let memory = Mapping::map(0, size_of::<[AtomicU64; N]>(), MapFlags::SHARED)?;
    let first = std::ptr::with_exposed_provenance::<[AtomicU64; N]>(memory.address());
    std::mem::forget(memory);
    // SAFETY: the memory is large enough, zeroed, aligned to a page, never unmapped, and used as
    // atomics alone.
    Ok(unsafe { &*first })
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let start = without_provenance_mut(self.start);
        // SAFETY: the mapping is this one's, and no `Place` of it is left. If it stays mapped,
        // nobody uses it.
        let _ = unsafe { mm::munmap(start, self.size + page_size()) };
    }
}

/// mmap(2) of a page of a file, which is unmapped again.
pub fn map_file(fd: impl AsFd) -> io::Result<()> {
    // SAFETY: a new mapping, where the kernel has room, that nobody uses.
    unsafe {
        let page = mm::mmap(
            null_mut(),
            page_size(),
            ProtFlags::READ,
            MapFlags::SHARED,
            fd,
            0,
        )?;
        Ok(mm::munmap(page, page_size())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_holds_values_up_to_its_end() -> io::Result<()> {
        let (mapping, offset) = Mapping::ending_with(&[1u64, 2, 3])?;
        assert_eq!(mapping.values::<u64>(offset, 3), [1, 2, 3]);
        assert_eq!(mapping.before_end(24).address(), mapping.address() + offset);
        mapping.discard(0, mapping.size())?;
        assert_eq!(mapping.values::<u64>(offset, 3), [0, 0, 0]);
        Ok(())
    }

    #[test]
    #[should_panic(expected = "do not fit")]
    fn a_place_in_a_slice_has_the_room_of_the_slice() {
        let mut events = [Event::default(); 2];
        Place::of(&mut events).with_room_for(3, size_of::<Event>());
    }
}
