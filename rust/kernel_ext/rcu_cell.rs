// SPDX-License-Identifier: GPL-2.0

//! A static value that is read under RCU, and replaced as a whole.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::rcu_cell::RcuCell;
//!
//! static LIMIT: RcuCell<u32> = RcuCell::new();
//!
//! fn is_allowed(n: u32) -> bool {
//!     LIMIT.with(|limit| limit.is_none_or(|&limit| n <= limit))
//! }
//!
//! fn set_limit(n: u32) -> Result {
//!     LIMIT.replace(Some(KBox::new(n, GFP_KERNEL)?));
//!     Ok(())
//! }
//! ```

use super::atomic::{
    ordering::{Acquire, Full},
    Atomic, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::rcu, //
};

/// See the [module](self).
///
/// # Invariants
///
/// `value` is the address of a `T` in a box that the cell owns, or 0. A box that was in the cell is
/// dropped after all RCU read sections that may have read its address.
pub(crate) struct RcuCell<T> {
    value: Atomic<usize>,
    _owner: PhantomData<KBox<T>>,
}

// SAFETY: Readers on any CPU get shared references. The thread that replaces a value drops it.
unsafe impl<T: Send + Sync> Sync for RcuCell<T> {}

impl<T> RcuCell<T> {
    /// Without a value.
    pub(crate) const fn new() -> Self {
        Self {
            value: Atomic::new(0),
            _owner: PhantomData,
        }
    }

    /// Calls `read` with the value, in an RCU read section: `read` must not sleep. Any context.
    #[inline]
    pub(crate) fn with<R>(&self, read: impl FnOnce(Option<&T>) -> R) -> R {
        let _section = rcu::read_lock();
        let value = ptr::with_exposed_provenance::<T>(self.value.load(Acquire));
        // SAFETY: Null, or a box's value that is not dropped before the section ends, by the type's
        // invariants. Its initialization is ordered before the load.
        read(unsafe { value.as_ref() })
    }

    /// Replaces the value, and drops the former one when no reader has it. Process context, sleeps.
    pub(crate) fn replace(&self, value: Option<KBox<T>>) {
        let new = value.map_or(ptr::null_mut(), KBox::into_raw);
        let old = self.value.xchg(new.expose_provenance(), Full);
        if old != 0 {
            // SAFETY: Process context.
            unsafe { bindings::synchronize_rcu() };
            // SAFETY: It was made by `into_raw`, and taken out of the cell by this call only. All
            // sections that may have read it have ended.
            drop(unsafe { KBox::from_raw(ptr::with_exposed_provenance_mut::<T>(old)) });
        }
    }
}
