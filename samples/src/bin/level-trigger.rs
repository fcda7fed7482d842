// SPDX-License-Identifier: MIT OR Apache-2.0
//! Level-triggered: a file is reported as long as it is ready, not once per event.
//!
//! A write to one end of a socket pair makes the other end ready.

use anyhow::Result;
use repoll::{Event, EventFlags, Events, Instance};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

fn main() -> Result<()> {
    let (mut reader, mut writer) = UnixStream::pair()?;
    let instance = Instance::open()?;
    instance.add(&reader, EventFlags::IN, 1)?;

    report(&instance, "nothing written yet")?;
    writer.write_all(b"ab")?;
    report(&instance, "two bytes written")?;
    report(&instance, "asked again: it is still readable")?;
    reader.read_exact(&mut [0])?;
    report(&instance, "one byte read, one is left")?;
    reader.read_exact(&mut [0])?;
    report(&instance, "drained")
}

/// Waits with a timeout of zero, and prints the events.
fn report(instance: &Instance, when: &str) -> Result<()> {
    let mut events = Events::with_capacity(4);
    let count = instance.wait(&mut events, Some(Duration::ZERO))?;
    println!(
        "{when:<40} {count} ready {:?}",
        events.first().map(Event::flags)
    );
    Ok(())
}
