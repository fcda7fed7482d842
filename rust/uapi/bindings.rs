// SPDX-License-Identifier: GPL-2.0

//! The user interface: bindgen's output for `repoll.h`.

crate::kernel_ext::bindings::bindgen_output!("uapi");
