// SPDX-License-Identifier: GPL-2.0

//! The current task's capabilities.
//!
//! C header: [`include/linux/capability.h`](srctree/include/linux/capability.h)
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::capability::is_admin;
//!
//! fn change_the_machine() -> Result {
//!     if !is_admin() {
//!         return Err(EPERM);
//!     }
//!     Ok(())
//! }
//! ```

use super::bindings as ext;
use kernel::{
    bindings,
    ffi::c_int, //
};

/// Whether the current task has `CAP_SYS_ADMIN` in the initial user namespace. Process context.
pub(crate) fn is_admin() -> bool {
    // SAFETY: Only looks at, and marks, the current task's credentials.
    unsafe { ext::capable(bindings::CAP_SYS_ADMIN as c_int) }
}
