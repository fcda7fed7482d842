// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reports each kind of gap once per process, in one line on the standard error of `repoll-exec`,
//! unless that runs with `--quiet`.
//!
//! A program may have closed descriptor 2 and opened its own data under that number. So a line is
//! written only if the file is the one that `repoll-exec` names in the environment.

use crate::{arch, raw};
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use libc::{c_int, c_long};

/// The environment variable with the device and inode of the file to write to, as `DEVICE:INODE`.
pub const VARIABLE: &CStr = c"REPOLL_NOTICES";

const STDERR: c_int = 2;

static DEVICE: AtomicU64 = AtomicU64::new(0);
/// 0, which no file has as its inode, if nothing is to be reported.
static INODE: AtomicU64 = AtomicU64::new(0);

/// Reads which file to write to. Must be called before the program runs.
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

/// A line, built without an allocation. A line that is too long is truncated.
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

    /// Appends text. Control characters, in a file name for instance, become question marks.
    fn add(&mut self, text: &[u8]) {
        // One byte is reserved for the end of the line.
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
        if is_writable() {
            without_signals(|| {
                let (start, length) = (bytes.as_ptr() as c_long, bytes.len() as c_long);
                // SAFETY: the call only reads the bytes.
                unsafe { raw::call(libc::SYS_write, [STDERR.into(), start, length, 0, 0, 0]) }
            });
        }
    }
}

/// Whether a write would not block.
fn is_writable() -> bool {
    let mut file = libc::pollfd {
        fd: STDERR,
        events: libc::POLLOUT,
        revents: 0,
    };
    arch::poll_now(&mut file) == 1 && file.revents & libc::POLLOUT != 0
}

/// Calls `write` with two signals blocked, so that a failure does not end the program: SIGPIPE if
/// no reader is left, SIGXFSZ if the program may not write files (OpenSSH's sandbox).
fn without_signals(write: impl FnOnce() -> c_long) {
    const SET: c_long = size_of::<u64>() as c_long;
    let bit = |signal: c_int| 1u64 << (signal - 1);
    let both = bit(libc::SIGPIPE) | bit(libc::SIGXFSZ);
    let (mut mask, mut pending) = (0u64, 0u64);
    let mask_of = |how: c_int, new: *const u64, old: *mut u64| {
        let arguments = [how.into(), new as c_long, old as c_long, SET, 0, 0];
        // SAFETY: each pointer is null or a valid mask. Only the two signals are delayed, briefly.
        unsafe { raw::call(libc::SYS_rt_sigprocmask, arguments) };
    };
    mask_of(libc::SIG_BLOCK, &both, &mut mask);
    // SAFETY: the argument can be written.
    unsafe {
        raw::call(
            libc::SYS_rt_sigpending,
            [&raw mut pending as c_long, SET, 0, 0, 0, 0],
        )
    };
    if write() < 0 {
        // Consumes only signals that the write has caused.
        let caused = both & !pending;
        let none = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let (set, time) = (&raw const caused as c_long, &raw const none as c_long);
        // SAFETY: both pointers are valid, and nothing is written to null.
        unsafe { raw::call(libc::SYS_rt_sigtimedwait, [set, 0, time, SET, 0, 0]) };
    }
    mask_of(libc::SIG_SETMASK, &mask, core::ptr::null_mut());
}

/// A notice that is written once.
struct Once(AtomicBool);

impl Once {
    const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Begins a line with the program's name. `None` if the notice was written before, or can't be
    /// written.
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
        // SAFETY: the C library sets it before any library's code runs, and nothing changes it.
        let name = unsafe { program_invocation_short_name };
        if !name.is_null() {
            // SAFETY: the program's name is a string that ends in a zero byte.
            line.add(unsafe { CStr::from_ptr(name) }.to_bytes());
            line.add(b": ");
        }
        Some(line)
    }
}

extern "C" {
    static program_invocation_short_name: *const libc::c_char;
}

/// Reports that the program installs a seccomp filter.
pub fn sandbox() {
    static SAID: Once = Once::new();
    if let Some(mut line) = SAID.line() {
        line.add(b"it installs a seccomp filter: new calls are no longer carried");
        line.write();
    }
}

/// Reports that the device can't be opened or used.
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

/// Reports that a library is loaded with `RTLD_DEEPBIND`.
pub fn deep_binding(file: &[u8]) {
    static SAID: Once = Once::new();
    library(&SAID, file, b" with RTLD_DEEPBIND");
}

/// Reports that a library is loaded into its own namespace.
pub fn other_namespace(file: &[u8]) {
    static SAID: Once = Once::new();
    library(&SAID, file, b" by dlmopen()");
}

fn library(said: &Once, file: &[u8], way: &[u8]) {
    if let Some(mut line) = said.line() {
        line.add(b"it loads ");
        line.add(file);
        line.add(way);
        line.add(b": its calls are not carried");
        line.write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_built_and_truncated() {
        let mut line = Line::new();
        line.add(b"a\nb ");
        line.add_number(0);
        line.add_number(u32::MAX);
        assert_eq!(&line.bytes[..line.length], b"a?b 04294967295");
        line.add(&[b'x'; 600]);
        assert_eq!(line.length, 511);
    }

    #[test]
    fn a_failed_write_sends_no_signal() {
        let (mut pipe, mut pending) = ([0; 2], 0u64);
        // SAFETY: all pointers are valid, and the descriptors belong to this test.
        unsafe {
            assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
            libc::close(pipe[0]);
            // The test's runtime ignores SIGPIPE.
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            without_signals(|| {
                let byte = 0u8;
                raw::call(
                    libc::SYS_write,
                    [pipe[1].into(), &raw const byte as c_long, 1, 0, 0, 0],
                )
            });
            raw::call(
                libc::SYS_rt_sigpending,
                [&raw mut pending as c_long, 8, 0, 0, 0, 0],
            );
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            libc::close(pipe[1]);
        }
        assert_eq!(pending & (1 << (libc::SIGPIPE - 1)), 0);
    }

    #[test]
    fn nothing_is_written_without_a_file() {
        static SAID: Once = Once::new();
        assert!(SAID.line().is_none());
    }
}
