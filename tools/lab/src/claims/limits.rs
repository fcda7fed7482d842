// SPDX-License-Identifier: GPL-2.0
//! How many, and what.

use crate::multiplexer::both;
use crate::sys::{allow_descriptors, check, copy_at, eventfd, owned, poll, Set};
use crate::{holds_if, Claim, Finding, Verdict};
use anyhow::{bail, Result};
use repoll::Events;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

pub fn claims() -> Vec<Claim> {
    vec![
        Claim {
            text: "select's limit is 1024 descriptors",
            expected: Verdict::Fails,
            experiment: select_beyond_1024,
        },
        Claim {
            text: "select's limit is 2048 on 64-bit machines",
            expected: Verdict::Fails,
            experiment: size_of_a_set,
        },
        Claim {
            text: "poll and epoll stop at 65,535 descriptors",
            expected: Verdict::Fails,
            experiment: beyond_65535,
        },
        Claim {
            text: "only a file whose driver implements poll can be added",
            expected: Verdict::Holds,
            experiment: pollable_files,
        },
        Claim {
            text: "the size given to epoll_create is ignored, but must be positive",
            expected: Verdict::Holds,
            experiment: size_of_epoll,
        },
        Claim {
            text: "epoll shares memory with user space by mmap",
            expected: Verdict::Fails,
            experiment: no_mmap,
        },
        Claim {
            text: "poll is based on a linked list",
            expected: Verdict::Fails,
            experiment: array_of_poll,
        },
    ]
}

fn select_beyond_1024() -> Result<Finding> {
    const NUMBER: i32 = 5000;
    allow_descriptors(8192)?;
    let ready = copy_at(&eventfd(1)?, NUMBER)?;
    let mut set = Set::new(8192);
    set.insert(ready.as_raw_fd());
    let count = set.select(ready.as_raw_fd() + 1)?;
    let seen = count == 1 && set.contains(ready.as_raw_fd());
    holds_if(
        !seen,
        format!(
            "the kernel reports descriptor {} in a set that is large enough: {count} ready. 1024 is FD_SETSIZE, the size of \
             the C library's fd_set: to raise that, or file-max, changes nothing for programs that are built with it",
            ready.as_raw_fd()
        ),
    )
}

fn size_of_a_set() -> Result<Finding> {
    let bits = 8 * size_of::<libc::fd_set>();
    holds_if(
        bits == 2048,
        format!(
            "the C library's fd_set has {bits} bits here, on {} bits",
            usize::BITS
        ),
    )
}

fn beyond_65535() -> Result<Finding> {
    const COUNT: usize = 66_000;
    allow_descriptors(70_000)?;
    let ready = eventfd(1)?;
    let copies: Vec<_> = (0..COUNT)
        .map(|_| ready.try_clone())
        .collect::<Result<_, _>>()?;
    let entry = |fd: &dyn AsRawFd| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let mut fds: Vec<_> = copies.iter().map(|fd| entry(fd)).collect();
    let polled = poll(&mut fds)?;
    drop(copies);
    // Files of their own: of one file an instance of repoll's watches 4,096 at the most.
    let files: Vec<_> = (0..COUNT).map(|_| eventfd(0)).collect::<Result<_, _>>()?;
    let mut added = Vec::new();
    for (name, m) in both()? {
        let count = files
            .iter()
            .take_while(|fd| m.add(*fd, Events::IN).is_ok())
            .count();
        added.push(format!("{name} watches {count}"));
        if count < COUNT {
            bail!(
                "{name} watches only {count}: is there enough memory for the limit of 4 % of it?"
            );
        }
    }
    holds_if(
        polled < COUNT,
        format!(
            "poll found {polled} of {COUNT} ready, {}; what stops them is RLIMIT_NOFILE, and for epoll max_user_watches",
            added.join(", ")
        ),
    )
}

fn pollable_files() -> Result<Finding> {
    let file = File::open("/proc/self/exe")?;
    let mut seen = Vec::new();
    let mut refused = true;
    for (name, m) in both()? {
        let error = m
            .add(&file, Events::IN)
            .err()
            .and_then(|error| error.raw_os_error());
        refused &= error == Some(libc::EPERM) && m.add(&eventfd(0)?, Events::IN).is_ok();
        seen.push(format!(
            "{name} refuses a regular file with EPERM: {}",
            error == Some(libc::EPERM)
        ));
    }
    holds_if(
        refused,
        format!("{}; both take an eventfd", seen.join(", ")),
    )
}

fn size_of_epoll() -> Result<Finding> {
    // SAFETY: no pointers.
    let zero = check(unsafe { libc::epoll_create(0) })
        .err()
        .and_then(|error: io::Error| error.raw_os_error());
    // SAFETY: no pointers; the descriptor is new.
    let small = unsafe { owned(libc::epoll_create(1)) }?;
    let files: Vec<_> = (0..100).map(|_| eventfd(0)).collect::<Result<_, _>>()?;
    let mut added = 0;
    for fd in &files {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: 0,
        };
        // SAFETY: the event lives through the call.
        added += usize::from(unsafe {
            libc::epoll_ctl(
                small.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                fd.as_raw_fd(),
                &mut event,
            ) == 0
        });
    }
    holds_if(
        zero == Some(libc::EINVAL) && added == files.len(),
        format!(
            "size 0 gives EINVAL: {}; an epoll of size 1 watches {added} files",
            zero == Some(libc::EINVAL)
        ),
    )
}

fn no_mmap() -> Result<Finding> {
    let mut mapped = Vec::new();
    for (name, m) in both()? {
        let fd = match &m {
            crate::multiplexer::Multiplexer::C(fd) => fd.as_raw_fd(),
            crate::multiplexer::Multiplexer::Repoll(instance) => instance.as_raw_fd(),
        };
        // SAFETY: a new mapping, at an address that the kernel chooses, is not used by anybody.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            mapped.push((
                false,
                format!("mmap of {name}: {}", io::Error::last_os_error()),
            ));
        } else {
            mapped.push((true, format!("{name} can be mapped")));
        }
    }
    let evidence: Vec<_> = mapped.iter().map(|(_, text)| text.as_str()).collect();
    holds_if(
        mapped.iter().any(|(is_mapped, _)| *is_mapped),
        format!("{}; events are copied, one __put_user after the other (fs/eventpoll.c, ep_send_events)", evidence.join("; ")),
    )
}

fn array_of_poll() -> Result<Finding> {
    // From the source: no measurement tells how the kernel keeps its copy.
    holds_if(
        false,
        "a program passes an array; the kernel copies it in pieces of a page, which it links (struct poll_list in \
         fs/select.c): the list is how the copy is kept, not how descriptors are looked up"
            .to_owned(),
    )
}
