// SPDX-License-Identifier: GPL-2.0

//! Switching: the policy together with the functions that it needs.
//!
//! # Order
//!
//! To switch on, first the functions that serve instances are replaced, then those that ask the
//! policy, and last the policy is set. To switch off, the policy is cleared first. So no call is
//! taken over whose instance would then not be served.
//!
//! The functions that serve instances are put back when there is no policy and no lease. A task
//! that makes an instance takes its lease before it reads the policy; [`Settle`] and the requests
//! read the leases after the policy was cleared; all these accesses are fully ordered. So either
//! the task finds that it is not taken over, or its lease is seen.

#![forbid(unsafe_code)]

use super::{
    backend::{
        self,
        InstanceHooks,
        PolicyHook,
        Refusal, //
    },
    policy::{
        self,
        Call,
        Calls,
        Change,
        Policy,
        Scope, //
    },
    usage::{
        on_last_end,
        Usage,
        LEASES, //
    }, //
};
use crate::kernel_ext::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    die::{
        OopsHandler,
        OopsNotifier, //
    },
    set_once::SetOnce,
    sysrq::{
        Key,
        KeyRegistration, //
    },
    work::{
        Job,
        Work,
        Worker, //
    }, //
};
use crate::uapi::{
    REPOLL_TAKEOVER_OOPS,
    REPOLL_TAKEOVER_REMOVED,
    REPOLL_TAKEOVER_REQUEST,
    REPOLL_TAKEOVER_SYSRQ, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// The functions that are replaced.
struct Hooks {
    // Dropped in this order: no instance is made that is not served.
    /// Those that ask the policy, in the order of [`Call::ALL`].
    asking: [Option<PolicyHook>; Call::ALL.len()],
    instance: Option<InstanceHooks>,
}

static HOOKS: SetOnce<Mutex<Hooks>> = SetOnce::new();

/// The cause of the present policy.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Cause {
    Request = REPOLL_TAKEOVER_REQUEST,
    Sysrq = REPOLL_TAKEOVER_SYSRQ,
    Oops = REPOLL_TAKEOVER_OOPS,
    Removed = REPOLL_TAKEOVER_REMOVED,
}

static CAUSE: Atomic<u32> = Atomic::new(REPOLL_TAKEOVER_REQUEST);

/// The policy and its effects.
pub(super) struct Status {
    pub(super) calls: Calls,
    pub(super) group: Option<u64>,
    pub(super) hooked: u32,
    pub(super) means: u32,
    pub(super) cause: u32,
    pub(super) instances: u64,
    pub(super) created: u64,
    pub(super) running: u64,
}

/// While this exists, takeover can be switched on. Dropping it switches takeover off, and puts all
/// functions back: there must be no instance that was taken over.
pub(crate) struct Takeover {
    // Dropped in this order: nothing schedules the job when its worker is dropped.
    _key: Option<KeyRegistration<OffKey>>,
    _oops: Option<Pin<KBox<OopsNotifier<OffAtOops>>>>,
    _hooks: ReleaseHooks,
    _settle: Worker<Settle>,
}

impl Takeover {
    /// Prepares takeover. Replaces nothing yet. Process context, sleeps.
    pub(crate) fn new() -> Result<Self> {
        HOOKS.init(new_mutex!(Hooks::NONE, "repoll::takeover::Hooks"))?;
        let settle = SETTLE.start()?;
        on_last_end(settle_after_end)?;
        Ok(Self {
            // The module does without them.
            _key: KeyRegistration::new().ok(),
            _oops: KBox::pin_init(OopsNotifier::new(), GFP_KERNEL).ok(),
            _hooks: ReleaseHooks,
            _settle: settle,
        })
    }

    /// Switches `calls` (`REPOLL_TAKEOVER_*` bits) on for all tasks, as the module's parameter
    /// asks. A failure is logged: the module works without takeover.
    pub(crate) fn on_at_load(&self, calls: u32) {
        if calls == 0 {
            return;
        }
        match Calls::from_bits(calls) {
            // A refusal has been logged.
            Ok(calls) => drop(on(calls, Scope::All)),
            Err(_) => pr_err!("takeover={calls}: use a sum of 1 (epoll), 2 (select), 4 (poll)\n"),
        }
    }
}

/// Switches takeover off, and puts all functions back, when it is dropped.
struct ReleaseHooks;

impl Drop for ReleaseHooks {
    fn drop(&mut self) {
        policy::clear();
        if let Ok(hooks) = HOOKS.get() {
            *hooks.lock() = Hooks::NONE;
        }
        // For calls that were in a function when it was put back: preempted, or asleep with a
        // reference that they have put since.
        backend::wait_for_gates();
    }
}

/// Adapts the replaced functions to the policy, and to the instances that are left.
static SETTLE: Work<Settle> = Work::new();

struct Settle;

impl Job for Settle {
    fn run() {
        if let Ok(hooks) = HOOKS.get() {
            hooks.lock().release();
        }
    }
}

/// The last instance that was taken over has ended. Any context.
///
/// With a policy for epoll there is nothing to put back. The end of that policy is followed by a
/// read of the leases: fully ordered, as in the [module](self)'s argument.
fn settle_after_end() {
    if !policy::calls().has(Call::Epoll) {
        SETTLE.schedule();
    }
}

/// SysRq-E.
struct OffKey;

impl Key for OffKey {
    const KEY: u8 = b'E';
    const HELP: &'static CStr = c"repoll-takeover-off(E)";
    const ACTION: &'static CStr = c"Switch repoll's takeover off";

    fn pressed() {
        if policy::stop() {
            CAUSE.store(Cause::Sysrq as u32, Relaxed);
            pr_info!("takeover is off: SysRq\n");
        }
        SETTLE.schedule();
    }
}

/// An oops in this module's code: its data may be wrong, so it gets no new instances.
struct OffAtOops;

impl OopsHandler for OffAtOops {
    fn oops(in_this_module: bool) {
        // The functions are put back later, by the end of an instance or the next request: the task
        // may hold any lock, so nothing is scheduled here.
        if in_this_module && policy::stop() {
            CAUSE.store(Cause::Oops as u32, Relaxed);
            pr_emerg!("takeover is off: an oops in this module\n");
        }
    }
}

impl Hooks {
    const NONE: Self = Self {
        asking: [const { None }; Call::ALL.len()],
        instance: None,
    };

    /// Replaces the functions that `calls` need, and that are not replaced yet.
    fn acquire(&mut self, calls: Calls) -> Result<(), Refusal> {
        if calls.has(Call::Epoll) && self.instance.is_none() {
            self.instance = Some(InstanceHooks::register()?);
        }
        for (call, hook) in Call::ALL.into_iter().zip(&mut self.asking) {
            if calls.has(call) && hook.is_none() {
                *hook = Some(PolicyHook::register(call)?);
            }
        }
        Ok(())
    }

    /// Puts the functions back that the policy does not need.
    fn release(&mut self) {
        let calls = policy::calls();
        for (call, hook) in Call::ALL.into_iter().zip(&mut self.asking) {
            if !calls.has(call) {
                *hook = None;
            }
        }
        if !calls.has(Call::Epoll) && LEASES.open() == 0 {
            self.instance = None;
        }
    }

    fn bits(&self) -> u32 {
        let mut bits = self.instance.as_ref().map_or(0, |_| InstanceHooks::BITS);
        for (call, hook) in Call::ALL.into_iter().zip(&self.asking) {
            bits |= hook.as_ref().map_or(0, |_| PolicyHook::bit(call));
        }
        bits
    }
}

/// Takes over `calls` of the tasks in `scope`, in place of the former policy. Logs a refusal, and
/// keeps the former policy then. Process context, sleeps.
pub(super) fn on(calls: Calls, scope: Scope) -> Result {
    let mut hooks = HOOKS.get()?.lock();
    let change = Change::begin();
    CAUSE.store(Cause::Request as u32, Relaxed);
    let result = hooks.acquire(calls).map_err(|refusal| {
        pr_err!("takeover: {}: {}\n", refusal.function, refusal.reason);
        refusal.errno
    });
    let result = result.and_then(|()| change.set(Policy { calls, scope }));
    // Those of the former policy, or of a failed one.
    hooks.release();
    result
}

/// Takes over nothing new. Process context, sleeps.
pub(super) fn off() -> Result {
    let mut hooks = HOOKS.get()?.lock();
    policy::clear();
    CAUSE.store(Cause::Request as u32, Relaxed);
    hooks.release();
    Ok(())
}

/// The policy and its effects now. A policy whose cgroup was removed ends here. Process context,
/// sleeps.
pub(super) fn status() -> Status {
    let mut hooked = 0;
    if let Ok(hooks) = HOOKS.get() {
        let mut hooks = hooks.lock();
        // No task can be in it any more.
        if policy::calls() != Calls::NONE && policy::group().is_some_and(|(_, removed)| removed) {
            pr_info!("takeover is off: its cgroup was removed\n");
            policy::clear();
            CAUSE.store(Cause::Removed as u32, Relaxed);
        }
        hooks.release();
        hooked = hooks.bits();
    }
    let calls = policy::calls();
    Status {
        calls,
        group: policy::group()
            .filter(|_| calls != Calls::NONE)
            .map(|(id, _)| id),
        hooked,
        means: backend::means(),
        cause: CAUSE.load(Relaxed),
        instances: LEASES.open(),
        created: LEASES.made(),
        running: Usage::running(),
    }
}
