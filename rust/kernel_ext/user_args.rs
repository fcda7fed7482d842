// SPDX-License-Identifier: GPL-2.0

//! What is copied from and to userspace.

use super::bindings as ext;
use core::mem::{size_of, MaybeUninit};
use kernel::{
    bindings,
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

pub(crate) use ext::{
    repoll_counts, repoll_create, repoll_ctl, repoll_poll, repoll_select, repoll_source_attach,
    repoll_source_header, repoll_source_setup, repoll_source_status, repoll_source_timer,
    repoll_wait,
};

/// A structure of the user interface: integers only, no padding, grows at its end.
///
/// # Safety
///
/// Every pattern of `size_of::<Self>()` bytes is a valid value, and that is a number of whole words of
/// eight bytes.
pub(crate) unsafe trait UserArg: Sized {
    /// How long it was in its first version, in bytes.
    const MIN_SIZE: usize = size_of::<Self>();
}

// SAFETY: An integer.
unsafe impl UserArg for u64 {}
// SAFETY: Two integers.
unsafe impl UserArg for repoll_create {}
// SAFETY: Integers, and no padding between them.
unsafe impl UserArg for repoll_ctl {}
// SAFETY: Integers, and no padding between them.
unsafe impl UserArg for repoll_source_setup {}
// SAFETY: Integers, and no padding between them.
unsafe impl UserArg for repoll_source_status {}
// SAFETY: Integers, and no padding between them.
unsafe impl UserArg for repoll_source_timer {}
// SAFETY: Integers, and no padding between them.
unsafe impl UserArg for repoll_source_attach {}
// SAFETY: Integers, and no padding between them.
unsafe impl UserArg for repoll_source_header {}
// SAFETY: Integers, and no padding between them.
unsafe impl UserArg for repoll_wait {
    const MIN_SIZE: usize = ext::REPOLL_WAIT_SIZE_VER0 as usize;
}
// SAFETY: Integers, and no padding between them.
unsafe impl UserArg for repoll_poll {}
// SAFETY: Integers, and no padding between them.
unsafe impl UserArg for repoll_select {}
// SAFETY: Words.
unsafe impl UserArg for repoll_counts {}

/// Reads an argument of which the caller's version has `size` bytes, as `copy_struct_from_user()`:
/// what is missing is zero; what is more than we know must be zero (E2BIG). EINVAL if it is shorter
/// than its first version, EFAULT if it can't be read. Process context.
#[inline]
pub(crate) fn read<T: UserArg>(address: usize, size: usize) -> Result<T> {
    if size < T::MIN_SIZE {
        return Err(EINVAL);
    }
    const WORD: usize = size_of::<u64>();
    let mut value = MaybeUninit::<T>::zeroed();
    if size <= size_of::<T>() && size % WORD == 0 {
        // SAFETY: `value` has room for so many words, all zero; the address is checked.
        return if unsafe {
            ext::read_words(value.as_mut_ptr().cast(), address, (size / WORD) as u32)
        } {
            // SAFETY: All bytes are initialised, and any value of them is valid.
            Ok(unsafe { value.assume_init() })
        } else {
            Err(EFAULT)
        };
    }
    let known = size.min(size_of::<T>());
    // SAFETY: The bytes of `value` are initialised and may be written.
    let bytes = unsafe {
        core::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<MaybeUninit<u8>>(), known)
    };
    read_odd(address, size, bytes)?;
    // SAFETY: All bytes are initialised, and any value of them is valid.
    Ok(unsafe { value.assume_init() })
}

/// Reads what is not of a size that we know, or not in words: the first bytes into `known`, and the
/// rest must be zero.
#[cold]
#[inline(never)]
fn read_odd(address: usize, size: usize, known: &mut [MaybeUninit<u8>]) -> Result {
    let mut reader = UserSlice::new(UserPtr::from_addr(address), size).reader();
    reader.read_raw(known)?;
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

/// The bytes of a structure, as userspace has them.
pub(crate) fn as_bytes<T: UserArg>(value: &T) -> &[u8] {
    // SAFETY: The structure has no padding, by the contract of the trait, so all bytes are initialised.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// Writes a result of which the caller's version has `size` bytes: what the caller does not know is
/// left out, what we do not know is zero. EINVAL if it is shorter than its first version, EFAULT if it
/// can't be written. Process context.
pub(crate) fn write<T: UserArg>(address: usize, size: usize, value: &T) -> Result {
    if size < T::MIN_SIZE {
        return Err(EINVAL);
    }
    let bytes = as_bytes(value);
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

/// The caller's array of `struct epoll_event`, filled from its start.
#[derive(Clone, Copy)]
pub(crate) struct EventWriter {
    address: usize,
    left: u32,
    max: u32,
}

impl EventWriter {
    /// The most events that an array can have: `EP_MAX_EVENTS`.
    pub(crate) const MAX_EVENTS: i32 = i32::MAX / size_of::<bindings::epoll_event>() as i32;

    /// An array of `max` events; EINVAL if there are none or too many.
    pub(crate) fn new(address: u64, max: i32) -> Result<Self> {
        if max <= 0 || max > Self::MAX_EVENTS {
            return Err(EINVAL);
        }
        let length = max as usize * size_of::<bindings::epoll_event>();
        // SAFETY: access_ok() has no requirements.
        if !unsafe { ext::access_ok(address as usize, length) } {
            return Err(EFAULT);
        }
        Ok(Self {
            address: address as usize,
            left: max as u32,
            max: max as u32,
        })
    }

    /// How many events have been written.
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
        // SAFETY: The address is checked.
        if !unsafe { ext::put_event(self.address, events, data) } {
            return Err(EFAULT);
        }
        self.address = self
            .address
            .wrapping_add(size_of::<bindings::epoll_event>());
        self.left = self.left.wrapping_sub(1);
        Ok(())
    }
}
