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
    repoll_counts, repoll_create, repoll_ctl, repoll_poll, repoll_select, repoll_wait,
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
    let mut reader = UserSlice::new(UserPtr::from_addr(address), size).reader();
    reader.read_raw(bytes)?;
    while !reader.is_empty() {
        let mut rest = [0u8; 64];
        let rest = &mut rest[..reader.len().min(64)];
        reader.read_slice(rest)?;
        if rest.iter().any(|&byte| byte != 0) {
            return Err(E2BIG);
        }
    }
    // SAFETY: All bytes are initialised, and any value of them is valid.
    Ok(unsafe { value.assume_init() })
}

/// The caller's array of `struct epoll_event`, filled from its start.
pub(crate) struct EventWriter {
    address: usize,
    left: i32,
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
            left: max,
        })
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
        self.left -= 1;
        Ok(())
    }
}
