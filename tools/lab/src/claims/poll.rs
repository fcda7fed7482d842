// SPDX-License-Identifier: GPL-2.0
//! poll(2) and its array of descriptors.

use crate::claims::scanning;
use crate::multiplexer::{Call, Scanner};
use crate::prelude::*;
use repoll::{Instance, PollFd, PollFlags};
use repoll_testkit::files::copies;
use repoll_testkit::limits::allow_files;
use repoll_testkit::scanner::{pollfds, Kernel, Side as _};

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "poll",
        text:
            "poll takes an array in place of sets: descriptor, requested events, returned events \
               (revents). The size of a descriptor's number does not matter, and the array can be \
               used again unchanged. The rest is as with select: the array is copied in and out, \
               the caller enters the wait queue of each file, and all files are checked, on each \
               call and after each wake-up.",
        sample: Some("multiplexed"),
        claims: vec![
            Claim {
                text: "poll and epoll stop at 65,535 descriptors",
                expected: Verdict::Fails,
                because: "The limits are RLIMIT_NOFILE and, for epoll, max_user_watches.",
                source: "fs/select.c:988, do_sys_poll(); fs/eventpoll.c:1827",
                experiment: beyond_65535,
            },
            Claim {
                text: "poll is based on a linked list",
                expected: Verdict::Fails,
                because: "A program passes an array. The kernel copies it in pieces of a page and \
                          links the pieces; it looks nothing up in the list.",
                source: "fs/select.c:845, struct poll_list; :1006, POLLFD_PER_PAGE",
                experiment: || Finding::read(Verdict::Fails),
            },
            Claim {
                text: "poll does not change the requested events, so the array can be used again",
                expected: Verdict::Holds,
                because: "Only revents is written.",
                source: "fs/select.c:1026, unsafe_put_user(); rust/select_poll/poll.rs",
                experiment: array_stays,
            },
            Claim {
                text: "poll copies the whole array in and out",
                expected: Verdict::Holds,
                because: "The revents of each entry are written, ready or not.",
                source: "fs/select.c:998, copy_from_user(); :1026; rust/select_poll/poll.rs",
                experiment: || scanning::copies(Call::Poll),
            },
            Claim {
                text: "poll checks all descriptors on each call: O(n)",
                expected: Verdict::Holds,
                because: "",
                source: "fs/select.c, do_poll(); rust/select_poll/select_loop.rs",
                experiment: || scanning::is_linear(Call::Poll),
            },
            Claim {
                text: "poll's caller enters the wait queue of every file on each call, and leaves \
                       all before it returns",
                expected: Verdict::Holds,
                because: "",
                source: "fs/select.c:219, __pollwait(); :136, poll_freewait(); \
                         rust/kernel_ext/poll_wqueues.rs",
                experiment: || scanning::enters_queues(Call::Poll),
            },
            Claim {
                text: "when one file wakes poll, it checks all of them again",
                expected: Verdict::Holds,
                because: "",
                source: "fs/select.c, do_poll(); rust/select_poll/select_loop.rs",
                experiment: || scanning::scans_again(Call::Poll),
            },
        ],
    }
}

fn beyond_65535() -> Result<Finding> {
    const COUNT: usize = 66_000;
    allow_files(70_000)?;
    Finding::of_calls(|side| {
        let polled = {
            let ready = eventfd_of(1)?;
            let copies = copies(&ready, COUNT)?;
            let numbers: Vec<_> = copies.iter().map(AsRawFd::as_raw_fd).collect();
            Scanner::new(Call::Poll, side)?.wait(&numbers, NOW)?.0
        };
        // An instance of repoll watches at most 4,096 descriptors of one file.
        let files = eventfds(COUNT)?;
        let m = Multiplexer::new(side)?;
        let watched = files
            .iter()
            .take_while(|fd| m.add(*fd, EventFlags::IN).is_ok())
            .count();
        if watched < COUNT && watched != 65_535 {
            bail!(
                "{side} watches only {watched}: the limit is 4 % of the memory, so give the guest \
                 more"
            );
        }
        let seen = format!("poll found {polled} of {COUNT} ready, an instance watches {watched}");
        Ok((Verdict::holds(polled < COUNT || watched < COUNT), seen))
    })
}

fn array_stays() -> Result<Finding> {
    Finding::of_calls(|side| {
        let (idle, ready) = (eventfd()?, eventfd_of(1)?);
        let (counts, found) = match side {
            Side::Kernel | Side::TakenOver => {
                let mut fds = pollfds(&[idle.as_raw_fd(), ready.as_raw_fd()], libc::POLLIN);
                let counts = [Kernel.poll(&mut fds, NOW)?, Kernel.poll(&mut fds, NOW)?];
                let stays = fds.iter().all(|fd| fd.events == libc::POLLIN);
                (
                    counts,
                    stays && (fds[0].revents, fds[1].revents) == (0, libc::POLLIN),
                )
            }
            Side::Repoll => {
                let instance = Instance::open()?;
                let mut fds = [
                    PollFd::new(&idle, PollFlags::IN),
                    PollFd::new(&ready, PollFlags::IN),
                ];
                let counts = [instance.poll(&mut fds, NOW)?, instance.poll(&mut fds, NOW)?];
                (
                    counts,
                    fds[0].ready().is_empty() && fds[1].ready() == PollFlags::IN,
                )
            }
        };
        let seen = format!(
            "the same array twice: {} and {} ready; only revents of the ready entry changed: \
             {found}",
            counts[0], counts[1]
        );
        Ok((Verdict::holds(counts == [1, 1] && found), seen))
    })
}
