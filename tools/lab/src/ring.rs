// SPDX-License-Identifier: GPL-2.0
//! A ring of io_uring, with one buffer for one read at a time.
#![expect(unsafe_code, reason = "io_uring takes buffers by address")]

use io_uring::{opcode, types, IoUring};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

pub struct Ring {
    ring: IoUring,
    buffer: Box<[u8; 64]>,
    waits: bool,
    /// The number of calls of io_uring_enter(2).
    pub calls: usize,
}

impl Ring {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            ring: IoUring::new(8)?,
            buffer: Box::new([0; 64]),
            waits: false,
            calls: 0,
        })
    }

    /// Submits a read of a file.
    pub fn read(&mut self, fd: impl AsFd) -> io::Result<()> {
        self.prepare(fd)?;
        self.calls += 1;
        self.ring.submit().map(drop)
    }

    /// Submits a read and waits for its completion, in one call.
    pub fn read_now(&mut self, fd: impl AsFd) -> io::Result<Vec<u8>> {
        self.prepare(fd)?;
        self.finish()
    }

    fn prepare(&mut self, fd: impl AsFd) -> io::Result<()> {
        if std::mem::replace(&mut self.waits, true) {
            return Err(io::Error::other("a read is already submitted"));
        }
        let fd = types::Fd(fd.as_fd().as_raw_fd());
        let read = opcode::Read::new(fd, self.buffer.as_mut_ptr(), 64).build();
        // SAFETY: one read is submitted at a time. The buffer is neither accessed nor freed before
        // its completion: `finish` waits for it, and `drop` leaks the buffer.
        unsafe { self.ring.submission().push(&read) }.map_err(io::Error::other)
    }

    /// The number of completions that have not been taken.
    pub fn completions(&mut self) -> usize {
        self.ring.completion().len()
    }

    /// Waits for the completion, and returns the bytes that were read.
    pub fn finish(&mut self) -> io::Result<Vec<u8>> {
        self.calls += 1;
        self.ring.submit_and_wait(1)?;
        let Some(completion) = self.ring.completion().next() else {
            return Err(io::Error::other("no completion"));
        };
        self.waits = false;
        let length = completion.result();
        if length < 0 {
            return Err(io::Error::from_raw_os_error(-length));
        }
        Ok(self.buffer[..length as usize].to_vec())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.waits {
            // The kernel can write to the buffer until the ring is gone, so it keeps the memory.
            let buffer = std::mem::replace(&mut self.buffer, Box::new([0; 64]));
            Box::leak(buffer);
        }
    }
}
