// SPDX-License-Identifier: GPL-2.0

//! The differences between the kernels that the module is built for.
//!
//! The kernel crate has no stable API. Where one form serves all kernels, it is used. Elsewhere
//! `rust/Makefile` looks at build time for what the kernel's source has, and passes a `cfg` for it
//! (`KERNEL_HAS_...`); the other form is here, or in a module of its own that is built only if
//! needed. Nothing asks for a kernel's version. To leave an old kernel behind, delete its probe,
//! and what the compiler then finds unused.
//!
//! | what differs | where it is used |
//! |---|---|
//! | [`THIS_MODULE`]: the macro's static, or a constant of a trait | `device` |
//! | [`parameter`]: a parameter's value is lent, or copied | the module's `init` |
//! | [`errno`]: not all errors have a name | instead of the kernel crate's |
//! | [`SpinLockIrq`]: not there | `source::queue` |

use core::borrow::Borrow;
use kernel::bindings;

/// The module that this code is part of: null if it is built into the kernel.
#[cfg(MODULE)]
pub(super) const THIS_MODULE: *mut bindings::module = &raw mut bindings::__this_module;
#[cfg(not(MODULE))]
pub(super) const THIS_MODULE: *mut bindings::module = core::ptr::null_mut();

/// A copy of the `value()` of a module parameter.
pub(crate) fn parameter<T: Copy>(value: impl Borrow<T>) -> T {
    *value.borrow()
}

/// Errors that the kernel crate has not always had.
#[cfg(KERNEL_HAS_ALL_ERRNOS)]
pub(crate) mod errno {
    pub(crate) use kernel::error::code::{
        ELOOP,
        ENOTCONN,
        EOPNOTSUPP, //
    };
}
#[cfg(not(KERNEL_HAS_ALL_ERRNOS))]
pub(crate) mod errno {
    use kernel::{
        bindings,
        error::Error, //
    };

    macro_rules! declare {
        ($($name:ident),*) => {$(
            pub(crate) const $name: Error = {
                let errno = -(bindings::$name as i32);
                // SAFETY: In the kernels without this name an `Error` is a struct of one field, the
                // negative errno as a `NonZeroI32`, which fills it.
                unsafe { core::mem::transmute::<i32, Error>(errno) }
            };
        )*};
    }

    declare!(ELOOP, ENOTCONN, EOPNOTSUPP);
}

#[cfg(not(KERNEL_HAS_SPINLOCK_IRQ))]
pub(crate) use super::spinlock_irq::{
    new_spinlock_irq,
    SpinLockIrq, //
};
#[cfg(KERNEL_HAS_SPINLOCK_IRQ)]
pub(crate) use kernel::sync::{
    new_spinlock_irq,
    SpinLockIrq, //
};
