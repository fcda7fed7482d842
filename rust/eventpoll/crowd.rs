// SPDX-License-Identifier: GPL-2.0

//! How many callbacks one wake-up makes: limits on those who watch a file and poll an instance.
//!
//! A file wakes its queue with interrupts off, perhaps from a timer that costs its owner nothing. Each
//! watch of the file is a callback, and each *outsider* that polls the watching instance (the C epoll,
//! poll(2), io_uring: all but instances of ours) is one more. The C epoll has no limit on either.
//! Here one user can cause, by one wake-up of one file:
//!
//! - [`CALLBACKS`] by its own watches and their outsiders: with `n` watches, each of the watching
//!   instances may have `CALLBACKS / n - 1` outsiders ([`admit`], [`Crowd::has_room`]);
//! - through instances above instances, as many callbacks as there are paths ([`nesting`]), each
//!   with [`NESTED_OUTSIDERS`] more.
//!
//! That is about 10,000, or 2 ms at 200 instructions each. Outsiders can build further upon theirs: a
//! C epoll that polls an instance may itself be watched by 660 others. That is the C epoll's limit,
//! which does not know of ours.
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
    watch::Others, //
};
use kernel::prelude::*;

/// How many watches of one file a user may have, over all instances.
const WATCHES_OF_A_USER: u32 = 4096;

/// How many watches of one file there may be, of all users.
const WATCHES: u32 = 32768;

/// How many callbacks a user's watches of one file may cause, those of their outsiders included.
const CALLBACKS: u32 = 6144;

/// How many outsiders may poll an instance.
const OUTSIDERS: u32 = 4096;

/// How many outsiders may poll an instance that watches instances.
const NESTED_OUTSIDERS: u32 = 4;

/// An instance's limit on outsiders.
pub(crate) struct Crowd {
    /// The limit. Only lowered: an instance that was once part of a crowd keeps it.
    max: Atomic<u32>,
    /// An outsider was refused. It can't be woken, and has no other way to know: so the instance is
    /// in error from then on, to all outsiders.
    refused: Atomic<bool>,
}

impl Crowd {
    pub(crate) const fn new() -> Self {
        Self {
            max: Atomic::new(OUTSIDERS),
            refused: Atomic::new(false),
        }
    }

    /// Whether an outsider was refused. Any context.
    pub(crate) fn has_refused(&self) -> bool {
        self.refused.load(Relaxed)
    }

    /// Refuses an outsider.
    pub(crate) fn refuse(&self) {
        self.refused.store(true, Relaxed);
    }

    /// Whether one more outsider may poll `ep`, whose crowd this is. Two that come at the same time
    /// may both have the last place: there are as many too many as there are CPUs, at the most.
    pub(crate) fn has_room(&self, ep: &Eventpoll) -> bool {
        Watched::has_room_for_others(&ep.pollers, self.max.load(Relaxed))
    }

    /// Lowers the limit to `max`; ENOSPC if there are more outsiders.
    fn lower(&self, ep: &Eventpoll, max: u32) -> Result {
        if self.max.load(Relaxed) <= max {
            return Ok(());
        }
        if !Watched::has_room_for_others(&ep.pollers, max + 1) {
            return Err(ENOSPC);
        }
        let mut now = self.max.load(Relaxed);
        while now > max {
            match self.max.cmpxchg(now, max, Relaxed) {
                Ok(_) => break,
                Err(other) => now = other,
            }
        }
        Ok(())
    }

    /// `ep`, whose crowd this is, is about to watch an instance; ENOSPC if too many outsiders poll it.
    pub(crate) fn nest(&self, ep: &Eventpoll) -> Result {
        self.lower(ep, NESTED_OUTSIDERS)
    }
}

/// Whether `ep` may have one more watch of a file that `others` watch already; ENOSPC.
///
/// Under the lock of the file's bucket. Looks at each of the others once or twice.
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
    if all > WATCHES || ours > WATCHES_OF_A_USER {
        return Err(ENOSPC);
    }
    let outsiders = CALLBACKS / ours - 1;
    if outsiders < highest {
        ep.crowd.lower(ep, outsiders)?;
        for other in others.filter(is_ours) {
            other.ep.crowd.lower(&other.ep, outsiders)?;
        }
    }
    Ok(())
}
