// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module's user interface, which `../client/build.rs` generates from `rust/uapi/repoll.h`.
#![allow(
    missing_docs,
    non_camel_case_types,
    dead_code,
    clippy::undocumented_unsafe_blocks,
    clippy::pub_underscore_fields
)]

include!(concat!(env!("OUT_DIR"), "/uapi.rs"));
