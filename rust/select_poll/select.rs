// SPDX-License-Identifier: GPL-2.0

//! SELECT: select(2) and pselect(2), over three sets of descriptors.
//!
//! The C side is `core_sys_select()` in `fs/select.c`. A set has any size: the 1024 of `FD_SETSIZE`
//! are the C library's.

use super::select_loop::{
    poll_until_ready,
    Call,
    CallKind,
    IoctlCall,
    Limit,
    Pass, //
};
use crate::kernel_ext::{
    fdget::Files,
    hrtimeout::Timeout,
    uaccess::{
        read,
        read_words,
        write_words,
        zeroed, //
    }, //
};
use crate::uapi::{
    args::repoll_select,
    counts::Counts,
    epoll::{
        EPOLLERR,
        EPOLLHUP,
        EPOLLIN,
        EPOLLNVAL,
        EPOLLOUT,
        EPOLLPRI,
        EPOLLRDBAND,
        EPOLLRDNORM,
        EPOLLWRBAND,
        EPOLLWRNORM, //
    }, //
};
use core::mem::offset_of;
use kernel::prelude::*;

/// The events of each set: readable, writable, exceptional. A descriptor that was closed meanwhile
/// is in each.
const EVENTS: [u32; 3] = [
    EPOLLRDNORM | EPOLLRDBAND | EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLNVAL,
    EPOLLWRBAND | EPOLLWRNORM | EPOLLOUT | EPOLLERR | EPOLLNVAL,
    EPOLLPRI | EPOLLNVAL,
];

/// The number of words that are kept on the stack, for three sets in and three sets out.
const ON_STACK: usize = 256 / size_of::<u64>();

/// One word of each of the three sets.
type Words = [u64; 3];

/// The three sets of the caller, and the three sets of the result.
struct Sets<'a> {
    asked: [&'a mut [u64]; 3],
    ready: [&'a mut [u64]; 3],
}

/// Runs the ioctl; see `uapi/repoll.h`. Not inlined: the other ioctls need none of its stack.
#[inline(never)]
pub(crate) fn select(arg: usize, size: usize) -> Result<isize> {
    let args: repoll_select = read(arg, size)?;
    let ioctl = IoctlCall {
        call: Call {
            kind: CallKind::Select,
            nfds: args.nfds as u32,
            timeout: Timeout::after(args.timeout),
        },
        flags: args.flags,
        timeout_address: (arg + offset_of!(repoll_select, timeout)) as u64,
        sigmask: args.sigmask,
        sigsetsize: args.sigsetsize,
        counts: args.counts,
        counts_size: args.counts_size,
    };
    let sets = [args.readfds, args.writefds, args.exceptfds];
    ioctl.run(|limit, counts| select_sets(&ioctl.call, args.nfds, sets, limit, counts))
}

/// As select(2), from where the timeout and the sets have been read and the signal mask set. `sets`
/// has the three sets that are asked for, and the three of the result, which are empty; all have
/// room for `nfds` bits. Process context, sleeps.
///
/// EINVAL if a set has no room for `nfds` bits.
pub(crate) fn do_select(nfds: i32, sets: [&mut [u64]; 6], timeout: Timeout) -> Result<usize> {
    let nfds = usize::try_from(nfds).map_err(|_| EINVAL)?;
    let words = nfds.div_ceil(64);
    if sets.iter().any(|set| set.len() < words) {
        return Err(EINVAL);
    }
    let [input, output, except, ready_input, ready_output, ready_except] = sets;
    let mut sets = Sets {
        asked: [input, output, except],
        ready: [ready_input, ready_output, ready_except],
    };
    let call = Call {
        kind: CallKind::Select,
        nfds: nfds as u32,
        timeout,
    };
    call.run(|limit, counts| {
        let files = Files::current()?;
        counts.bytes_in = 3 * (words * size_of::<u64>()) as u64;
        sets.run(&call, &files, nfds, limit, counts)
    })
}

fn select_sets(
    call: &Call,
    nfds: i32,
    addresses: [u64; 3],
    limit: &Limit,
    counts: &mut Counts,
) -> Result<usize> {
    let nfds = usize::try_from(nfds).map_err(|_| EINVAL)?;
    let files = Files::current()?;
    let nfds = nfds.min(files.size());
    let words = nfds.div_ceil(64);
    let mut room = [0; ON_STACK];
    let mut memory = zeroed(&mut room, 6 * words)?;
    let mut sets = Sets::new(&mut memory, words);
    for (set, address) in sets.asked.iter_mut().zip(addresses) {
        if address != 0 {
            read_words(set, address)?;
            counts.bytes_in += size_of_val(*set) as u64;
        }
    }
    let ready = sets.run(call, &files, nfds, limit, counts)?;
    for (set, address) in sets.ready.iter().zip(addresses) {
        if address != 0 {
            write_words(address, set)?;
            counts.bytes_out += size_of_val(*set) as u64;
        }
    }
    Ok(ready)
}

impl<'a> Sets<'a> {
    /// Sets of `words` words each, in `memory` of six times as many.
    fn new(memory: &'a mut [u64], words: usize) -> Self {
        let mut rest = memory;
        let mut next = || {
            let (set, others) = core::mem::take(&mut rest).split_at_mut(words);
            rest = others;
            set
        };
        Self {
            asked: [next(), next(), next()],
            ready: [next(), next(), next()],
        }
    }

    fn asked(&self, word: usize) -> Words {
        [0, 1, 2].map(|set: usize| self.asked[set][word])
    }

    /// Polls the files of the descriptors below `nfds` that are in a set, until one is ready.
    #[inline]
    fn run(
        &mut self,
        call: &Call,
        files: &Files,
        nfds: usize,
        limit: &Limit,
        counts: &mut Counts,
    ) -> Result<usize> {
        let words = self.check(files, nfds)?;
        call.trace_setup(counts.bytes_in);
        poll_until_ready(files, limit, counts, |pass| {
            for word in 0..words {
                self.poll_word(pass, word);
            }
        })
    }

    /// Clears the bits from `nfds` on. EBADF if a descriptor in a set is not open. Returns the
    /// number of words up to the last one that has a bit.
    fn check(&mut self, files: &Files, nfds: usize) -> Result<usize> {
        if nfds % 64 != 0 {
            for set in &mut self.asked {
                set[nfds / 64] &= (1 << (nfds % 64)) - 1;
            }
        }
        let mut used = 0;
        for word in 0..nfds.div_ceil(64) {
            let [input, output, except] = self.asked(word);
            let any = input | output | except;
            if any != 0 {
                if any & !files.open(word) != 0 {
                    return Err(EBADF);
                }
                used = word + 1;
            }
        }
        Ok(used)
    }

    /// Polls the 64 files of a word.
    #[inline]
    fn poll_word(&mut self, pass: &mut Pass<'_>, word: usize) {
        let asked = self.asked(word);
        let mut rest = asked[0] | asked[1] | asked[2];
        let mut found: Words = [0; 3];
        while rest != 0 {
            let index = rest.trailing_zeros();
            let bit = 1 << index;
            rest &= !bit;
            let wants = |set: usize| asked[set] & bit != 0;
            // As in C: exceptional events are always asked for, and wake the call.
            let mut events = EVENTS[2];
            for set in [0, 1] {
                if wants(set) {
                    events |= EVENTS[set];
                }
            }
            let fd = (word * 64) as i32 + index as i32;
            let ready = pass.poll(fd, events).unwrap_or(EPOLLNVAL);
            for set in [0, 1, 2] {
                if wants(set) && ready & EVENTS[set] != 0 {
                    found[set] |= bit;
                    pass.found();
                }
            }
        }
        for (set, found) in found.into_iter().enumerate() {
            self.ready[set][word] = found;
        }
    }
}
