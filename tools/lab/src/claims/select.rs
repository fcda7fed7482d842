// SPDX-License-Identifier: GPL-2.0
//! select(2) and its sets of bits.

use crate::claims::scanning;
use crate::multiplexer::Call;
use crate::prelude::*;
use repoll::{FdSet, Instance, SelectSets};
use repoll_testkit::files::dup_from;
use repoll_testkit::limits::allow_files;
use repoll_testkit::scanner::{is_in, set_of, Kernel, Side as _};
use std::fs;

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "select",
        text: "select takes three sets of descriptors, a bit for each: read, write, exceptional. \
               The kernel copies them in and polls each file in them, from 0 to nfds. In the first \
               pass it also puts an entry for the caller into each file's wait queue. If nothing \
               is ready the caller sleeps; when a file wakes it, it polls all files again. Then it \
               removes all entries and copies the sets back with only the bits of ready files, so \
               the program must set them again for the next call.",
        sample: Some("multiplexed"),
        claims: vec![
            Claim {
                text: "select's limit is 1024 descriptors",
                expected: Verdict::Fails,
                because: "1024 is the size of the C library's fd_set. The kernel takes nfds bits, \
                          up to the limit of open files.",
                source: "fs/select.c:641, core_sys_select()",
                experiment: beyond_1024,
            },
            Claim {
                text: "select's limit is 2048 on 64-bit machines",
                expected: Verdict::Fails,
                because: "The set is defined by its bits, whatever the size of a word.",
                source: "include/uapi/linux/posix_types.h:23, :26",
                experiment: size_of_a_set,
            },
            Claim {
                text: "raising FD_SETSIZE or file-max raises select's limit",
                expected: Verdict::Fails,
                because:
                    "FD_SETSIZE is the size of the set when the C library was built; file-max \
                          limits the open files of the whole system. A set that the program \
                          allocates itself can have any size.",
                source: "include/uapi/linux/posix_types.h:22 (#undef, then 1024); fs/select.c:641",
                experiment: raised_limits,
            },
            Claim {
                text: "select overwrites its sets, so they must be set again for each call",
                expected: Verdict::Holds,
                because: "",
                source: "fs/select.c:688, set_fd_set(); rust/select_poll/select.rs",
                experiment: overwrites,
            },
            Claim {
                text: "select returns how many descriptors are ready",
                expected: Verdict::OnlyIf("each is in one set"),
                because: "It counts bits.",
                source: "fs/select.c:483, do_select(): retval++ for each bit",
                experiment: counts_bits,
            },
            Claim {
                text: "select copies the whole set in and out",
                expected: Verdict::Holds,
                because: "It copies the words that hold nfds bits, on each call.",
                source: "fs/select.c:669, get_fd_set(); :688, set_fd_set(); \
                         rust/select_poll/select.rs",
                experiment: || scanning::copies(Call::Select),
            },
            Claim {
                text: "select checks all descriptors on each call: O(n)",
                expected: Verdict::Holds,
                because: "",
                source: "fs/select.c:483, do_select(); rust/select_poll/select_loop.rs",
                experiment: || scanning::is_linear(Call::Select),
            },
            Claim {
                text: "select's caller enters the wait queue of every file on each call, and \
                       leaves all before it returns",
                expected: Verdict::Holds,
                because: "",
                source: "fs/select.c:219, __pollwait(); :136, poll_freewait(); \
                         rust/kernel_ext/poll_wqueues.rs",
                experiment: || scanning::enters_queues(Call::Select),
            },
            Claim {
                text: "when one file wakes select, it polls all of them again",
                expected: Verdict::Holds,
                because: "Its entries know which file woke them, but the call does not use that.",
                source: "fs/select.c:208, pollwake(); :483, do_select()",
                experiment: || scanning::scans_again(Call::Select),
            },
        ],
    }
}

const FAR: i32 = 5000;

/// Whether select finds a descriptor ready that has a large number.
fn finds_far(side: Side) -> Result<bool> {
    allow_files(8192)?;
    let ready = dup_from(&eventfd_of(1)?, FAR)?;
    let number = ready.as_raw_fd();
    match side {
        Side::Kernel | Side::TakenOver => {
            let nfds = number + 1;
            let mut set = set_of(&[number], nfds);
            let count = Kernel.select(nfds, [Some(&mut set), None, None], NOW)?;
            Ok(count == 1 && is_in(number, &set))
        }
        Side::Repoll => {
            let mut set = FdSet::new();
            set.insert(&ready);
            let sets = SelectSets {
                read: Some(&mut set),
                ..Default::default()
            };
            let count = Instance::open()?.select(sets, NOW)?;
            Ok(count == 1 && set.contains(&ready))
        }
    }
}

fn beyond_1024() -> Result<Finding> {
    Finding::of_calls(|side| {
        let found = finds_far(side)?;
        let seen = format!("descriptor {FAR} in a set of its own making: found ready: {found}");
        Ok((Verdict::holds(!found), seen))
    })
}

fn size_of_a_set() -> Result<Finding> {
    let bits = 8 * size_of::<libc::fd_set>();
    let seen = format!(
        "the C library's fd_set has {bits} bits, with {} bits a word",
        usize::BITS
    );
    Finding::of(Side::Kernel, Verdict::holds(bits == 2048), seen)
}

fn raised_limits() -> Result<Finding> {
    const FILE_MAX: &str = "/proc/sys/fs/file-max";
    let before = fs::read_to_string(FILE_MAX)?;
    let bits = 8 * size_of::<libc::fd_set>();
    Finding::of_kernels_calls(|side| {
        // First below the number of the descriptor, then restored.
        fs::write(FILE_MAX, "4000").context("file-max can't be written")?;
        let low = finds_far(side);
        fs::write(FILE_MAX, before.trim())?;
        let (low, high) = (low?, finds_far(side)?);
        let seen = format!(
            "descriptor {FAR} is found ready with file-max 4000: {low}, with {}: {high}; fd_set \
             has {bits} bits in both cases",
            before.trim()
        );
        Ok((Verdict::holds(low != high || bits != 1024), seen))
    })
}

fn overwrites() -> Result<Finding> {
    Finding::of_calls(|side| {
        let (idle, ready) = (eventfd()?, eventfd_of(1)?);
        let (kept, found) = match side {
            Side::Kernel | Side::TakenOver => {
                let [idle, ready] = [idle.as_raw_fd(), ready.as_raw_fd()];
                let nfds = idle.max(ready) + 1;
                let mut set = set_of(&[idle, ready], nfds);
                Kernel.select(nfds, [Some(&mut set), None, None], NOW)?;
                (is_in(idle, &set), is_in(ready, &set))
            }
            Side::Repoll => {
                let mut set = FdSet::new();
                set.insert(&idle);
                set.insert(&ready);
                let sets = SelectSets {
                    read: Some(&mut set),
                    ..Default::default()
                };
                Instance::open()?.select(sets, NOW)?;
                (set.contains(&idle), set.contains(&ready))
            }
        };
        let seen = format!(
            "two were in the set; afterwards the ready one is in it: {found}, the other: {kept}"
        );
        Ok((Verdict::holds(found && !kept), seen))
    })
}

fn counts_bits() -> Result<Finding> {
    Finding::of_calls(|side| {
        // Ready to be read and to be written.
        let fd = eventfd_of(1)?;
        let (once, twice) = match side {
            Side::Kernel | Side::TakenOver => {
                let (number, nfds) = (fd.as_raw_fd(), fd.as_raw_fd() + 1);
                let mut sets = [(); 3].map(|()| set_of(&[number], nfds));
                let [one, readable, writable] = &mut sets;
                (
                    Kernel.select(nfds, [Some(one), None, None], NOW)?,
                    Kernel.select(nfds, [Some(readable), Some(writable), None], NOW)?,
                )
            }
            Side::Repoll => {
                let instance = Instance::open()?;
                let mut sets = [FdSet::new(), FdSet::new(), FdSet::new()];
                sets.iter_mut().for_each(|set| set.insert(&fd));
                let [one, readable, writable] = &mut sets;
                (
                    instance.select(
                        SelectSets {
                            read: Some(one),
                            ..Default::default()
                        },
                        NOW,
                    )?,
                    instance.select(
                        SelectSets {
                            read: Some(readable),
                            write: Some(writable),
                            except: None,
                        },
                        NOW,
                    )?,
                )
            }
        };
        let seen =
            format!("one descriptor that is ready for both: {once} in one set, {twice} in two");
        let verdict = Verdict::only_if("each is in one set", once == 1, twice == 1);
        Ok((verdict, seen))
    })
}
