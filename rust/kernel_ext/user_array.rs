// SPDX-License-Identifier: GPL-2.0

//! Arrays from and to userspace: short ones on the stack, long ones wherever there is room.

use super::{
    bindings as ext,
    task, //
};
use core::{
    mem::MaybeUninit,
    ops::{Deref, DerefMut}, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*,
    transmute::FromBytes,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// `struct pollfd`, as userspace has it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct PollFd {
    pub(crate) fd: i32,
    pub(crate) events: u16,
    pub(crate) revents: u16,
}

const _: () = assert!(size_of::<PollFd>() == size_of::<u64>());

// SAFETY: Integers.
unsafe impl FromBytes for PollFd {}

/// The contents of a caller's array.
pub(crate) enum Array<'a, T> {
    /// In the room that the reader of the array had for it.
    Stack(&'a mut [T]),
    /// Allocated.
    Heap(KVVec<T>),
}

impl<'a, T: FromBytes> Array<'a, T> {
    /// Reads `count` elements, into `room` if they fit. It allocates memory only as the caller's
    /// memory turns out to be readable: a large count alone costs nothing.
    ///
    /// EFAULT; ENOMEM, also for more than 1 GiB; EINTR if the task is killed. Process context,
    /// sleeps.
    #[inline]
    pub(crate) fn read(room: &'a mut [MaybeUninit<T>], address: u64, count: usize) -> Result<Self> {
        if count <= room.len() {
            let room = &mut room[..count];
            copy_in(room, address)?;
            // SAFETY: All elements are initialised, and any bytes make a valid one.
            return Ok(Self::Stack(unsafe {
                core::slice::from_raw_parts_mut(room.as_mut_ptr().cast::<T>(), count)
            }));
        }
        read_long(address, count).map(Self::Heap)
    }
}

/// The size up to which memory for the array is taken at once, whatever can be read of it.
const FIRST_BYTES: usize = 1 << 20;

/// The number of bytes read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// The most bytes of an array. `kvmalloc()` accepts less than twice as many, and a growing vector
/// doubles its size.
const MAX_BYTES: usize = 1 << 30;

/// As [`Array::read`].
fn read_long<T: FromBytes>(address: u64, count: usize) -> Result<KVVec<T>> {
    let first = count.min(FIRST_BYTES / size_of::<T>());
    let mut heap = KVVec::with_capacity(first, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
    while heap.len() < count {
        task::yield_or_die()?;
        let done = heap.len();
        let chunk = (count - done).min(CHUNK_BYTES / size_of::<T>());
        if (done + chunk) * size_of::<T>() > MAX_BYTES {
            return Err(ENOMEM);
        }
        heap.reserve(chunk, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        let from = address.wrapping_add((done * size_of::<T>()) as u64);
        copy_in(&mut heap.spare_capacity_mut()[..chunk], from)?;
        // SAFETY: There is room for these elements, and they are initialised.
        unsafe { heap.inc_len(chunk) };
    }
    Ok(heap)
}

impl<T> Deref for Array<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match self {
            Self::Stack(slice) => slice,
            Self::Heap(vec) => vec,
        }
    }
}

impl<T> DerefMut for Array<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::Stack(slice) => slice,
            Self::Heap(vec) => vec,
        }
    }
}

fn copy_in<T: FromBytes>(to: &mut [MaybeUninit<T>], address: u64) -> Result {
    let length = size_of_val(to);
    // SAFETY: The same memory, of which any bytes may be written.
    let bytes = unsafe {
        core::slice::from_raw_parts_mut(to.as_mut_ptr().cast::<MaybeUninit<u8>>(), length)
    };
    UserSlice::new(UserPtr::from_addr(address as usize), length)
        .reader()
        .read_raw(bytes)
}

/// Zero words: in `room` if they fit. ENOMEM. Process context.
pub(crate) fn zeroed(room: &mut [u64], count: usize) -> Result<Array<'_, u64>> {
    Ok(match room.get_mut(..count) {
        Some(room) => Array::Stack(room),
        None => Array::Heap(KVVec::from_elem(
            0,
            count,
            GFP_KERNEL_ACCOUNT | __GFP_NOWARN,
        )?),
    })
}

/// Fills `words` from the caller's memory. EFAULT. Process context.
pub(crate) fn read_words(words: &mut [u64], address: u64) -> Result {
    // SAFETY: What is initialised may be taken as what need not be; only whole words are written.
    let words = unsafe {
        core::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<MaybeUninit<u64>>(), words.len())
    };
    copy_in(words, address)
}

/// Writes `words` to the caller's memory. EFAULT. Process context.
pub(crate) fn write_words(address: u64, words: &[u64]) -> Result {
    // SAFETY: Words may be looked at as bytes.
    let bytes = unsafe {
        core::slice::from_raw_parts(words.as_ptr().cast::<u8>(), core::mem::size_of_val(words))
    };
    UserSlice::new(UserPtr::from_addr(address as usize), bytes.len())
        .writer()
        .write_slice(bytes)
}

/// Writes back what [`PollFd::revents`] says, to the array that `fds` was read from. EFAULT. Process
/// context.
pub(crate) fn write_revents(address: u64, fds: &[PollFd]) -> Result {
    // SAFETY: There are so many; the address is checked.
    let written =
        unsafe { ext::put_revents(address as usize, fds.as_ptr().cast(), fds.len() as u32) };
    if written {
        Ok(())
    } else {
        Err(EFAULT)
    }
}
