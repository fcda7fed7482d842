// SPDX-License-Identifier: GPL-2.0

//! The policy: the calls and the tasks that are taken over.
//!
//! There is one policy for the machine. It is read at the entry of each call that it may apply to,
//! so it takes no lock: [`CALLS`] is the switch, and [`POLICY`] is read under RCU.

#![forbid(unsafe_code)]

use crate::kernel_ext::{
    atomic::{
        ordering::{Full, Relaxed},
        Atomic, //
    },
    cgroup::Cgroup,
    drift::errno::ECANCELED,
    rcu_cell::RcuCell, //
};
use crate::uapi::{
    REPOLL_TAKEOVER_EPOLL,
    REPOLL_TAKEOVER_POLL,
    REPOLL_TAKEOVER_SELECT, //
};
use kernel::prelude::*;

/// A kind of call that can be taken over.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Call {
    /// The calls that make an epoll instance. All calls on an instance follow from its file.
    Epoll = REPOLL_TAKEOVER_EPOLL,
    Select = REPOLL_TAKEOVER_SELECT,
    Poll = REPOLL_TAKEOVER_POLL,
}

impl Call {
    /// All kinds.
    pub(super) const ALL: [Self; 3] = [Self::Epoll, Self::Select, Self::Poll];
}

/// A set of kinds of calls: `REPOLL_TAKEOVER_*` bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Calls(u32);

impl Calls {
    pub(super) const NONE: Self = Self(0);
    const ALL: u32 = Call::Epoll as u32 | Call::Select as u32 | Call::Poll as u32;

    /// EINVAL for unknown bits.
    pub(super) fn from_bits(bits: u32) -> Result<Self> {
        if bits & !Self::ALL == 0 {
            Ok(Self(bits))
        } else {
            Err(EINVAL)
        }
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }

    pub(super) fn has(self, call: Call) -> bool {
        self.0 & call as u32 != 0
    }
}

/// A policy that is on.
pub(super) struct Policy {
    pub(super) calls: Calls,
    pub(super) scope: Scope,
}

/// The tasks that a policy applies to.
pub(super) enum Scope {
    All,
    /// The tasks of a cgroup, and of those below it.
    Group(Cgroup),
}

/// The calls that are taken over; none if takeover is off.
///
/// A call that begins counts itself first ([`Leases`](crate::eventpoll::Leases)), then reads this
/// word. [`Change::set`] stores it first, and the caller then reads the count. All four are fully
/// ordered, so a call that finds itself taken over is seen by the reader of the count.
static CALLS: Atomic<u32> = Atomic::new(0);

/// The policy as a whole. It is replaced before [`CALLS`] is set, and after it is cleared. A call
/// is taken over if both have it, so the calls of one policy are never applied to the tasks of
/// another.
static POLICY: RcuCell<Policy> = RcuCell::new();

/// The number of times that takeover was stopped: see [`Change`].
static STOPS: Atomic<u32> = Atomic::new(0);

/// Whether the policy takes over `call` of the current task. Process context.
#[inline]
pub(super) fn takes_over(call: Call) -> bool {
    let calls = CALLS.load(Relaxed);
    calls & call as u32 != 0 && covers_current_task(call)
}

/// As [`takes_over`], ordered after all earlier accesses.
pub(super) fn takes_over_now(call: Call) -> bool {
    let calls = CALLS.fetch_add(0, Full);
    calls & call as u32 != 0 && covers_current_task(call)
}

fn covers_current_task(call: Call) -> bool {
    POLICY.with(|policy| {
        policy.is_some_and(|policy| {
            policy.calls.has(call)
                && match &policy.scope {
                    Scope::All => true,
                    Scope::Group(group) => group.has_current(),
                }
        })
    })
}

/// The calls that are taken over. Any context.
pub(super) fn calls() -> Calls {
    Calls(CALLS.load(Relaxed))
}

/// The cgroup that the policy is limited to: its ID, and whether it was removed. Any context.
pub(super) fn group() -> Option<(u64, bool)> {
    POLICY.with(|policy| match policy {
        Some(Policy {
            scope: Scope::Group(group),
            ..
        }) => Some((group.id(), group.is_removed())),
        _ => None,
    })
}

/// A change of the policy, which takes a while. If takeover is stopped meanwhile, it stays so.
///
/// [`stop`] counts itself, then clears [`CALLS`]. The change sets [`CALLS`], then reads the count
/// again. All are fully ordered. So either the change sees the stop, or the stop clears what the
/// change has set.
pub(super) struct Change {
    stops: u32,
}

impl Change {
    /// Begins a change. The caller excludes other changes, and [`clear`], until it is done.
    pub(super) fn begin() -> Self {
        Self {
            stops: STOPS.fetch_add(0, Full),
        }
    }

    /// Puts `policy` in force. ENOMEM, and then the former policy stays; ECANCELED if takeover was
    /// stopped since [`Change::begin`], and then it is off. Process context, sleeps.
    pub(super) fn set(self, policy: Policy) -> Result {
        let calls = policy.calls;
        POLICY.replace(Some(KBox::new(policy, GFP_KERNEL)?));
        CALLS.xchg(calls.0, Full);
        if STOPS.fetch_add(0, Full) == self.stops {
            return Ok(());
        }
        clear();
        Err(ECANCELED)
    }
}

/// Takes over nothing new. Process context, sleeps.
pub(super) fn clear() {
    CALLS.xchg(0, Full);
    POLICY.replace(None);
}

/// As [`clear`], but keeps the memory of the policy. Returns whether there was one. Any context.
pub(super) fn stop() -> bool {
    STOPS.fetch_add(1, Full);
    CALLS.xchg(0, Full) != 0
}
