// SPDX-License-Identifier: MIT OR Apache-2.0
//! One event, as a level-triggered, an edge-triggered and a one-shot file report it.

use repoll::{EventFlags, Events, Instance};
use std::error::Error;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

fn main() {
    if let Err(error) = run() {
        eprintln!("wait: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    for (name, trigger) in [
        ("level-triggered", EventFlags::empty()),
        ("edge-triggered", EventFlags::ET),
        ("one-shot", EventFlags::ONESHOT),
    ] {
        let (near, mut far) = UnixStream::pair()?;
        let instance = Instance::open()?;
        instance.add(&near, EventFlags::IN | trigger, 1)?;
        far.write_all(b"a byte, and more")?;

        // Nobody reads, so the file stays ready.
        let mut events = Events::with_capacity(4);
        let mut reported = Vec::new();
        for _ in 0..2 {
            reported.push(instance.wait(&mut events, Some(Duration::ZERO))?);
        }
        far.write_all(b"more")?;
        reported.push(instance.wait(&mut events, Some(Duration::ZERO))?);
        println!(
            "{name:16} events of three waits, a write before the first and the last: {reported:?}"
        );
    }
    Ok(())
}
