// SPDX-License-Identifier: GPL-2.0

//! The `EPOLL*` bits and operations, under the names that they have in the kernel.
//!
//! Those of the user interface are documented in epoll(7) and epoll_ctl(2).

#![forbid(unsafe_code)]

pub(crate) use crate::kernel_ext::bindings::{
    EPIOCGPARAMS,
    EPIOCSPARAMS,
    EPOLLERR,
    EPOLLET,
    EPOLLEXCLUSIVE,
    EPOLLHUP,
    EPOLLIN,
    EPOLLMSG,
    EPOLLNVAL,
    EPOLLONESHOT,
    EPOLLOUT,
    EPOLLPRI,
    EPOLLRDBAND,
    EPOLLRDHUP,
    EPOLLRDNORM,
    EPOLLWAKEUP,
    EPOLLWRBAND,
    EPOLLWRNORM,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD, //
};

/// The waker is io_uring. The bit is passed on to pollers, so that a ring and an instance that
/// watch each other do not wake each other forever.
pub(crate) use crate::kernel_ext::bindings::EPOLL_URING_WAKE;

/// Events that are reported whether they are asked for or not.
pub(crate) const EP_ALWAYS_BITS: u32 = EPOLLERR | EPOLLHUP;

/// Behaviour flags: all that a fired `EPOLLONESHOT` item keeps.
pub(crate) const EP_PRIVATE_BITS: u32 = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;

/// Bits of readers and writers.
pub(crate) const EPOLLINOUT_BITS: u32 = EPOLLIN | EPOLLOUT;

/// Bits that may be set together with `EPOLLEXCLUSIVE`.
pub(crate) const EPOLLEXCLUSIVE_OK_BITS: u32 =
    EPOLLINOUT_BITS | EP_ALWAYS_BITS | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
