// SPDX-License-Identifier: GPL-2.0

//! The policy: the calls and the tasks that are taken over.
//!
//! There is one policy for the machine. It is read at the entry of each call that it may apply to,
//! so it takes no lock: [`CALLS`] is the switch, and [`SCOPE`] is read under RCU.

#![forbid(unsafe_code)]

use crate::kernel_ext::{
    atomic::{
        ordering::{Full, Relaxed},
        Atomic, //
    },
    cgroup::Cgroup,
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

/// The tasks that a policy applies to.
pub(super) enum Scope {
    All,
    /// The tasks of a cgroup, and of those below it.
    Group(Cgroup),
}

/// The calls that are taken over; none if takeover is off.
///
/// A call that begins counts itself first ([`Leases`](crate::eventpoll::Leases)), then reads this
/// word. [`set`] stores it first, and the caller then reads the count. All four are fully ordered,
/// so a call that finds itself taken over is seen by the reader of the count.
static CALLS: Atomic<u32> = Atomic::new(0);

/// The tasks; `None` without a policy. It is replaced before [`CALLS`] is set, and after it is
/// cleared, so no reader applies the calls of one policy to tasks of none.
static SCOPE: RcuCell<Scope> = RcuCell::new();

/// Whether the policy takes over `call` of the current task. Process context.
#[inline]
pub(super) fn takes_over(call: Call) -> bool {
    let calls = CALLS.load(Relaxed);
    calls & call as u32 != 0 && covers_current_task()
}

/// As [`takes_over`], ordered after all earlier accesses.
pub(super) fn takes_over_now(call: Call) -> bool {
    let calls = CALLS.fetch_add(0, Full);
    calls & call as u32 != 0 && covers_current_task()
}

fn covers_current_task() -> bool {
    SCOPE.with(|scope| match scope {
        None => false,
        Some(Scope::All) => true,
        Some(Scope::Group(group)) => group.has_current(),
    })
}

/// The calls that are taken over. Any context.
pub(super) fn calls() -> Calls {
    Calls(CALLS.load(Relaxed))
}

/// The ID of the cgroup that the policy is limited to. Any context.
pub(super) fn group() -> Option<u64> {
    SCOPE.with(|scope| match scope {
        Some(Scope::Group(group)) => Some(group.id()),
        _ => None,
    })
}

/// Takes over `calls` of the tasks in `scope`. ENOMEM, and then the former policy stays. The caller
/// excludes other calls of this and of [`clear`]. Process context, sleeps.
pub(super) fn set(calls: Calls, scope: Scope) -> Result {
    SCOPE.replace(Some(KBox::new(scope, GFP_KERNEL)?));
    CALLS.xchg(calls.0, Full);
    Ok(())
}

/// Takes over nothing new. As [`set`].
pub(super) fn clear() {
    stop();
    SCOPE.replace(None);
}

/// The first half of [`clear`]. Any context.
pub(super) fn stop() {
    CALLS.xchg(0, Full);
}
