// SPDX-License-Identifier: GPL-2.0

//! The user interface, as Rust sees it. `uapi/repoll.h` declares it for C.

#![forbid(unsafe_code)]

pub(crate) mod epoll;
