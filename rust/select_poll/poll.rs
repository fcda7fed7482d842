// SPDX-License-Identifier: GPL-2.0

//! POLL: what poll(2) and ppoll(2) do, over an array of descriptors.
//!
//! The C side is `do_sys_poll()` in `fs/select.c`.

#![forbid(unsafe_code)]

use crate::trace::constants;
use crate::uapi::epoll::{
    EPOLLERR,
    EPOLLHUP,
    EPOLLIN,
    EPOLLMSG,
    EPOLLNVAL,
    EPOLLOUT,
    EPOLLPRI,
    EPOLLRDBAND,
    EPOLLRDHUP,
    EPOLLRDNORM,
    EPOLLWRBAND,
    EPOLLWRNORM, //
};
use crate::{
    kernel_ext::{
        fdget::{
            self,
            Files, //
        },
        uaccess::{
            write_revents, //
            Array,
        }, //
    },
    select_poll::{
        counts::Counts,
        select_loop::{
            scan,
            Call,
            Pass,
            Timeout, //
        }, //
    },
    uapi::args::{
        read,
        repoll_poll, //
        PollFd,
    }, //
};
use core::mem::{
    offset_of,
    MaybeUninit, //
};
use kernel::prelude::*;

/// What can be asked for.
const ALL: u32 = EPOLLIN
    | EPOLLPRI
    | EPOLLOUT
    | EPOLLERR
    | EPOLLHUP
    | EPOLLNVAL
    | EPOLLRDNORM
    | EPOLLRDBAND
    | EPOLLWRNORM
    | EPOLLWRBAND
    | EPOLLMSG
    | EPOLLRDHUP;

/// How many descriptors are kept on the stack, as `fs/select.c` does with so many bytes.
const ON_STACK: usize = 256 / size_of::<PollFd>();

/// The ioctl; see `uapi/repoll.h`. Not inlined: the other ioctls need none of its stack.
#[inline(never)]
pub(crate) fn poll(arg: usize, size: usize) -> Result<isize> {
    let args: repoll_poll = read(arg, size)?;
    let call = Call {
        kind: constants::REPOLL_CALL_POLL,
        nfds: args.nfds,
        flags: args.flags,
        timeout: args.timeout,
        timeout_address: (arg + offset_of!(repoll_poll, timeout)) as u64,
        sigmask: args.sigmask,
        sigsetsize: args.sigsetsize,
        counts: args.counts,
        counts_size: args.counts_size,
    };
    call.make(|timeout, counts| poll_array(&call, args.fds, timeout, counts))
}

fn poll_array(call: &Call, address: u64, timeout: &Timeout, counts: &mut Counts) -> Result<usize> {
    if u64::from(call.nfds) > fdget::limit() {
        return Err(EINVAL);
    }
    let mut room = [const { MaybeUninit::uninit() }; ON_STACK];
    let mut fds = Array::<PollFd>::read(&mut room, address, call.nfds as usize)?;
    counts.bytes_in = size_of_val(&*fds) as u64;
    call.trace_setup(counts.bytes_in);
    let files = Files::current()?;
    let result = scan(&files, timeout, counts, |pass| {
        for fd in fds.iter_mut() {
            poll_one(pass, fd);
        }
    });
    // Whatever the result is: with a signal they are all zero.
    write_revents(address, &fds)?;
    counts.bytes_out = (fds.len() * size_of::<u16>()) as u64;
    result
}

/// Finds out one file's events. A negative descriptor has none; one that is not open has POLLNVAL.
#[inline]
fn poll_one(pass: &mut Pass<'_>, fd: &mut PollFd) {
    fd.revents = 0;
    if fd.fd < 0 {
        return;
    }
    let wanted = u32::from(fd.events) & ALL | EPOLLERR | EPOLLHUP;
    let ready = pass
        .poll(fd.fd, wanted)
        .map_or(EPOLLNVAL, |ready| ready & wanted);
    if ready != 0 {
        fd.revents = ready as u16;
        pass.found();
    }
}
