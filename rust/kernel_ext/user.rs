// SPDX-License-Identifier: GPL-2.0

//! Users, the count of their watches that the C epoll keeps, and its limit.
//!
//! C header: [`include/linux/sched/user.h`](srctree/include/linux/sched/user.h)
//!
//! A user is a `struct user_struct`, one per `kuid_t`. A user namespace that maps a user onto
//! itself changes nothing. One that maps a range of users gives each user in the range a record of
//! its own, as for pipes and for the C epoll.

use super::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    bindings as ext,
    sysctl, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*, //
};

/// The limit where the kernel's own is not found.
static STAND_IN: Atomic<i64> = Atomic::new(0);

/// The most watches of a user.
///
/// # Invariants
///
/// Points to a variable that is never freed while this module is loaded.
static MAX_WATCHES: Atomic<*mut Atomic<i64>> = Atomic::new((&raw const STAND_IN).cast_mut());

/// A counted reference to a `struct user_struct`.
///
/// # Examples
///
/// ```
/// use crate::kernel_ext::user::User;
///
/// fn init() {
///     User::find_max_watches(128);
/// }
///
/// fn watch() -> Result<User> {
///     let user = User::current()?;
///     user.charge_watch()?;
///     Ok(user)
/// }
///
/// fn unwatch(user: User) {
///     user.uncharge_watch();
/// }
/// ```
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

    /// Finds the variable of the sysctl `fs.epoll.max_user_watches`, which then is the limit for
    /// [`User::charge_watch`]. Returns whether it was found; without it the limit is the sysctl's
    /// initial value, for watches of `bytes` bytes. Sleeps.
    pub(crate) fn find_max_watches(bytes: usize) -> bool {
        // SAFETY: Process context; `bytes` is not zero but for a type of no size.
        let initial = unsafe { ext::default_max_user_watches(bytes.max(1) as i64) };
        STAND_IN.store(initial, Relaxed);
        // SAFETY: The table of `fs/eventpoll.c` is registered at boot, and never unregistered.
        match unsafe { sysctl::long_variable(c"epoll_table", c"max_user_watches") } {
            None => false,
            Some(variable) => {
                // INVARIANT: It is never freed. Its initial value is published by the boot.
                MAX_WATCHES.store((&raw const *variable).cast_mut(), Relaxed);
                true
            }
        }
    }

    /// The most watches that a user may have now. Any context.
    #[inline]
    pub(crate) fn max_watches() -> i64 {
        // SAFETY: Valid, by the static's invariants, and accessed atomically.
        unsafe { &*MAX_WATCHES.load(Relaxed) }.load(Relaxed)
    }

    /// Counts one more watch of this user; ENOSPC if there are [`User::max_watches`] already. Any
    /// context.
    #[inline]
    pub(crate) fn charge_watch(&self) -> Result {
        let max = Self::max_watches();
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

    /// Identifies the user for as long as a reference to it is held.
    pub(crate) fn id(&self) -> usize {
        self.0.as_ptr() as usize
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
