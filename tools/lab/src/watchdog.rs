// SPDX-License-Identifier: GPL-2.0
//! Ends the lab if an experiment does not end: in a changed module its threads can wait for ever.

use crate::taken_over;
use repoll_trace::tracefs;
use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// The longest experiment takes some seconds, on a busy machine a minute.
const LIMIT: Duration = Duration::from_secs(150);

/// The guard of an experiment.
pub struct Watch {
    _end: Sender<()>,
}

/// Ends what would outlast this process.
pub fn clean_up() {
    tracefs::remove_all();
    taken_over::end();
}

/// Watches an experiment until the guard is dropped.
pub fn watch(claim: &'static str) -> Watch {
    let (end, ended) = channel::<()>();
    thread::spawn(move || {
        if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            let seconds = LIMIT.as_secs();
            eprintln!(
                "repoll-lab: \"{claim}\" has not ended after {seconds} s: the module does not wake \
                 its threads"
            );
            clean_up();
            std::process::exit(1);
        }
    });
    Watch { _end: end }
}
