// SPDX-License-Identifier: GPL-2.0

//! The differences between the kernels that the module is built for.
//!
//! The kernel crate has no stable API. Where one form works on all kernels, the module uses it.
//! Elsewhere `rust/Makefile` probes the kernel's source at build time, and passes a `cfg`
//! (`KERNEL_HAS_...`). The fallback is here, or in a module of its own that is built only if
//! needed. Nothing depends on a kernel's version number. To drop an old kernel, delete its probe,
//! and the code that the compiler then reports as unused.
//!
//! | item | difference |
//! |---|---|
//! | [`THIS_MODULE`] | the macro's static, or a constant of a trait |
//! | [`parameter`] | a parameter's value is a reference, or a copy |
//! | [`errno`] | some errors have no name |
//! | [`SpinLockIrq`] | missing |

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
        ECANCELED,
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

    declare!(ECANCELED, ELOOP, ENOTCONN, EOPNOTSUPP);
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
