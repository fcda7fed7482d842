// SPDX-License-Identifier: GPL-2.0
//! epoll_create, and the instance that it makes.

use crate::prelude::*;
use crate::rare_calls::epoll_create_of;
use repoll_testkit::descriptor::Number;
use repoll_testkit::memory::map_file;
use repoll_testkit::multiplexer::{Epoll, Multiplexer as _};
use repoll_testkit::scanner::{pollfds, Kernel, Side as _};
use std::fs;

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "epoll_create",
        text: "It makes an object of four parts behind an anonymous file: the tree of watched \
               files (rbr), the list of items that may be ready (rdllist), and two wait queues: \
               for threads in epoll_wait (wq), and for pollers of the instance itself (poll_wait). \
               repoll has the same four parts: items in a tree, a ready queue, waiters, pollers.",
        sample: None,
        claims: vec![
            Claim {
                text: "the size given to epoll_create is ignored, but must be positive",
                expected: Verdict::Holds,
                because: "The size dates from an implementation with a hash table. epoll_create1 \
                          and opening /dev/repoll have none.",
                source: "fs/eventpoll.c:2530, epoll_create()",
                experiment: size,
            },
            Claim {
                text: "an instance is an anonymous file",
                expected: Verdict::Holds,
                because: "CREATE of repoll makes an anonymous file too; opening /dev/repoll gives \
                          a file with a name.",
                source: "fs/eventpoll.c:2515, anon_inode_getfile(); rust/kernel_ext/miscdevice.rs",
                experiment: anonymous,
            },
            Claim {
                text: "an instance is itself pollable: readable while something is ready",
                expected: Verdict::Holds,
                because: "",
                source: "fs/eventpoll.c, ep_eventpoll_poll(); rust/eventpoll/poll.rs",
                experiment: pollable,
            },
            Claim {
                text: "an instance has two wait queues: one for its waiters, one for its pollers",
                expected: Verdict::Holds,
                because: "One event wakes both: a waiter, and all pollers.",
                source: "fs/eventpoll.c:295, struct eventpoll: wq and poll_wait; rust/eventpoll.rs",
                experiment: two_queues,
            },
            Claim {
                text: "epoll shares memory with user space by mmap",
                expected: Verdict::Fails,
                because: "It never did: events are copied one by one with put_user.",
                source: "fs/eventpoll.c:2099, epoll_put_uevent(); eventpoll_fops has no mmap",
                experiment: shared_memory,
            },
        ],
    }
}

fn size() -> Result<Finding> {
    let files = eventfds(100)?;
    Finding::of_kernels_calls(|side| {
        let zero = epoll_create_of(0);
        let refused = matches!(&zero, Err(error) if error.raw_os_error() == Some(libc::EINVAL));
        let small = Epoll::from_descriptor(epoll_create_of(1)?);
        ensure!(
            side.code().has_made(&small),
            "the instance is not of {side}"
        );
        let watched = files
            .iter()
            .take_while(|fd| small.add(*fd, EventFlags::IN, 0).is_ok())
            .count();
        let seen = format!(
            "size 0: {}; one of size 1 watches {watched} files",
            zero.map_or_else(|error| error.to_string(), |_| "made".to_owned())
        );
        Ok((Verdict::holds(refused && watched == files.len()), seen))
    })
}

fn anonymous() -> Result<Finding> {
    Finding::of_calls(|side| {
        let m = Multiplexer::anonymous(side)?;
        let link = fs::read_link(format!("/proc/self/fd/{}", m.as_raw_fd()))?;
        let link = link.display().to_string();
        let verdict = Verdict::holds(link.starts_with("anon_inode:"));
        Ok((verdict, format!("/proc/self/fd says {link}")))
    })
}

fn pollable() -> Result<Finding> {
    Finding::of_calls(|side| {
        let m = Multiplexer::new(side)?;
        let fd = eventfd()?;
        m.add(&fd, EventFlags::IN)?;
        let poll = || Kernel.poll(&mut pollfds(&[m.as_raw_fd()], libc::POLLIN), NOW);
        let before = poll()?;
        signal(&fd)?;
        let after = poll()?;
        let seen = format!(
            "poll of the instance: {before} ready before an event of its file, {after} after"
        );
        Ok((Verdict::holds((before, after) == (0, 1)), seen))
    })
}

fn two_queues() -> Result<Finding> {
    Finding::of_calls(recorded(|side| {
        let m = Multiplexer::new(side)?;
        let fd = eventfd()?;
        m.add(&fd, EventFlags::IN)?;
        scope(|threads| {
            let waiter = start(threads, "waiter", || Ok(m.wait(FOR_EVER)?))?;
            let poller = start(threads, "poller", || {
                Ok(Kernel.poll(&mut pollfds(&[m.as_raw_fd()], libc::POLLIN), FOR_EVER)?)
            })?;
            waiter.until_asleep()?;
            poller.until_asleep()?;
            let places = [waiter.sleeps_in()?, poller.sleeps_in()?];
            signal(&fd)?;
            let (waited, polled) = (waiter.end()?, poller.end()?);
            ensure!(places[0] != places[1], "both sleep in {}", places[0]);
            let seen = format!(
                "one sleeps in {}, the other in {}; after one event the first has {waited}, \
                     the second {polled}",
                places[0], places[1]
            );
            Ok((Verdict::holds((waited, polled) == (1, 1)), seen))
        })
    }))
}

fn shared_memory() -> Result<Finding> {
    Finding::of_calls(|side| {
        let m = Multiplexer::new(side)?;
        let mapped = map_file(Number(m.as_raw_fd()));
        let verdict = Verdict::holds(mapped.is_ok());
        let said = mapped.map_or_else(|error| error.to_string(), |()| "done".to_owned());
        Ok((verdict, format!("mmap of an instance: {said}")))
    })
}
