// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is not carried, said once by each process, in a line, to what was standard error of
//! `repoll-exec`; not if `repoll-exec` is to be quiet.
//!
//! A program may have closed descriptor 2 and have its own data under that number. So a line is
//! written only if the file is the one that `repoll-exec` has named in the environment.

use crate::raw;
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use libc::{c_int, c_long};

/// Holds, in the environment, the device and the inode of the file to write to, as `DEVICE:INODE`.
pub const VARIABLE: &CStr = c"REPOLL_NOTICES";

const STDERR: c_int = 2;

static DEVICE: AtomicU64 = AtomicU64::new(0);
/// 0 if nothing is to be said: no file has that number.
static INODE: AtomicU64 = AtomicU64::new(0);

/// Looks where to say it. To be called before the program runs.
pub fn inherit() {
    let file = raw::environment(VARIABLE).and_then(|value| {
        let (device, inode) = value.split_once(':')?;
        Some((device.parse().ok()?, inode.parse().ok()?))
    });
    if let Some((device, inode)) = file {
        DEVICE.store(device, Relaxed);
        INODE.store(inode, Relaxed);
    }
}

/// The device and the inode of standard error.
pub fn standard_error() -> Option<(u64, u64)> {
    raw::stat(STDERR).map(|file| (file.st_dev, file.st_ino))
}

/// A line that is put together without memory from anywhere. What is too long is cut off.
struct Line {
    bytes: [u8; 512],
    length: usize,
}

impl Line {
    fn new() -> Self {
        Self {
            bytes: [0; 512],
            length: 0,
        }
    }

    /// Control characters, of a file's name for instance, become question marks.
    fn add(&mut self, text: &[u8]) {
        // One byte is left for the end of the line.
        let room = &mut self.bytes[self.length..511];
        for (to, from) in room.iter_mut().zip(text) {
            *to = if *from < b' ' { b'?' } else { *from };
        }
        self.length += room.len().min(text.len());
    }

    fn add_number(&mut self, mut number: u32) {
        let mut digits = [0; 10];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.add(&digits[first..]);
    }

    fn write(mut self) {
        self.bytes[self.length] = b'\n';
        let bytes = &self.bytes[..=self.length];
        let arguments = [
            STDERR.into(),
            bytes.as_ptr() as c_long,
            bytes.len() as c_long,
            0,
            0,
            0,
        ];
        // SAFETY: the bytes are only read.
        unsafe { raw::call(libc::SYS_write, arguments) };
    }
}

/// Something that is said once.
struct Once(AtomicBool);

impl Once {
    const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Begins the line with the program's name. `None` if there is nothing to be said (any more),
    /// or nowhere to say it.
    #[cold]
    fn line(&self) -> Option<Line> {
        let inode = INODE.load(Relaxed);
        if inode == 0 || self.0.swap(true, Relaxed) {
            return None;
        }
        if standard_error() != Some((DEVICE.load(Relaxed), inode)) {
            return None;
        }
        let mut line = Line::new();
        line.add(b"repoll-exec: ");
        // SAFETY: the C library has set it before any library's code runs, and nobody writes it.
        let name = unsafe { program_invocation_short_name };
        if !name.is_null() {
            // SAFETY: it is a string that ends in a zero byte, the program's name.
            line.add(unsafe { CStr::from_ptr(name) }.to_bytes());
            line.add(b": ");
        }
        Some(line)
    }
}

extern "C" {
    static program_invocation_short_name: *const libc::c_char;
}

/// The program installs a filter of system calls.
pub fn sandbox() {
    static SAID: Once = Once::new();
    if let Some(mut line) = SAID.line() {
        line.add(b"it installs a filter of system calls: new calls are not carried from here on");
        line.write();
    }
}

/// The device can't be opened or used.
pub fn no_device(error: c_int) {
    static SAID: Once = Once::new();
    if let Some(mut line) = SAID.line() {
        line.add(b"calls are not carried: /dev/repoll can't be opened or used there (");
        match error {
            libc::ENOENT => line.add(b"ENOENT"),
            libc::EACCES => line.add(b"EACCES"),
            libc::EPERM => line.add(b"EPERM"),
            libc::ENOTTY => line.add(b"ENOTTY"),
            _ => {
                line.add(b"errno ");
                line.add_number(error.unsigned_abs());
            }
        }
        line.add(b")");
        line.write();
    }
}

/// A library is loaded with `RTLD_DEEPBIND`.
pub fn deep_binding(file: &[u8]) {
    static SAID: Once = Once::new();
    library(&SAID, file, b" with RTLD_DEEPBIND");
}

/// A library is loaded into a namespace of its own.
pub fn other_namespace(file: &[u8]) {
    static SAID: Once = Once::new();
    library(&SAID, file, b" by dlmopen()");
}

fn library(said: &Once, file: &[u8], way: &[u8]) {
    if let Some(mut line) = said.line() {
        line.add(b"it loads ");
        line.add(file);
        line.add(way);
        line.add(b": calls from there are not carried");
        line.write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_cut_off() {
        let mut line = Line::new();
        line.add(b"a\nb ");
        line.add_number(0);
        line.add_number(u32::MAX);
        assert_eq!(&line.bytes[..line.length], b"a?b 04294967295");
        line.add(&[b'x'; 600]);
        assert_eq!(line.length, 511);
    }

    #[test]
    fn nothing_is_said_without_a_place() {
        static SAID: Once = Once::new();
        assert!(SAID.line().is_none());
    }
}
