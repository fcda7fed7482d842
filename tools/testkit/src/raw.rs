// SPDX-License-Identifier: GPL-2.0
//! The raw interface of the kernel, for what rustix does not offer.

use crate::memory::Place;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The result of a call of the C library, -1 turned into the error in `errno`.
pub fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes a system call with up to six arguments.
///
/// # Safety
///
/// The kernel reads and writes at the addresses among the arguments, and acts on the descriptors
/// among them, as the call is documented to. That must be no more than the caller may do. An
/// address where nothing is mapped is safe: the call fails with EFAULT.
pub unsafe fn syscall<const N: usize>(
    number: libc::c_long,
    arguments: [usize; N],
) -> io::Result<usize> {
    const { assert!(N <= 6) };
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    let [a, b, c, d, e, f] = all;
    // SAFETY: by the contract of this function.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Makes a system call, as [`syscall`], that returns a new descriptor.
///
/// # Safety
///
/// As [`syscall`]; and the call makes a descriptor, which the kernel gives to nobody else.
pub unsafe fn new_descriptor<const N: usize>(
    number: libc::c_long,
    arguments: [usize; N],
) -> io::Result<OwnedFd> {
    // SAFETY: by the contract of this function.
    unsafe { Ok(OwnedFd::from_raw_fd(syscall(number, arguments)? as RawFd)) }
}

/// ioctl(2) with a number or an address as the argument.
///
/// # Safety
///
/// As [`syscall`].
pub unsafe fn ioctl(fd: &impl AsRawFd, request: u32, argument: usize) -> io::Result<usize> {
    let fd = fd.as_raw_fd() as usize;
    // SAFETY: by the contract of this function.
    unsafe { syscall(libc::SYS_ioctl, [fd, request as usize, argument]) }
}

/// ioctl(2) with an address as the argument where nothing is: see [`Place::nowhere`].
pub fn ioctl_nowhere(fd: &impl AsRawFd, request: u32, address: usize) -> io::Result<usize> {
    let address = Place::nowhere(address).address();
    // SAFETY: the kernel can neither read an argument there nor write one.
    unsafe { ioctl(fd, request, address) }
}
