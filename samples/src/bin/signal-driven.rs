// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signal-driven I/O, the third of five models: the kernel sends a signal when there is something
//! to do.
//!
//! In the trace: `repoll_source_wake` with `signal=1`.

use nix::sys::signal::{SigSet, Signal};
use repoll::Source;
use std::error::Error;
use std::io::{ErrorKind, Read};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    // The signal is taken by asking for it, so no handler interrupts us.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGIO);
    signals.thread_block()?;
    let waiting = nix::sys::signalfd::SignalFd::new(&signals)?;

    let mut source = Source::open_nonblocking()?;
    source.signal_this_process(Signal::SIGIO as i32)?;
    // Three messages, a moment apart, from an interrupt.
    source.start_timer(Duration::from_millis(50), NonZeroU64::new(3))?;

    // An expiry that comes too late leaves a gap in the numbers; the last one always comes.
    let mut expiry = 0;
    while expiry < 3 {
        let Some(signal) = waiting.read_signal()? else {
            continue;
        };
        let ours = signal.ssi_fd == source.as_raw_fd();
        println!(
            "signal {}: about our file: {ours}, band 0x{:x}",
            signal.ssi_signo, signal.ssi_band
        );
        // One signal may stand for several messages: read until there are none.
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
