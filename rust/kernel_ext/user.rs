// SPDX-License-Identifier: GPL-2.0

//! Users, and the count of their watches that the C epoll keeps.
//!
//! C header: [`include/linux/sched/user.h`](srctree/include/linux/sched/user.h)
//!
//! A user is a `struct user_struct`, one per `kuid_t`. A user namespace that maps a user onto
//! itself changes nothing. One that maps a range of users gives each user in the range a record of
//! its own, as for pipes and for the C epoll.

use super::bindings as ext;
use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*, //
};

/// A counted reference to a `struct user_struct`.
///
/// # Examples
///
/// ```
/// use crate::kernel_ext::user::User;
///
/// fn watch(max: i64) -> Result<User> {
///     let user = User::current()?;
///     user.charge_watch(max)?;
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

    /// The C epoll's own limit: 4 % of memory, in watches of `bytes` bytes.
    pub(crate) fn default_max_watches(bytes: usize) -> i64 {
        // SAFETY: No requirements; `bytes` is not zero but for a type of no size.
        unsafe { ext::default_max_user_watches(bytes.max(1) as i64) }
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
