// SPDX-License-Identifier: GPL-2.0

//! What a user may have so many of: watches, counted with the C epoll's, and timers.
//!
//! C header: [`include/linux/sched/user.h`](srctree/include/linux/sched/user.h)

use super::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    bindings as ext, //
};
use core::ptr::NonNull;
use kernel::{bindings, prelude::*};

kernel::sync::global_lock! {
    // SAFETY: Initialised by `init()`, which the module calls before it registers its devices.
    /// How many timers there are of each user that has any.
    unsafe(uninit) static TIMERS: Mutex<KVec<Timers>> = KVec::new();
}

/// The timers of one user. Each of them holds a reference to the user, so it stays the same one.
struct Timers {
    user: usize,
    count: u32,
}

/// Makes the count of timers ready. For the module's initialisation; a second call does nothing.
pub(crate) fn init() {
    static DONE: Atomic<bool> = Atomic::new(false);
    if !DONE.xchg(true, Relaxed) {
        // SAFETY: Called once; nobody has used the lock, since the devices are not there.
        unsafe { TIMERS.init() };
    }
}

/// A counted reference to a `struct user_struct`.
///
/// # Invariants
///
/// Owns a reference to the user.
pub(crate) struct User(NonNull<bindings::user_struct>);

// SAFETY: The reference may be dropped on any thread.
unsafe impl Send for User {}
// SAFETY: The count of watches is a per-CPU counter, with its own lock.
unsafe impl Sync for User {}

impl User {
    /// The user of the current task. Process context.
    pub(crate) fn current() -> Result<Self> {
        // SAFETY: Takes a reference to the current task's user, which is never null.
        let user = unsafe { ext::get_current_user() };
        // INVARIANT: The reference is ours.
        NonNull::new(user).map(Self).ok_or(EINVAL)
    }

    /// Counts one more watch of this user; ENOSPC if there are `max` already. Any context.
    pub(crate) fn charge_watch(&self, max: i64) -> Result {
        // SAFETY: The user is valid, by the type's invariants.
        if unsafe { ext::user_charge_watch(self.0.as_ptr(), max) } {
            Ok(())
        } else {
            Err(ENOSPC)
        }
    }

    /// Undoes one [`User::charge_watch`]. Any context.
    pub(crate) fn uncharge_watch(&self) {
        // SAFETY: The user is valid, by the type's invariants.
        unsafe { ext::user_uncharge_watch(self.0.as_ptr()) };
    }

    /// Counts one more timer of this user; ENOSPC if there are `max` already. Process context, sleeps.
    pub(crate) fn charge_timer(self, max: u32) -> Result<TimerCharge> {
        let user = self.0.as_ptr() as usize;
        let mut timers = TIMERS.lock();
        match timers.iter_mut().find(|timers| timers.user == user) {
            Some(timers) if timers.count >= max => return Err(ENOSPC),
            Some(timers) => timers.count += 1,
            None => timers.push(Timers { user, count: 1 }, GFP_KERNEL)?,
        }
        // INVARIANT: Counted just now.
        Ok(TimerCharge(self))
    }

    /// The C epoll's own limit: 4 % of memory, in watches of `bytes` bytes.
    pub(crate) fn default_max_watches(bytes: usize) -> i64 {
        // SAFETY: No requirements; `bytes` is not zero but for a type of no size.
        unsafe { ext::default_max_user_watches(bytes.max(1) as i64) }
    }
}

impl PartialEq for User {
    /// Whether they are the same user.
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: The reference is ours, by the type's invariants.
        unsafe { bindings::free_uid(self.0.as_ptr()) };
    }
}

/// One timer, counted against its user.
///
/// # Invariants
///
/// It is in the count of the user.
pub(crate) struct TimerCharge(User);

impl Drop for TimerCharge {
    fn drop(&mut self) {
        let user = self.0 .0.as_ptr() as usize;
        let mut timers = TIMERS.lock();
        if let Some(at) = timers.iter().position(|timers| timers.user == user) {
            timers[at].count -= 1;
            if timers[at].count == 0 {
                // It is there, so it can be removed.
                let _ = timers.remove(at);
            }
            if timers.is_empty() {
                // Nothing is left behind by a module that is unloaded.
                *timers = KVec::new();
            }
        }
    }
}
