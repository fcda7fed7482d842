// SPDX-License-Identifier: GPL-2.0

//! The functions of the kernel that are replaced. None is yet: each is refused.

use kernel::prelude::*;

/// The reason why a function can't be replaced.
pub(super) struct Refusal {
    pub(super) function: &'static CStr,
    pub(super) reason: &'static str,
    pub(super) errno: Error,
}

macro_rules! hooks {
    ($($hook:ident: $bits:expr),* $(,)?) => {$(
        pub(super) struct $hook;

        impl $hook {
            pub(super) const BITS: u32 = $bits;

            pub(super) fn register() -> Result<Self, Refusal> {
                Err(Refusal {
                    function: c"any function",
                    reason: "can't be replaced yet",
                    errno: EINVAL,
                })
            }
        }
    )*};
}

hooks! {
    CreateHook: 0x01,
    InstanceHooks: 0x1e,
    SelectHook: 0x20,
    PollHook: 0x40,
}

pub(super) fn means() -> u32 {
    0
}
