// SPDX-License-Identifier: GPL-2.0

//! Limits the callbacks of one wake-up: the watches of a file, and the pollers of an instance.
//!
//! A file wakes its queue with interrupts off, perhaps from a timer that costs its owner nothing.
//! Each watch of the file is one callback. Each *outsider* that polls the watching instance (the C
//! epoll, poll(2), io_uring: all but instances of ours) is one more. The C epoll limits neither.
//! Here one wake-up of one file makes, for one user, at most
//!
//! - [`CALLBACKS`] callbacks by the user's watches and their outsiders: with `n` watches, each of
//!   the watching instances may have `CALLBACKS / n - 1` outsiders ([`admit`], [`Crowd`]);
//! - through instances above instances, one callback for each path ([`nesting`]): 660, each with
//!   [`NESTED_OUTSIDERS`] more.
//!
//! That is about 10,000 callbacks, or 2 ms at 200 instructions each. Two things are not counted,
//! since only the kernel could count them: an outsider that is a C epoll may be polled in turn; and
//! several open files may share a wait queue (a FIFO, a terminal, signalfds).
//! `Documentation/explanation/threats.rst` describes both.
//!
//! The limits are per user, since users may share a file and must not use up each other's limits.
//! The last resort, [`WATCHES`], is for all users together: it bounds the walk of a bucket.
//!
//! [`nesting`]: super::nesting

use super::{
    item::{
        Epitem, //
        Item,
    },
    Eventpoll, //
};
use crate::kernel_ext::{
    atomic::{
        ordering::Relaxed, //
        Atomic,
    },
    limits::Limit,
    poll_table::PollTable, //
};
use crate::watch::Others;
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// The most watches of one file by one user, over all instances.
const WATCHES_OF_A_USER: u32 = 4096;

/// The most watches of one file by all users together. Beyond that a user may still have
/// [`WATCHES_OF_EVERY_USER`].
const WATCHES: u32 = 32768;
const WATCHES_OF_EVERY_USER: u32 = 16;

/// The most callbacks that a user's watches of one file may cause, including those of their
/// outsiders. An instance has fewer outsiders, since its own watch is one of the callbacks.
const CALLBACKS: u32 = 4096;

/// The most outsiders of an instance that watches instances.
const NESTED_OUTSIDERS: u32 = 8;

/// The outsiders of an instance.
#[pin_data]
pub(crate) struct Crowd {
    /// The limit. Only lowered: an instance that was once part of a crowd keeps the low limit.
    max: Limit,
    /// Set when an outsider is refused. That outsider can't be woken, and can't know that. So from
    /// then on the instance is in error, to all outsiders. Relaxed: the outsider itself sees what it
    /// stored, and others may see it late.
    refused: Atomic<bool>,
    /// Held from the count of the outsiders until one more is registered, which may sleep. If the
    /// limit is lowered in between, it is exceeded by one: no lock orders the two, and to the bound
    /// on callbacks one more is nothing.
    #[pin]
    arrival: Mutex<()>,
}

impl Crowd {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            max: Limit::new(CALLBACKS - 1),
            refused: Atomic::new(false),
            arrival <- new_mutex!((), "Crowd::arrival"),
        })
    }

    /// Whether an outsider was refused. Any context.
    pub(crate) fn has_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }

    /// Registers the outsider of `table` with `ep`, whose crowd this is, if there is room; returns
    /// whether there was room. Process context, sleeps.
    pub(crate) fn register(&self, ep: &Eventpoll, table: &PollTable<'_>) -> bool {
        let _arrival = self.arrival.lock();
        let room = Epitem::has_room_for_others(&ep.pollers, self.max.get());
        if room {
            ep.register(table);
        } else {
            self.refused.store(true, Relaxed);
        }
        room
    }

    /// Lowers the limit to `max`, unless it is lower already; ENOSPC if there are more outsiders.
    fn lower(&self, ep: &Eventpoll, max: u32) -> Result {
        if self.max.get() <= max {
            return Ok(());
        }
        if !Epitem::has_room_for_others(&ep.pollers, max + 1) {
            return Err(ENOSPC);
        }
        self.max.lower(max);
        Ok(())
    }

    /// Lets `ep`, whose crowd this is, watch an instance: ENOSPC if too many outsiders poll `ep`.
    pub(crate) fn nest(&self, ep: &Eventpoll) -> Result {
        self.lower(ep, NESTED_OUTSIDERS)
    }
}

/// Lets `ep` watch a file that `others` watch already: ENOSPC if that makes too many callbacks.
///
/// Runs under the lock of the file's bucket. Visits each of the others once or twice. A refused ADD
/// may have lowered limits, to the values that they would have had if it had succeeded.
pub(crate) fn admit(ep: &Eventpoll, others: Others<'_, Item>) -> Result {
    let is_ours = |other: &&Epitem| other.ep.user == ep.user;
    let (mut all, mut ours) = (1, 1);
    let mut highest = ep.crowd.max.get();
    for other in others.clone() {
        all += 1;
        if is_ours(&other) {
            ours += 1;
            highest = highest.max(other.ep.crowd.max.get());
        }
    }
    if ours > WATCHES_OF_A_USER || (all > WATCHES && ours > WATCHES_OF_EVERY_USER) {
        return Err(ENOSPC);
    }
    let outsiders = CALLBACKS / ours - 1;
    if outsiders < highest {
        // An instance with many of these watches is walked only once: after that its limit is low.
        ep.crowd.lower(ep, outsiders)?;
        for other in others.filter(is_ours) {
            other.ep.crowd.lower(&other.ep, outsiders)?;
        }
    }
    Ok(())
}
