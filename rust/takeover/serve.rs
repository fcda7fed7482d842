// SPDX-License-Identifier: GPL-2.0

//! The calls that are taken over, with the arguments that the kernel's own functions get.
//!
//! The kernel has read the arguments from user memory by then, converted the timeout to an end on
//! the monotonic clock, and set the signal mask. It also does what follows: it restores the mask
//! and writes the time that is left.

#![forbid(unsafe_code)]

use super::{
    policy::{
        takes_over_now,
        Call, //
    },
    usage::{
        Usage,
        LEASES, //
    }, //
};
use crate::eventpoll::{
    epoll_create,
    epoll_ctl,
    epoll_wait,
    Eventpoll,
    Locking, //
};
use crate::kernel_ext::hrtimeout::Timeout;
use crate::select_poll::{
    poll::do_sys_poll,
    select::do_select, //
};
use crate::uapi::{
    args::repoll_ctl,
    O_CLOEXEC, //
};
use crate::watch::FileId;
use kernel::{
    fs::{
        File,
        LocalFile, //
    },
    prelude::*,
    sync::ArcBorrow, //
};

/// The return value of a C function.
fn to_c(result: Result<usize>) -> i32 {
    result.map_or_else(|e| e.to_errno(), |value| value as i32)
}

/// `do_epoll_create()`; `None` if the kernel is to serve it. Process context, sleeps.
pub(super) fn create(flags: i32) -> Option<i32> {
    // Counted first, then checked: see `policy`.
    let lease = LEASES.lease();
    if !takes_over_now(Call::Epoll) {
        return None;
    }
    let flags = flags as u32;
    if flags & !O_CLOEXEC != 0 {
        return Some(EINVAL.to_errno());
    }
    let result = epoll_create(flags, Some(lease)).inspect(|_| LEASES.count_made());
    Some(to_c(result.map(|fd| fd as usize)))
}

/// `do_epoll_ctl_file()` on the instance `ep`, whose file is `own`. `file` is open as `fd`. `event`
/// has the bits of interest and the data; none for DEL. Process context, sleeps.
pub(super) fn ctl(
    ep: ArcBorrow<'_, Eventpoll>,
    own: &File,
    op: i32,
    (file, fd): (&LocalFile, i32),
    event: Option<(u32, u64)>,
    nonblock: bool,
) -> i32 {
    let (events, data) = event.unwrap_or_default();
    let args = repoll_ctl {
        op,
        fd,
        events,
        flags: 0,
        data,
    };
    let locking = if nonblock {
        Locking::NonBlocking
    } else {
        Locking::Blocking
    };
    to_c(epoll_ctl(ep, own, file, &args, locking).map(|()| 0))
}

/// `do_epoll_wait()` on the instance `ep`. Process context, sleeps.
pub(super) fn wait(ep: &Eventpoll, events: usize, maxevents: i32, end: Timeout) -> i32 {
    to_c(epoll_wait(ep, events, maxevents, end))
}

/// `epoll_sendevents()` on the instance `ep`. Process context, sleeps.
pub(super) fn send_events(ep: &Eventpoll, events: usize, maxevents: i32) -> i32 {
    to_c(epoll_wait(ep, events, maxevents, Timeout::Zero))
}

/// `get_epoll_tfile_raw_ptr()` on the instance `ep`. Process context, sleeps.
pub(super) fn target(ep: &Eventpoll, fd: i32, offset: usize) -> Result<FileId> {
    ep.watched_file(fd, offset)
}

/// `do_select()`, of descriptors below `nfds`. The sets are arrays of as many words as that takes:
/// three that are asked for, and three for the result. Process context, sleeps.
pub(super) fn select(nfds: i32, sets: [&mut [u64]; 6], end: Timeout) -> i32 {
    let _usage = Usage::begin();
    to_c(do_select(nfds, sets, end))
}

/// `do_sys_poll()`, of the array of `nfds` elements at `fds`. Process context, sleeps.
pub(super) fn poll(fds: usize, nfds: u32, end: Timeout) -> i32 {
    let _usage = Usage::begin();
    to_c(do_sys_poll(fds, nfds, end))
}
