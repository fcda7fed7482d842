// SPDX-License-Identifier: GPL-2.0
//! Descriptors by their numbers.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// A descriptor by its number, as a C program has it. It may not be open.
///
/// For system calls only: of a number that is not open they say EBADF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(pub RawFd);

impl AsRawFd for Number {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl AsFd for Number {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // -1 has a meaning of its own in `BorrowedFd`. The number in its place is as invalid.
        let number = if self.0 == -1 { RawFd::MAX } else { self.0 };
        // SAFETY: the borrow reaches nothing but system calls, which check the number. The programs
        // that use numbers own what they open under them.
        unsafe { BorrowedFd::borrow_raw(number) }
    }
}
