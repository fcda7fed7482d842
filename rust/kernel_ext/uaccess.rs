// SPDX-License-Identifier: GPL-2.0

//! Structures and arrays from and to userspace.
//!
//! C header: [`include/linux/uaccess.h`](srctree/include/linux/uaccess.h)
//!
//! `kernel::uaccess` copies byte by byte, through a call of C each. A structure of a system call is
//! a few words, which are copied here one by one without a call of `copy_from_user()`.

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
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};
use zerocopy::Immutable;

/// The structure of a system call's argument, which may grow at its end.
///
/// It has no padding, and every pattern of bytes is a valid value: the traits' derives check both.
///
/// # Examples
///
/// ```
/// use crate::kernel_ext::uaccess::{self, UserArg};
///
/// #[repr(C)]
/// #[derive(FromBytes, IntoBytes, zerocopy_derive::Immutable)]
/// struct Setup {
///     flags: u32,
///     count: u32,
///     // Since the second version.
///     timeout: u64,
/// }
///
/// impl UserArg for Setup {
///     const MIN_SIZE: usize = 8;
/// }
///
/// /// `size` is the structure's size in the caller's version.
/// fn setup(address: usize, size: usize) -> Result {
///     let setup: Setup = uaccess::read(address, size)?;
///     if setup.flags != 0 {
///         return Err(EINVAL);
///     }
///     uaccess::write(address, size, &setup)
/// }
/// ```
pub(crate) trait UserArg: Sized + FromBytes + IntoBytes + Immutable {
    /// The size of its first version, in bytes.
    const MIN_SIZE: usize = size_of::<Self>();
}

impl UserArg for u64 {}

/// A value at the alignment of a word.
#[repr(C, align(8))]
struct Aligned<T>(T);

/// Reads an argument whose size is `size` bytes in the caller's version, as
/// `copy_struct_from_user()`: missing bytes are zero, and bytes past the known size must be zero
/// (E2BIG). EINVAL if it is shorter than its first version, EFAULT if it can't be read. Process
/// context.
#[inline]
pub(crate) fn read<T: UserArg>(address: usize, size: usize) -> Result<T> {
    if size < T::MIN_SIZE {
        return Err(EINVAL);
    }
    const WORD: usize = size_of::<u64>();
    let mut value = Aligned(T::new_zeroed());
    if size <= size_of::<T>() && size % WORD == 0 {
        let to = value.0.as_mut_bytes().as_mut_ptr();
        // SAFETY: `value` is aligned, and has room for this number of words. The helper checks the
        // address.
        return if unsafe { ext::read_words(to.cast(), address, (size / WORD) as u32) } {
            Ok(value.0)
        } else {
            Err(EFAULT)
        };
    }
    let known = size.min(size_of::<T>());
    read_odd(address, size, &mut value.0.as_mut_bytes()[..known])?;
    Ok(value.0)
}

/// Reads an argument whose size is not a known number of words: the first bytes into `known`; the
/// others must be zero.
#[cold]
#[inline(never)]
fn read_odd(address: usize, size: usize, known: &mut [u8]) -> Result {
    let mut reader = UserSlice::new(UserPtr::from_addr(address), size).reader();
    reader.read_slice(known)?;
    while !reader.is_empty() {
        let mut rest = [0u8; 64];
        let rest = &mut rest[..reader.len().min(64)];
        reader.read_slice(rest)?;
        if rest.iter().any(|&byte| byte != 0) {
            return Err(E2BIG);
        }
    }
    Ok(())
}

/// Writes a result whose size is `size` bytes in the caller's version: bytes that the caller does
/// not know are left out, bytes past the known size are zero. EINVAL if it is shorter than its
/// first version, EFAULT if it can't be written. Process context.
pub(crate) fn write<T: UserArg>(address: usize, size: usize, value: &T) -> Result {
    if size < T::MIN_SIZE {
        return Err(EINVAL);
    }
    let bytes = value.as_bytes();
    let mut writer = UserSlice::new(UserPtr::from_addr(address), size).writer();
    writer.write_slice(&bytes[..size.min(bytes.len())])?;
    while !writer.is_empty() {
        writer.write_slice(&[0; 64][..writer.len().min(64)])?;
    }
    Ok(())
}

/// Writes an `int`. EFAULT if it can't be written. Process context.
pub(crate) fn write_int(address: usize, value: i32) -> Result {
    let user = UserPtr::from_addr(address);
    UserSlice::new(user, size_of::<i32>())
        .writer()
        .write_slice(&value.to_ne_bytes())
}

/// Whether `length` bytes at `address` are within the range of userspace addresses.
pub(crate) fn access_ok(address: usize, length: usize) -> bool {
    // SAFETY: access_ok() has no requirements.
    unsafe { ext::access_ok(address, length) }
}

/// Writes a `struct epoll_event`. EFAULT if it can't be written. Process context.
#[inline]
pub(crate) fn put_epoll_event(address: usize, events: u32, data: u64) -> Result {
    // SAFETY: The helper checks the address.
    if unsafe { ext::put_event(address, events, data) } {
        Ok(())
    } else {
        Err(EFAULT)
    }
}

/// `struct pollfd`, as userspace has it.
#[repr(C, align(8))]
#[derive(Clone, Copy, FromBytes)]
pub(crate) struct PollFd {
    pub(crate) fd: i32,
    pub(crate) events: u16,
    pub(crate) revents: u16,
}

const _: () = assert!(size_of::<PollFd>() == size_of::<u64>());

/// Writes each [`PollFd::revents`] back to the array that `fds` was read from. EFAULT. Process
/// context.
pub(crate) fn write_revents(address: u64, fds: &[PollFd]) -> Result {
    // SAFETY: `fds` has this number of elements, each a `struct pollfd`. The helper checks the
    // address.
    let written =
        unsafe { ext::put_revents(address as usize, fds.as_ptr().cast(), fds.len() as u32) };
    if written {
        Ok(())
    } else {
        Err(EFAULT)
    }
}

/// The contents of a caller's array: a short one on the stack, a long one allocated.
///
/// # Examples
///
/// ```
/// use crate::kernel_ext::uaccess::{Array, PollFd};
/// use core::mem::MaybeUninit;
///
/// /// The number of descriptors in the caller's array of `count` that are not negative.
/// fn used(address: u64, count: usize) -> Result<usize> {
///     let mut room = [const { MaybeUninit::uninit() }; 32];
///     let fds = Array::<PollFd>::read(&mut room, address, count)?;
///     Ok(fds.iter().filter(|fd| fd.fd >= 0).count())
/// }
/// ```
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

/// The size up to which memory for the array is allocated at once, before any of it is read.
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

/// Fills `to`. EFAULT; then it may be filled in part.
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
    let bytes = words.as_mut_bytes();
    UserSlice::new(UserPtr::from_addr(address as usize), bytes.len())
        .reader()
        .read_slice(bytes)
}

/// Writes `words` to the caller's memory. EFAULT. Process context.
pub(crate) fn write_words(address: u64, words: &[u64]) -> Result {
    let bytes = words.as_bytes();
    UserSlice::new(UserPtr::from_addr(address as usize), bytes.len())
        .writer()
        .write_slice(bytes)
}
