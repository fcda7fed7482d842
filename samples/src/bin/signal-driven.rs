// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signal-driven I/O, the third of five models: the kernel sends a signal when a call can be done.
//!
//! In the trace: `repoll_source_wake` with `signal=1`.

use anyhow::Result;
use nix::sys::signal::{SigSet, Signal};
use repoll::Source;
use std::io::{ErrorKind, Read};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::time::Duration;

fn main() -> Result<()> {
    // The signal is blocked and read from a descriptor, so no handler interrupts the program.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGIO);
    signals.thread_block()?;
    let waiting = nix::sys::signalfd::SignalFd::new(&signals)?;

    let mut source = Source::open_nonblocking()?;
    source.signal_this_process(Signal::SIGIO as i32)?;
    // The timer adds three messages, 50 ms apart, from an interrupt.
    source.start_timer(Duration::from_millis(50), NonZeroU64::new(3))?;

    // A late expiry leaves a gap in the numbers; the last one always comes.
    let mut expiry = 0;
    while expiry < 3 {
        let Some(signal) = waiting.read_signal()? else {
            continue;
        };
        let ours = signal.ssi_fd == source.as_raw_fd();
        println!(
            "signal {}: about the source: {ours}, band 0x{:x}",
            signal.ssi_signo, signal.ssi_band
        );
        // One signal can stand for several messages: read until the queue is empty.
        let mut number = [0; 8];
        loop {
            match source.read(&mut number) {
                Ok(_) => expiry = u64::from_ne_bytes(number),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
            println!("read: expiry {expiry}");
        }
    }
    Ok(())
}
