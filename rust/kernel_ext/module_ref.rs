// SPDX-License-Identifier: GPL-2.0

//! References to this module.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use super::{
    bindings as ext,
    drift::THIS_MODULE, //
};

/// While this exists, the module can't be unloaded.
///
/// It can be as soon as this is dropped, with the current task in the module's code still. So
/// the module's end must wait for a grace period of Tasks RCU, in which that task leaves the code,
/// if it calls nothing that sleeps first.
///
/// # Examples
///
/// ```
/// use crate::kernel_ext::module_ref::ModuleRef;
///
/// fn call(serve: fn() -> i32) -> Option<i32> {
///     let _module = ModuleRef::get()?;
///     Some(serve())
/// }
/// ```
///
/// # Invariants
///
/// Owns a reference to the module.
pub(crate) struct ModuleRef(());

impl ModuleRef {
    /// Takes a reference; `None` if the module is being unloaded. Any context.
    #[inline]
    pub(crate) fn get() -> Option<Self> {
        // SAFETY: The module is ours, so its structure exists.
        // INVARIANT: The reference is ours.
        unsafe { ext::try_module_get(THIS_MODULE) }.then_some(Self(()))
    }
}

impl Drop for ModuleRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The reference is ours, by the type's invariants.
        unsafe { ext::module_put(THIS_MODULE) };
    }
}
