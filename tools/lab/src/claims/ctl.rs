// SPDX-License-Identifier: GPL-2.0
//! epoll_ctl, and the files that can be watched.

use crate::prelude::*;
use crate::recording::{count, times};
use crate::shortest::shortest;
use repoll::Source;
use repoll_testkit::limits::allow_files;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "epoll_ctl",
        text: "ADD makes an item of the file, the descriptor's number, the requested events and \
               the datum, and inserts it into a red-black tree ordered by file and number. Then it \
               calls the file's poll operation with a table whose function (ep_ptable_queue_proc) \
               puts an entry into the file's wait queue. The entry holds no process, but a \
               callback and a pointer to the item. It stays until DEL or until the file is closed. \
               MOD changes the requested events and polls the file again.",
        sample: None,
        claims: vec![
            Claim {
                text: "an item is known by file and descriptor: adding it again is EEXIST",
                expected: Verdict::Holds,
                because: "The same file under another number is another item.",
                source: "fs/eventpoll.c:554, ep_cmp_ffd(); rust/eventpoll/ctl.rs",
                experiment: known_by_both,
            },
            Claim {
                text: "epoll finds a descriptor in O(log n)",
                expected: Verdict::Holds,
                because: "Both keep a red-black tree.",
                source: "fs/eventpoll.c:1464, ep_find(); rust/kernel_ext/rbtree.rs",
                experiment: logarithmic,
            },
            Claim {
                text: "ERR and HUP are reported whether requested or not",
                expected: Verdict::Holds,
                because: "ADD and MOD set both bits.",
                source: "fs/eventpoll.c:2694, :2714; rust/eventpoll/ctl.rs",
                experiment: always_on,
            },
            Claim {
                text: "ADD polls the file once, and leaves an entry in its wait queue until DEL",
                expected: Verdict::Holds,
                because: "So a wait enters no file's queue, while select and poll must do so on \
                          each call.",
                source: "fs/eventpoll.c:1609, ep_ptable_queue_proc(); :1935, ep_insert(); \
                         rust/watch.rs",
                experiment: leaves_an_entry,
            },
            Claim {
                text: "MOD and DEL need an existing item",
                expected: Verdict::Holds,
                because: "Without one they fail with ENOENT.",
                source: "fs/eventpoll.c:2700; rust/eventpoll/ctl.rs",
                experiment: must_be_there,
            },
        ],
    }
}

pub fn pollable_files() -> Mechanism {
    Mechanism {
        name: "Pollable files only",
        text: "All multiplexers depend on one operation of the file: poll, in its driver's \
               file_operations. It puts the caller's entry into the file's wait queue and returns \
               the file's state. Nothing waits for a file without this operation: select and poll \
               treat it as always ready, epoll refuses it.",
        sample: None,
        claims: vec![Claim {
            text: "only a file whose driver implements poll can be added",
            expected: Verdict::Holds,
            because: "EPERM for a regular file or a directory.",
            source: "fs/eventpoll.c:2651, file_can_poll(); rust/eventpoll/ctl.rs",
            experiment: only_pollable,
        }],
    }
}

fn said(result: io::Result<()>) -> String {
    result.map_or_else(|error| error.to_string(), |()| "done".to_owned())
}

fn known_by_both() -> Result<Finding> {
    Finding::of_calls(|side| {
        let m = Multiplexer::new(side)?;
        let fd = eventfd_of(1)?;
        m.add(&fd, EventFlags::IN)?;
        let again = m.add(&fd, EventFlags::IN);
        let refused = matches!(&again, Err(error) if error.kind() == ErrorKind::AlreadyExists);
        let copy = fd.try_clone()?;
        m.add(&copy, EventFlags::IN)?;
        let events = m.wait(NOW)?;
        let seen = format!(
            "the same descriptor again: {}; a duplicate of it: done, and {events} events",
            said(again)
        );
        Ok((Verdict::holds(refused && events == 2), seen))
    })
}

fn logarithmic() -> Result<Finding> {
    const FEW: usize = 32;
    const MANY: usize = 32_768;
    // A list would take hundreds of times as long, a tree at most three times.
    const FLAT: f64 = 10.0;
    allow_files(40_000)?;
    let files = eventfds(MANY)?;
    Finding::of_calls(|side| {
        let m = Multiplexer::new(side)?;
        let mut micros = Vec::new();
        let mut added = 0;
        for count in [FEW, MANY] {
            for fd in &files[added..count] {
                m.add(fd, EventFlags::IN)?;
            }
            added = count;
            let middle = &files[count / 2];
            let time = shortest(|| m.modify(middle, EventFlags::IN))?;
            micros.push(time.as_secs_f64() * 1e6);
        }
        let growth = micros[1] / micros[0].max(0.001);
        let seen = format!(
            "a MOD takes {:.2} µs among {FEW}, {:.2} µs among {MANY}: {growth:.1} times as long",
            micros[0], micros[1]
        );
        Ok((Verdict::holds(growth < FLAT), seen))
    })
}

fn always_on() -> Result<Finding> {
    Finding::of_calls(|side| {
        let m = Multiplexer::new(side)?;
        let (server, client) = UnixStream::pair()?;
        m.add(&server, EventFlags::empty())?;
        (&client).write_all(b"x")?;
        let data = m.wait(NOW)?;
        drop(client);
        let events: Vec<_> = m.events(NOW)?.iter().map(|event| event.flags()).collect();
        let hung_up = events.iter().any(|events| events.contains(EventFlags::HUP));
        let seen = format!(
            "no events requested: {data} events when data arrive, {events:?} when the peer closes"
        );
        Ok((Verdict::holds(data == 0 && hung_up), seen))
    })
}

fn leaves_an_entry() -> Result<Finding> {
    Finding::of_calls(|side| {
        let m = Multiplexer::new(side)?;
        let mut source = Source::open()?;
        let ((), trace) = record_events(&["source_poll"], || Ok(m.add(&source, EventFlags::IN)?))?;
        let asked = times(&trace, "source_poll");
        let ((), trace) = record_events(&["source_wake"], || {
            // No thread is in a wait, before or after the wait that takes the event.
            source.write_all(b"x")?;
            m.wait(NOW)?;
            source.write_all(b"x")?;
            Ok(())
        })?;
        let there = count(&trace, "source_wake", "pollers", 1);
        let ((), trace) = record_events(&["source_wake"], || {
            m.delete(&source)?;
            Ok(source.write_all(b"x")?)
        })?;
        let left = count(&trace, "source_wake", "pollers", 1);
        let seen = format!(
            "ADD polls {asked} time; with no thread in a wait, {there} of 2 messages find the \
             entry, after DEL {left} of 1"
        );
        Ok((Verdict::holds(asked == 1 && there == 2 && left == 0), seen))
    })
}

fn must_be_there() -> Result<Finding> {
    Finding::of_calls(|side| {
        let m = Multiplexer::new(side)?;
        let fd = eventfd_of(1)?;
        let kind = |result: &io::Result<()>| result.as_ref().err().map(io::Error::kind);
        let missing = |result: &_| kind(result) == Some(ErrorKind::NotFound);
        let modified = m.modify(&fd, EventFlags::IN);
        m.add(&fd, EventFlags::IN)?;
        let watched = m.wait(NOW)?;
        m.delete(&fd)?;
        let deleted = m.delete(&fd);
        let events = m.wait(NOW)?;
        let holds = missing(&modified) && missing(&deleted) && (watched, events) == (1, 0);
        let seen = format!(
            "MOD before ADD: {}; DEL a second time: {}; {events} events after the first",
            said(modified),
            said(deleted)
        );
        Ok((Verdict::holds(holds), seen))
    })
}

fn only_pollable() -> Result<Finding> {
    let (file, folder) = (File::open("/proc/self/exe")?, File::open("/")?);
    Finding::of_calls(|side| {
        let m = Multiplexer::new(side)?;
        let results = [m.add(&file, EventFlags::IN), m.add(&folder, EventFlags::IN)];
        let number = |result: &io::Result<()>| result.as_ref().err()?.raw_os_error();
        let refused = |result: &_| number(result) == Some(libc::EPERM);
        m.add(&eventfd()?, EventFlags::IN)?;
        let verdict = Verdict::holds(results.iter().all(refused));
        let [file, folder] = results;
        let seen = format!(
            "a regular file: {}; a folder: {}; an eventfd: done",
            said(file),
            said(folder)
        );
        Ok((verdict, seen))
    })
}
