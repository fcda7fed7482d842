// SPDX-License-Identifier: MIT OR Apache-2.0
//! Access to memory of the program that may be unmapped.
//!
//! The kernel fails with EFAULT for a bad pointer, so the library must not crash on it. The ioctls
//! take the event's fields inline, so the library has to read the event itself.

use crate::raw;
use libc::c_long;

/// The smallest page size of any architecture. Two addresses on one such page are also on one page
/// of a larger size.
const PAGE: usize = 4096;

/// Reads a `T`; `None` if it can't be read.
///
/// # Safety
///
/// Every pattern of bytes is a valid `T`. Memory that is readable now stays readable during the
/// call.
#[inline]
pub unsafe fn read<T: Copy>(from: *const T) -> Option<T> {
    // SAFETY: the memory can be read, and any bytes are a valid `T`.
    readable(from.cast(), size_of::<T>()).then(|| unsafe { from.read_unaligned() })
}

/// Whether the `length` bytes (8 to a page) at `from` can be read.
///
/// The current page of the stack is readable; nearly every program has the event of `epoll_ctl`
/// there. For other addresses the kernel is asked, with a call that reads 8 bytes and then fails
/// without effect: `rt_sigprocmask` with an operation that does not exist. This call works
/// everywhere, is cheap (`process_vm_readv` walks page tables), and no seccomp filter refuses it,
/// as no program would survive that.
#[inline]
pub fn readable(from: *const u8, length: usize) -> bool {
    let here = 0u8;
    let page = |address: usize| address / PAGE;
    let first = from as usize;
    let last = match first.checked_add(length - 1) {
        Some(last) if first != 0 => last,
        // The call below takes null for "no set".
        _ => return false,
    };
    let known = page(&raw const here as usize);
    if page(first) == known && page(last) == known {
        return true;
    }
    kernel_reads(first) && (page(first) == page(last) || kernel_reads(last - 7))
}

/// Writes a `T`, or nothing if the memory can't be written.
///
/// The current page of the stack is writable. For other addresses the kernel is asked, with
/// `rt_sigprocmask` without a new mask, which writes 8 bytes, the current mask.
///
/// # Safety
///
/// During the call, the writable part of the memory at `to` belongs to the caller.
#[inline]
pub unsafe fn write<T: Copy>(to: *mut T, value: T) {
    const { assert!(size_of::<T>() == 16) };
    let here = 0u8;
    let page = |address: usize| address / PAGE;
    let first = to as usize;
    let known = page(&raw const here as usize);
    let is_known = page(first) == known && first.checked_add(15).map(page) == Some(known);
    if is_known || (kernel_writes(first) && kernel_writes(first.wrapping_add(8))) {
        // SAFETY: the memory can be written, and belongs to the caller.
        unsafe { to.write_unaligned(value) };
    }
}

#[cold]
fn kernel_writes(address: usize) -> bool {
    let arguments = [libc::SIG_BLOCK.into(), 0, address as c_long, 8, 0, 0];
    // SAFETY: the kernel checks the address; the caller owns the memory. No mask changes.
    let result = unsafe { raw::call(libc::SYS_rt_sigprocmask, arguments) };
    result == 0
}

#[cold]
fn kernel_reads(address: usize) -> bool {
    const NO_OPERATION: c_long = -1;
    let arguments = [NO_OPERATION, address as c_long, 0, 8, 0, 0];
    // SAFETY: the kernel checks the address and then rejects the operation.
    let result = unsafe { raw::call(libc::SYS_rt_sigprocmask, arguments) };
    result != -c_long::from(libc::EFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A multiple of all page sizes.
    const PAGE: usize = 64 * 1024;

    /// Maps two pages, of which only the first can be read.
    fn half_readable() -> *mut u8 {
        // SAFETY: new memory, at an address that the kernel chooses.
        unsafe {
            let memory = libc::mmap(
                std::ptr::null_mut(),
                2 * PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(memory, libc::MAP_FAILED);
            assert_eq!(
                libc::mprotect(memory.byte_add(PAGE), PAGE, libc::PROT_NONE),
                0
            );
            memory.cast()
        }
    }

    #[test]
    fn stack_heap_and_statics_are_readable() {
        static STATIC: [u8; 16] = [0; 16];
        let stack = [0u8; 16];
        let heap = Box::new([0u8; 16]);
        for memory in [&STATIC[..], &stack[..], &heap[..]] {
            assert!(readable(memory.as_ptr(), memory.len()));
        }
    }

    #[test]
    fn unreadable_memory_is_not_read() {
        for bad in [0, 8, 0xdead_0000_0000, 1 << 63, usize::MAX - 4, usize::MAX] {
            assert!(!readable(bad as *const u8, 12), "{bad:#x}");
        }
    }

    #[test]
    fn unwritable_memory_is_not_written() {
        let memory = half_readable();
        // SAFETY: both pages belong to this test.
        unsafe {
            for (offset, written) in [(0, true), (PAGE - 16, true), (PAGE - 8, false)] {
                let place = memory.wrapping_add(offset).cast::<[u64; 2]>();
                write(place, [7, 8]);
                if written {
                    assert_eq!(place.read_unaligned(), [7, 8]);
                }
            }
            assert_eq!(libc::mprotect(memory.cast(), PAGE, libc::PROT_READ), 0);
            write(memory.cast::<[u64; 2]>(), [9, 9]);
            assert_eq!(memory.cast::<[u64; 2]>().read_unaligned(), [7, 8]);
        }
        // SAFETY: nothing can be written there.
        unsafe { write(8 as *mut [u64; 2], [9, 9]) };
    }

    #[test]
    fn both_ends_must_be_readable() {
        let memory = half_readable();
        for (offset, expected) in [
            (0, true),
            (PAGE - 12, true),
            (PAGE - 11, false),
            (PAGE - 1, false),
            (PAGE, false),
        ] {
            assert_eq!(
                readable(memory.wrapping_add(offset), 12),
                expected,
                "{offset}"
            );
        }
    }
}
