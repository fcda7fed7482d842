// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asynchronous I/O, the fifth of five models: the kernel does the whole call by itself, and says when it is
//! done. Here by io_uring.
//!
//! In the trace: `repoll_source_read` with `ret=-11` and `repoll_source_poll` while the request waits,
//! `repoll_source_wake` with `pollers=1`, then the read that succeeds. No thread slept in it.

use io_uring::{opcode, types, IoUring};
use repoll::Source;
use std::error::Error;
use std::io::Write;
use std::os::fd::AsRawFd;

fn main() -> Result<(), Box<dyn Error>> {
    let mut source = Source::open()?;
    let mut ring = IoUring::new(8)?;
    let mut buffer = [0; 64];

    let fd = types::Fd(source.as_raw_fd());
    let read = opcode::Read::new(fd, buffer.as_mut_ptr(), buffer.len() as u32)
        .build()
        .user_data(1);
    // SAFETY: the buffer stays where it is, and is not touched, until the request has come back.
    unsafe { ring.submission().push(&read) }?;
    ring.submit()?;
    println!("read: handed over; the queue is empty, and we go on");

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
