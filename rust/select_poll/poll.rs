// SPDX-License-Identifier: GPL-2.0

//! POLL: poll(2) and ppoll(2), over an array of descriptors.
//!
//! The C side is `do_sys_poll()` in `fs/select.c`.

use super::select_loop::{
    poll_until_ready,
    Call,
    CallKind,
    IoctlCall,
    Limit,
    Pass, //
};
use crate::kernel_ext::{
    fdget::{
        self,
        Files, //
    },
    hrtimeout::Timeout,
    uaccess::{
        read,
        write_revents,
        Array,
        PollFd, //
    }, //
};
use crate::uapi::{
    args::repoll_poll,
    counts::Counts,
    epoll::{
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
        EPOLLWRNORM,
        EP_ALWAYS_BITS, //
    }, //
};
use core::mem::{
    offset_of,
    MaybeUninit, //
};
use kernel::prelude::*;

/// The events that a caller may ask for.
const ALL_EVENTS: u32 = EPOLLIN
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

/// The number of descriptors that are kept on the stack: the same bytes as in `fs/select.c`.
const ON_STACK: usize = 256 / size_of::<PollFd>();

/// Runs the ioctl; see `uapi/repoll.h`. Not inlined: the other ioctls need none of its stack.
#[inline(never)]
pub(crate) fn poll(arg: usize, size: usize) -> Result<isize> {
    let args: repoll_poll = read(arg, size)?;
    let ioctl = IoctlCall {
        call: Call {
            kind: CallKind::Poll,
            nfds: args.nfds,
            timeout: Timeout::after(args.timeout),
        },
        flags: args.flags,
        timeout_address: (arg + offset_of!(repoll_poll, timeout)) as u64,
        sigmask: args.sigmask,
        sigsetsize: args.sigsetsize,
        counts: args.counts,
        counts_size: args.counts_size,
    };
    ioctl.run(|limit, counts| poll_array(&ioctl.call, args.fds, limit, counts))
}

/// As poll(2), from where the timeout has been read and the signal mask set: `fds` is the address
/// of an array of `nfds` elements. Process context, sleeps.
pub(crate) fn do_sys_poll(fds: usize, nfds: u32, timeout: Timeout) -> Result<usize> {
    let call = Call {
        kind: CallKind::Poll,
        nfds,
        timeout,
    };
    call.run(|limit, counts| poll_array(&call, fds as u64, limit, counts))
}

fn poll_array(call: &Call, address: u64, limit: &Limit, counts: &mut Counts) -> Result<usize> {
    if u64::from(call.nfds) > fdget::limit() {
        return Err(EINVAL);
    }
    let mut room = [const { MaybeUninit::uninit() }; ON_STACK];
    let mut fds = Array::<PollFd>::read(&mut room, address, call.nfds as usize)?;
    counts.bytes_in = size_of_val(&*fds) as u64;
    call.trace_setup(counts.bytes_in);
    let files = Files::current()?;
    let result = poll_until_ready(&files, limit, counts, |pass| {
        for fd in fds.iter_mut() {
            poll_one(pass, fd);
        }
    });
    // Whatever the result is: after a signal they are all zero.
    write_revents(address, &fds)?;
    counts.bytes_out = (fds.len() * size_of::<u16>()) as u64;
    result
}

/// Polls one file. A negative descriptor has no events; one that is not open has POLLNVAL.
#[inline]
fn poll_one(pass: &mut Pass<'_>, fd: &mut PollFd) {
    fd.revents = 0;
    if fd.fd < 0 {
        return;
    }
    let wanted = u32::from(fd.events) & ALL_EVENTS | EP_ALWAYS_BITS;
    let ready = pass
        .poll(fd.fd, wanted)
        .map_or(EPOLLNVAL, |ready| ready & wanted);
    if ready != 0 {
        fd.revents = ready as u16;
        pass.found();
    }
}
