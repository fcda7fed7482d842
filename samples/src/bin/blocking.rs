// SPDX-License-Identifier: MIT OR Apache-2.0
//! Blocking I/O, the first of five models: the call sleeps until it can be done.
//!
//! In the trace: `repoll_source_sleep`, then `repoll_source_wake` with `sleepers=1`.

use anyhow::Result;
use repoll::Source;
use std::io::{Read, Write};
use std::thread::{scope, sleep};
use std::time::Duration;

const A_MOMENT: Duration = Duration::from_millis(100);

fn main() -> Result<()> {
    let source = Source::open()?;
    // The queue holds one message.
    source.set_up(1, 64, false)?;
    scope(|threads| {
        threads.spawn(|| {
            sleep(A_MOMENT);
            println!("other thread: writes");
            (&source).write_all(b"a message")
        });
        println!("read: the queue is empty, so this sleeps");
        let mut buffer = [0; 64];
        let length = (&source).read(&mut buffer)?;
        println!("read: {:?}", String::from_utf8_lossy(&buffer[..length]));

        (&source).write_all(b"first")?;
        threads.spawn(|| {
            sleep(A_MOMENT);
            println!("other thread: reads");
            (&source).read(&mut [0; 64])
        });
        println!("write: the queue is full, so this sleeps");
        (&source).write_all(b"second")?;
        println!("write: done");
        Ok(())
    })
}
