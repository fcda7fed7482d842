// SPDX-License-Identifier: MIT OR Apache-2.0
//! Non-blocking I/O, the second of five models: a call that cannot be done now fails, and the
//! program tries again later.
//!
//! In the trace: `repoll_source_read` and `repoll_source_write` with `ret=-11`, which is EAGAIN.

use anyhow::Result;
use repoll::Source;
use std::io::{ErrorKind, Read, Write};

fn main() -> Result<()> {
    let mut source = Source::open_nonblocking()?;
    source.set_up(3, 64, false)?;
    let mut buffer = [0; 64];
    match source.read(&mut buffer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => println!("read: not now ({error})"),
        other => println!("read: {other:?}?"),
    }
    let mut written = 0;
    let error = loop {
        if let Err(error) = source.write_all(b"a message") {
            break error;
        }
        written += 1;
    };
    println!("write: {written} messages, then not now ({error})");
    while let Ok(length) = source.read(&mut buffer) {
        println!("read: {:?}", String::from_utf8_lossy(&buffer[..length]));
    }
    println!("read: the queue is empty again");
    Ok(())
}
