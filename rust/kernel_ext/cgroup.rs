// SPDX-License-Identifier: GPL-2.0

//! Control groups of version 2.
//!
//! C header: [`include/linux/cgroup.h`](srctree/include/linux/cgroup.h)

use super::bindings as ext;
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::from_err_ptr,
    prelude::*, //
};

/// A counted reference to a control group. The group can be removed from the hierarchy all the
/// same; it has no members then.
///
/// # Examples
///
/// ```
/// use crate::kernel_ext::cgroup::Cgroup;
///
/// /// Whether the current task is in the group whose folder is open as `fd`, or below it.
/// fn is_member(fd: i32) -> Result<bool> {
///     Ok(Cgroup::from_fd(fd)?.has_current())
/// }
/// ```
///
/// # Invariants
///
/// Owns a reference to the group.
pub(crate) struct Cgroup(NonNull<bindings::cgroup>);

// SAFETY: The reference may be put on any thread.
unsafe impl Send for Cgroup {}
// SAFETY: All that is read through a shared reference is constant, or read under RCU.
unsafe impl Sync for Cgroup {}

impl Cgroup {
    /// The group whose folder the current task has open as `fd`.
    ///
    /// EBADF if it is no folder of a group, or one of a hierarchy of version 1; ENOENT if the group
    /// has been removed; EOPNOTSUPP without `CONFIG_CGROUPS`. Process context.
    pub(crate) fn from_fd(fd: i32) -> Result<Self> {
        // SAFETY: Process context. It fails for a descriptor that is not open.
        let group = from_err_ptr(unsafe { ext::cgroup_get_from_fd(fd) })?;
        // INVARIANT: The reference is ours.
        NonNull::new(group).map(Self).ok_or(EBADF)
    }

    /// The number that identifies the group: the inode number of its folder.
    pub(crate) fn id(&self) -> u64 {
        // SAFETY: The group is valid, by the type's invariants.
        unsafe { ext::cgroup_id(self.0.as_ptr()) }
    }

    /// Whether the group has been removed from the hierarchy. Any context.
    pub(crate) fn is_removed(&self) -> bool {
        // SAFETY: The group is valid, by the type's invariants.
        unsafe { ext::cgroup_is_removed(self.0.as_ptr()) }
    }

    /// Whether the current task is in the group or below it. Process context, does not sleep.
    #[inline]
    pub(crate) fn has_current(&self) -> bool {
        // SAFETY: The group is valid, by the type's invariants.
        unsafe { ext::cgroup_has_current(self.0.as_ptr()) }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // SAFETY: The reference is ours, by the type's invariants.
        unsafe { ext::cgroup_put(self.0.as_ptr()) };
    }
}
