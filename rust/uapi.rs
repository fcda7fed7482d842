// SPDX-License-Identifier: GPL-2.0

//! The user interface, as Rust sees it. `uapi/repoll.h` declares it for C.

pub(crate) mod args;
pub(crate) mod bindings;
pub(crate) mod counts;
pub(crate) mod epoll;

pub(crate) use crate::kernel_ext::bindings::{
    FIONREAD,
    O_CLOEXEC, //
};
pub(crate) use bindings::{
    REPOLL_IOC_MAGIC,
    REPOLL_SOURCE_ATTACHED,
    REPOLL_SOURCE_DEFAULT_MESSAGES,
    REPOLL_SOURCE_DEFAULT_MESSAGE_SIZE,
    REPOLL_SOURCE_FLAGS,
    REPOLL_SOURCE_FRAME,
    REPOLL_SOURCE_HEADERS,
    REPOLL_SOURCE_HUNG_UP,
    REPOLL_SOURCE_MAX_BYTES,
    REPOLL_SOURCE_MAX_MESSAGES,
    REPOLL_SOURCE_MAX_MESSAGE_SIZE,
    REPOLL_SOURCE_MAX_POLLERS,
    REPOLL_SOURCE_MAX_TIMERS,
    REPOLL_SOURCE_MIN_MESSAGE_SIZE,
    REPOLL_SOURCE_MIN_PERIOD,
    REPOLL_SOURCE_TIMER,
    REPOLL_SOURCE_WRITE, //
};
