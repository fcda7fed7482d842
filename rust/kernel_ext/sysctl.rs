// SPDX-License-Identifier: GPL-2.0

//! The kernel's variables that a sysctl sets.
//!
//! C header: [`include/linux/sysctl.h`](srctree/include/linux/sysctl.h)
//!
//! Such a variable is seldom exported. Its table of sysctls is not exported either, but has a
//! symbol, and says of each variable where and how large it is, and by which function userspace
//! writes it. The symbol is looked up for a kprobe, which the kernel refuses as the table is no
//! code. That takes a kernel with `CONFIG_KPROBES` and `CONFIG_KALLSYMS_ALL`.

use super::{
    atomic::Atomic,
    bindings as ext, //
};
use kernel::prelude::*;

/// The `unsigned long` that the sysctl `name` sets, which is the first in the kernel's `table`;
/// `None` if it is not found. It has no bit above those of an `i64`, if the sysctl's maximum has
/// none. Sleeps.
///
/// # Examples
///
/// ```
/// use crate::kernel_ext::{atomic::ordering::Relaxed, sysctl};
///
/// fn max_user_watches() -> Option<i64> {
///     // SAFETY: `epoll_table` is registered at boot, for ever.
///     let variable = unsafe { sysctl::long_variable(c"epoll_table", c"max_user_watches") };
///     variable.map(|variable| variable.load(Relaxed))
/// }
/// ```
///
/// # Safety
///
/// If the kernel's image has a table of this name with this sysctl, the table and the variable stay
/// when the kernel has booted: neither is `__initdata`.
pub(crate) unsafe fn long_variable(table: &CStr, name: &CStr) -> Option<&'static Atomic<i64>> {
    // SAFETY: Process context; both are valid for the call.
    let variable = unsafe { ext::sysctl_long(table.as_char_ptr(), name.as_char_ptr()) };
    // SAFETY: If it is not null it is an aligned `unsigned long`, which has the size of an `i64` on
    // 64-bit machines, and any value is valid. It is in the image of the kernel, not in a module,
    // and stays, by the contract. `proc_doulongvec_minmax()`, which writes it, does so by
    // WRITE_ONCE(), the relaxed store of `Atomic`.
    unsafe { variable.cast::<Atomic<i64>>().as_ref() }
}

const _: () = assert!(size_of::<kernel::ffi::c_ulong>() == size_of::<i64>());
