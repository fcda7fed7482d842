// SPDX-License-Identifier: MIT OR Apache-2.0
//! Five messages of a timer, with the time at which each entered the queue.

use repoll::{EventFlags, Events, Instance, Source};
use std::error::Error;
use std::num::NonZeroU64;
use std::time::Duration;

const MESSAGES: u64 = 5;

fn main() {
    if let Err(error) = run() {
        eprintln!("source: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let source = Source::open_nonblocking()?;
    source.set_up(16, 64, true)?;
    source.start_timer(Duration::from_millis(10), NonZeroU64::new(MESSAGES))?;

    let instance = Instance::open()?;
    instance.add(&source, EventFlags::IN, 0)?;
    let mut events = Events::with_capacity(1);
    let mut buffer = [0; 128];
    let mut expiry = 0;
    while expiry < MESSAGES {
        instance.wait(&mut events, None)?;
        let message = source.receive(&mut buffer)?;
        expiry = u64::from_ne_bytes(message.bytes.try_into()?);
        println!("{:?}: {:?} {expiry}", message.time, message.kind);
    }
    println!("{:?}", source.status()?);
    Ok(())
}
