// SPDX-License-Identifier: GPL-2.0

//! Limits the fan-out of a wake-up: the watches of a file, and the pollers of an instance.
//!
//! A file wakes its queue with interrupts off, perhaps from a timer that costs its owner nothing.
//! Each watch of the file adds one callback. Each *outsider* that polls the watching instance (the
//! C epoll, poll(2), io_uring: every poller but an instance of ours) adds one more. The C epoll
//! limits neither. Here a wake-up of one file makes, for one user, at most
//!
//! - [`MAX_CALLBACKS`] callbacks of the user's watches and their outsiders: with `n` watches, each
//!   watching instance may have `MAX_CALLBACKS / n - 1` outsiders ([`admit`]);
//! - one callback for each path through instances above instances ([`nesting`]): 660, each with
//!   [`MAX_NESTED_OUTSIDERS`] more.
//!
//! That is about 10,000 callbacks, or 2 ms at 200 instructions each. Two fan-outs are not counted,
//! since only the kernel could count them: an outsider that is a C epoll may be polled in turn; and
//! several open files may share a wait queue (a FIFO, a terminal, signalfds).
//! `Documentation/explanation/threats.rst` describes both.
//!
//! The limits are per user: users may share a file and must not exhaust each other's limits. The
//! last resort, [`MAX_WATCHES`], is for all users together: it bounds the walk of a bucket.
//!
//! [`nesting`]: super::nesting

use super::{
    Epitem,
    Eventpoll,
    Item, //
};
use crate::kernel_ext::{
    atomic::ordering::Relaxed,
    poll_table::PollTable, //
};
use crate::watch::Others;
use kernel::prelude::*;

/// The most watches of one file by one user, over all instances.
const MAX_WATCHES_OF_USER: u32 = 4096;

/// The most watches of one file by all users together. Above that, each user may still have
/// [`MIN_WATCHES_OF_USER`].
const MAX_WATCHES: u32 = 32768;
const MIN_WATCHES_OF_USER: u32 = 16;

/// The most callbacks that a user's watches of one file may cause, those of their outsiders
/// included.
const MAX_CALLBACKS: u32 = 4096;

/// The most outsiders of an instance that watches instances.
const MAX_NESTED_OUTSIDERS: u32 = 8;

impl Eventpoll {
    /// The limit of outsiders that an instance starts with: its own watch is one of the callbacks.
    pub(super) const MAX_OUTSIDERS: u32 = MAX_CALLBACKS - 1;

    /// Registers the outsider of `table` if there is room; returns whether there was. A refused
    /// outsider can't be woken, and can't know that, so the instance is in error from then on.
    /// Process context, sleeps.
    ///
    /// If the limit is lowered between the count and the registration, it is exceeded by one
    /// outsider: no lock orders the two, and one more does not matter to the bound on callbacks.
    pub(super) fn register_outsider(&self, table: &PollTable<'_>) -> bool {
        let _arrival = self.arrival.lock();
        let room = Epitem::has_room_for_others(&self.pollers, self.poller_limit.get());
        if room {
            self.register(table);
        } else {
            self.poller_limit_hit.store(true, Relaxed);
        }
        room
    }

    /// Prepares the instance to watch another one: ENOSPC if it has too many outsiders.
    pub(super) fn limit_nested_outsiders(&self) -> Result {
        self.lower_poller_limit(MAX_NESTED_OUTSIDERS)
    }

    /// Lowers the limit to `max` unless it is lower already; ENOSPC if there are more outsiders.
    fn lower_poller_limit(&self, max: u32) -> Result {
        if self.poller_limit.get() <= max {
            return Ok(());
        }
        if !Epitem::has_room_for_others(&self.pollers, max + 1) {
            return Err(ENOSPC);
        }
        self.poller_limit.lower(max);
        Ok(())
    }
}

/// Prepares `ep` to watch a file that `others` watch already: ENOSPC if that makes too many
/// callbacks.
///
/// Runs under the lock of the file's bucket, and visits each of the others once or twice. A refused
/// ADD may have lowered limits, to the values that a successful ADD would have set.
pub(super) fn admit(ep: &Eventpoll, others: Others<'_, Item>) -> Result {
    let is_of_user = |other: &&Epitem| other.ep.user == ep.user;
    let (mut watches, mut watches_of_user) = (1, 1);
    let mut highest_limit = ep.poller_limit.get();
    for other in others.clone() {
        watches += 1;
        if is_of_user(&other) {
            watches_of_user += 1;
            highest_limit = highest_limit.max(other.ep.poller_limit.get());
        }
    }
    if watches_of_user > MAX_WATCHES_OF_USER
        || (watches > MAX_WATCHES && watches_of_user > MIN_WATCHES_OF_USER)
    {
        return Err(ENOSPC);
    }
    let limit = MAX_CALLBACKS / watches_of_user - 1;
    if limit < highest_limit {
        // An instance with many of these watches is walked only once: then its limit is low.
        ep.lower_poller_limit(limit)?;
        for other in others.filter(is_of_user) {
            other.ep.lower_poller_limit(limit)?;
        }
    }
    Ok(())
}
