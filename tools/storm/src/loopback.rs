// SPDX-License-Identifier: GPL-2.0
//! The loopback interface of a network namespace.

use repoll_testkit::raw;
use std::os::fd::AsRawFd;

/// Brings the loopback of this network namespace up or down. Any socket will do.
pub fn set_loopback(socket: &impl AsRawFd, up: bool) {
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: i16,
        rest: [u8; 22],
    }
    let mut request = Request {
        name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        flags: i16::from(up),
        rest: [0; 22],
    };
    let address = (&raw mut request) as usize;
    // SAFETY: it is the structure that the request takes. The socket may be any file.
    let _ = unsafe { raw::ioctl(socket, libc::SIOCSIFFLAGS as u32, address) };
}
