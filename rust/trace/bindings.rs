// SPDX-License-Identifier: GPL-2.0

//! The tracepoints: bindgen's output for `repoll_trace.h`.

crate::kernel_ext::bindings::bindgen_output!("trace");
