// SPDX-License-Identifier: MIT OR Apache-2.0
//! Level-triggered: a file is reported as long as it is ready, not once per event.
//!
//! What is written to one end of a socket pair makes the other end ready.

use repoll::{Event, Events, Instance};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

fn main() -> io::Result<()> {
    let (mut reader, mut writer) = UnixStream::pair()?;
    let instance = Instance::open()?;
    instance.add(&reader, Events::IN, 1)?;

    report(&instance, "nothing written yet")?;
    writer.write_all(b"ab")?;
    report(&instance, "two bytes written")?;
    report(&instance, "asked again: it is still readable")?;
    reader.read_exact(&mut [0])?;
    report(&instance, "one byte read, one is left")?;
    reader.read_exact(&mut [0])?;
    report(&instance, "drained")
}

/// Asks without waiting, and prints the answer.
fn report(instance: &Instance, when: &str) -> io::Result<()> {
    let mut buffer = [Event::default(); 4];
    let ready = instance.wait(&mut buffer, Some(Duration::ZERO))?;
    println!(
        "{when:<40} {} ready {:?}",
        ready.len(),
        ready.first().map(Event::events)
    );
    Ok(())
}
