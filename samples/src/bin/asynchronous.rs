// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asynchronous I/O, the fifth of five models: the kernel performs the whole call and reports its
//! completion. This program uses io_uring.
//!
//! In the trace: `repoll_source_read` with `ret=-11` and `repoll_source_poll` while the request
//! waits, `repoll_source_wake` with `pollers=1`, then the read that succeeds. No thread sleeps in
//! the read.

use anyhow::Result;
use io_uring::{opcode, types, IoUring};
use repoll::Source;
use std::io::Write;
use std::os::fd::AsRawFd;

fn main() -> Result<()> {
    let mut source = Source::open()?;
    let mut ring = IoUring::new(8)?;
    let mut buffer = [0; 64];

    let fd = types::Fd(source.as_raw_fd());
    let read = opcode::Read::new(fd, buffer.as_mut_ptr(), buffer.len() as u32)
        .build()
        .user_data(1);
    // SAFETY: the buffer is neither moved nor accessed until the request is complete.
    unsafe { ring.submission().push(&read) }?;
    ring.submit()?;
    println!("read: submitted; the queue is empty, and the program goes on");

    println!("completions so far: {}", ring.completion().len());
    source.write_all(b"a message")?;
    println!("write: done");

    ring.submit_and_wait(1)?;
    for completion in ring.completion() {
        let length = usize::try_from(completion.result())?;
        println!(
            "request {}: {:?}",
            completion.user_data(),
            String::from_utf8_lossy(&buffer[..length])
        );
    }
    Ok(())
}
