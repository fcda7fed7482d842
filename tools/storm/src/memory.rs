// SPDX-License-Identifier: GPL-2.0
//! Memory to point the kernel at: good, bad, half good, and such that makes it wait.

use repoll_testkit::random::Random;
use std::ptr::null_mut;

/// A multiple of the size of pages.
const PAGE: usize = 64 * 1024;
/// Pages to read and write; behind them one that is read-only, one without any right, one that
/// stalls, and a hole.
const GOOD: usize = 4;
const READ_ONLY: usize = GOOD;
const STALLING: usize = GOOD + 2;
const HOLE: usize = GOOD + 3;

/// Of `<linux/userfaultfd.h>`.
const UFFD_API: libc::c_ulong = 0xc018_aa3f;
const UFFD_REGISTER: libc::c_ulong = 0xc020_aa00;
const UFFD_ZEROPAGE: libc::c_ulong = 0xc020_aa04;
const UFFD_USER_MODE_ONLY: i32 = 1;

/// The memory of one thread.
///
/// # Invariants
///
/// Nothing but random calls and [`Memory::put`] uses it: no reference points into it. What is
/// mapped is never unmapped.
pub struct Memory {
    base: usize,
    end_of_user_space: usize,
    faults: Option<i32>,
}

impl Memory {
    /// New memory. `None` if there is none. Its userfaultfd gets a number from `numbers` on.
    pub fn new(numbers: i32, end_of_user_space: usize) -> Option<Self> {
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, of which parts are changed that nobody uses yet.
        let base = unsafe {
            let base = libc::mmap(null_mut(), (HOLE + 1) * PAGE, rights, anonymous, -1, 0);
            if base == libc::MAP_FAILED {
                return None;
            }
            let page = |number: usize| base.add(number * PAGE);
            libc::mprotect(page(READ_ONLY), PAGE, libc::PROT_READ);
            libc::mprotect(page(READ_ONLY + 1), PAGE, libc::PROT_NONE);
            libc::munmap(page(HOLE), PAGE);
            base as usize
        };
        let faults = stall(base + STALLING * PAGE, numbers);
        Some(Self {
            base,
            end_of_user_space,
            faults,
        })
    }

    /// Puts a value somewhere, and returns the address; or another address, where it is not.
    pub fn put<T: Copy>(&self, random: &mut Random, value: T) -> usize {
        if random.chance(12) {
            return self.anywhere(random);
        }
        self.place(random, value)
    }

    /// Puts a value somewhere, and returns the address.
    pub fn place<T: Copy>(&self, random: &mut Random, value: T) -> usize {
        let size = size_of::<T>();
        let at = self.base + random.below(GOOD * PAGE - size) / 8 * 8;
        // SAFETY: there is room in the good pages. Other users of them, the kernel or another
        // thread that has the address, accept any bytes.
        unsafe { (at as *mut T).write_unaligned(value) };
        at
    }

    /// An address with room for `size` bytes; or another one.
    pub fn room(&self, random: &mut Random, size: usize) -> usize {
        if random.chance(12) {
            return self.anywhere(random);
        }
        self.base + random.below((GOOD * PAGE).saturating_sub(size).max(8)) / 8 * 8
    }

    /// An address that programs hardly ever pass.
    pub fn anywhere(&self, random: &mut Random) -> usize {
        // None is of memory that is in use for something else.
        let page = |number: usize| self.base + number * PAGE;
        match random.below(14) {
            0 => 0,
            1 => random.below(PAGE),
            2 => page(READ_ONLY),
            3 => page(READ_ONLY) - random.below(64),
            4 => page(READ_ONLY + 1),
            5 => page(READ_ONLY + 1) - random.below(64),
            6 => page(HOLE),
            7 => self.base + random.below(GOOD * PAGE),
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
        let Some(faults) = self.faults else { return };
        let page = self.base + STALLING * PAGE;
        let mut argument = [page as u64, PAGE as u64, 0, 0];
        // SAFETY: the request is about our page, and has four words.
        unsafe {
            libc::ioctl(faults, UFFD_ZEROPAGE, argument.as_mut_ptr());
            libc::madvise(page as *mut _, PAGE, libc::MADV_DONTNEED);
        }
    }
}

/// Makes a page stall each access; only accesses in user mode, if no more is allowed.
fn stall(page: usize, numbers: i32) -> Option<i32> {
    // SAFETY: the calls take numbers, and structures of the right size; they are about our page.
    unsafe {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        let mut fd = libc::syscall(libc::SYS_userfaultfd, flags) as i32;
        if fd < 0 {
            fd = libc::syscall(libc::SYS_userfaultfd, flags | UFFD_USER_MODE_ONLY) as i32;
        }
        if fd < 0 {
            return None;
        }
        let high = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, numbers);
        libc::close(fd);
        let mut api = [0xaa_u64, 0, 0];
        let mut register = [page as u64, PAGE as u64, 1, 0];
        if high < 0
            || libc::ioctl(high, UFFD_API, api.as_mut_ptr()) < 0
            || libc::ioctl(high, UFFD_REGISTER, register.as_mut_ptr()) < 0
        {
            return None;
        }
        Some(high)
    }
}
