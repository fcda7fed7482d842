// SPDX-License-Identifier: GPL-2.0

//! How many callbacks one wake-up makes: limits on those who watch a file and poll an instance.
//!
//! A file wakes its queue with interrupts off, perhaps from a timer that costs its owner nothing. Each
//! watch of the file is a callback, and each *outsider* that polls the watching instance (the C epoll,
//! poll(2), io_uring: all but instances of ours) is one more. The C epoll has no limit on either.
//! Here one user can cause, by one wake-up of one file:
//!
//! - [`CALLBACKS`] by its own watches and their outsiders: with `n` watches, each of the watching
//!   instances may have `CALLBACKS / n - 1` outsiders ([`admit`], [`Crowd`]);
//! - through instances above instances, as many callbacks as there are paths ([`nesting`]): 660, each
//!   with [`NESTED_OUTSIDERS`] more.
//!
//! That is about 10,000, or 2 ms at 200 instructions each. Two things are not counted, since only the
//! kernel could: an outsider that is a C epoll may be polled in turn; and several open files may share
//! a wait queue (a FIFO, a terminal, signalfds). `Documentation/explanation/threats.rst` has both.
//!
//! Limits are per user where a file is shared, so that no user can use up another's. The
//! last resort, [`WATCHES`], is for all users together: it bounds the walks of a bucket.
//!
//! [`nesting`]: super::nesting

use super::{
    item::{
        Item,
        Watched, //
    },
    Eventpoll, //
};
use crate::kernel_ext::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    wait_queue::PollTable,
    watch::Others, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// How many watches of one file a user may have, over all instances.
const WATCHES_OF_A_USER: u32 = 4096;

/// How many watches of one file there may be, of all users; a user may always have
/// [`WATCHES_OF_EVERY_USER`].
const WATCHES: u32 = 32768;
const WATCHES_OF_EVERY_USER: u32 = 16;

/// How many callbacks a user's watches of one file may cause, those of their outsiders included. So
/// the outsiders of an instance are fewer.
const CALLBACKS: u32 = 4096;

/// How many outsiders may poll an instance that watches instances.
const NESTED_OUTSIDERS: u32 = 8;

/// The outsiders of an instance.
#[pin_data]
pub(crate) struct Crowd {
    /// How many there may be. Only lowered: an instance that was once part of a crowd keeps it.
    max: Atomic<u32>,
    /// An outsider was refused. It can't be woken, and has no other way to know: so the instance is
    /// in error from then on, to all outsiders.
    refused: Atomic<bool>,
    /// Held from the count of those who are there until one more is there: that may sleep in between.
    /// A limit that is lowered meanwhile is exceeded by one.
    #[pin]
    arrival: Mutex<()>,
}

impl Crowd {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            max: Atomic::new(CALLBACKS - 1),
            refused: Atomic::new(false),
            arrival <- new_mutex!((), "Crowd::arrival"),
        })
    }

    /// Whether an outsider was refused. Any context.
    pub(crate) fn has_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }

    /// Has the outsider of `table` poll `ep`, whose crowd this is, if there is room; returns whether
    /// there is. Process context, sleeps.
    pub(crate) fn register(&self, ep: &Eventpoll, table: &PollTable<'_>) -> bool {
        let _arrival = self.arrival.lock();
        let room = Watched::has_room_for_others(&ep.pollers, self.max.load(Relaxed));
        if room {
            ep.register(table);
        } else {
            self.refused.store(true, Relaxed);
        }
        room
    }

    /// Lowers the limit to `max`, unless it is lower; ENOSPC if there are more outsiders.
    fn lower(&self, ep: &Eventpoll, max: u32) -> Result {
        let mut now = self.max.load(Relaxed);
        if now <= max {
            return Ok(());
        }
        if !Watched::has_room_for_others(&ep.pollers, max + 1) {
            return Err(ENOSPC);
        }
        while now > max {
            match self.max.cmpxchg(now, max, Relaxed) {
                Ok(_) => break,
                Err(other) => now = other,
            }
        }
        Ok(())
    }

    /// `ep`, whose crowd this is, begins to watch an instance; ENOSPC if too many outsiders poll it.
    pub(crate) fn nest(&self, ep: &Eventpoll) -> Result {
        self.lower(ep, NESTED_OUTSIDERS)
    }
}

/// Whether `ep` may have one more watch of a file that `others` watch already; ENOSPC.
///
/// Under the lock of the file's bucket. Looks at each of the others once or twice. An ADD that is
/// refused may have lowered limits, to what they would be had it not been.
pub(crate) fn admit(ep: &Eventpoll, others: Others<'_, Item>) -> Result {
    let is_ours = |other: &&Watched| other.ep.user == ep.user;
    let (mut all, mut ours) = (1, 1);
    let mut highest = ep.crowd.max.load(Relaxed);
    for other in others.clone() {
        all += 1;
        if is_ours(&other) {
            ours += 1;
            highest = highest.max(other.ep.crowd.max.load(Relaxed));
        }
    }
    if ours > WATCHES_OF_A_USER || (all > WATCHES && ours > WATCHES_OF_EVERY_USER) {
        return Err(ENOSPC);
    }
    let outsiders = CALLBACKS / ours - 1;
    if outsiders < highest {
        // An instance that has many of the watches is walked once: then its limit is low.
        ep.crowd.lower(ep, outsiders)?;
        for other in others.filter(is_ours) {
            other.ep.crowd.lower(&other.ep, outsiders)?;
        }
    }
    Ok(())
}
