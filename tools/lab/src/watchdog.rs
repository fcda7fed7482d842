// SPDX-License-Identifier: GPL-2.0
//! Ends the lab if an experiment does not end: its threads may wait for ever, in a module that was changed.

use repoll_trace::tracefs;
use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// The longest takes some seconds, on a busy machine a minute.
const LIMIT: Duration = Duration::from_secs(150);

/// While it is there an experiment is watched.
pub struct Watch {
    _end: Sender<()>,
}

/// Watches an experiment, until what is returned is dropped.
pub fn watch(claim: &'static str) -> Watch {
    let (end, ended) = channel::<()>();
    thread::spawn(move || {
        if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            let seconds = LIMIT.as_secs();
            eprintln!("repoll-lab: no end after {seconds} s: \"{claim}\"; its threads wait for ever: the module does not tell them");
            tracefs::remove_all();
            std::process::exit(1);
        }
    });
    Watch { _end: end }
}
