// SPDX-License-Identifier: GPL-2.0
//! When an event is reported.

use crate::claim::{Claim, Finding, Mechanism, Verdict};
use crate::multiplexer::{Multiplexer, NOW};
use crate::recording::record_story;
use anyhow::Result;
use repoll::EventFlags;
use repoll_testkit::files::{pipe, read, write};
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "Level-triggered and edge-triggered",
        text: "After an item is reported it leaves the ready list. If it is level-triggered it is put back at \
               the tail at once: the next wait asks the file again, and reports it again while there is \
               something to read. If it is edge-triggered it stays out, until the next callback puts it in. \
               So level reports a state, and edge a change; whoever uses edge must read until EAGAIN.",
        sample: Some("level-trigger"),
        claims: vec![
            Claim {
                text: "100 bytes come, 50 are read: level-triggered reports again",
                expected: Verdict::Holds,
                because: "The item was put back when it was reported.",
                source: "fs/eventpoll.c:2114, ep_deliver_event(); rust/eventpoll/wait.rs, scan()",
                experiment: level_reports_again,
            },
            Claim {
                text: "100 bytes come, 50 are read: edge-triggered stays silent",
                expected: Verdict::Holds,
                because: "Nothing has called back since. What comes after it is reported, read or not.",
                source: "fs/eventpoll.c:2114, ep_deliver_event(); rust/eventpoll/wait.rs",
                experiment: edge_stays_silent,
            },
            Claim {
                text: "edge-triggered reports once per change, however many bytes it brought",
                expected: Verdict::Holds,
                because: "Changes that come before the wait are one report: the item is in the ready list once.",
                source: "fs/eventpoll.c:1491, ep_poll_callback()",
                experiment: once_per_change,
            },
            Claim {
                text: "edge-triggered also reports when the data get less",
                expected: Verdict::Fails,
                because: "A read wakes writers, for it makes room: it is an edge of OUT, not of IN.",
                source: "fs/pipe.c, anon_pipe_read(): wake_up of wr_wait only",
                experiment: less_data_are_no_edge,
            },
        ],
    }
}

pub fn oneshot() -> Mechanism {
    Mechanism {
        name: "ONESHOT",
        text: "An item with EPOLLONESHOT is reported once, and then disarmed: all of its event bits are \
               cleared, though it stays in the tree and its entry in the file's wait queue. Callbacks \
               come and are swallowed. EPOLL_CTL_MOD sets the bits again and asks the file, so that \
               what came meanwhile is not lost. So of many threads only one has a connection at a time.",
        sample: None,
        claims: vec![
            Claim {
                text: "ONESHOT reports once; then nothing until MOD",
                expected: Verdict::Holds,
                because: "MOD asks the file, so that what came before it is reported, too.",
                source: "fs/eventpoll.c:2112, ep_deliver_event(); rust/eventpoll/item.rs, disarm()",
                experiment: once_until_mod,
            },
            Claim {
                text: "after ONESHOT has reported, the descriptor must be added to the queue again",
                expected: Verdict::Fails,
                because: "It is still there: ADD gives EEXIST. MOD arms it again.",
                source: "fs/eventpoll.c:2112 and :1980, ep_modify()",
                experiment: must_be_added,
            },
        ],
    }
}

fn in_words(count: usize) -> String {
    match count {
        0 => "no event".to_owned(),
        1 => "1 event".to_owned(),
        count => format!("{count} events"),
    }
}

/// Reports before and after half of the data are read, and after more have come.
fn half_read(m: &Multiplexer, events: EventFlags) -> Result<[usize; 3]> {
    let (reader, writer) = pipe()?;
    m.add(&reader, events)?;
    write(&writer, &[0; 100])?;
    let before = m.wait(NOW)?;
    read(&reader, &mut [0; 50])?;
    let after = m.wait(NOW)?;
    write(&writer, &[0; 10])?;
    Ok([before, after, m.wait(NOW)?])
}

/// The same on both sides, and whether the second report is there.
fn halves(events: EventFlags, second: usize) -> Result<Finding> {
    Finding::both(|side| {
        let counts = half_read(&Multiplexer::new(side)?, events)?;
        let seen = format!(
            "{} when they come, {} after 50 are read, {} when 10 more come",
            in_words(counts[0]),
            in_words(counts[1]),
            in_words(counts[2])
        );
        Ok((Verdict::holds(counts == [1, second, 1]), seen))
    })
}

fn level_reports_again() -> Result<Finding> {
    let (finding, trace) = record_story(|| halves(EventFlags::IN, 1))?;
    Ok(finding.with(trace))
}

fn edge_stays_silent() -> Result<Finding> {
    let (finding, trace) = record_story(|| halves(EventFlags::IN | EventFlags::ET, 0))?;
    Ok(finding.with(trace))
}

fn once_per_change() -> Result<Finding> {
    Finding::both(|side| {
        let m = Multiplexer::new(side)?;
        let (reader, writer) = pipe()?;
        m.add(&reader, EventFlags::IN | EventFlags::ET)?;
        let mut reports = Vec::new();
        for writes in [1, 3] {
            for _ in 0..writes {
                write(&writer, &[0; 100])?;
            }
            reports.push(m.wait(NOW)? + m.wait(NOW)?);
        }
        let seen = format!(
            "{} after one write, {} after three",
            in_words(reports[0]),
            in_words(reports[1])
        );
        Ok((Verdict::holds(reports == [1, 1]), seen))
    })
}

fn less_data_are_no_edge() -> Result<Finding> {
    Finding::both(|side| {
        let m = Multiplexer::new(side)?;
        let (reader, writer) = pipe()?;
        m.add(&reader, EventFlags::IN | EventFlags::ET)?;
        while write(&writer, &[0; 4096]).is_ok() {}
        let came = m.wait(NOW)?;
        let writing = Multiplexer::new(side)?;
        writing.add(&writer, EventFlags::OUT | EventFlags::ET)?;
        let full = writing.wait(NOW)?;
        read(&reader, &mut [0; 16384])?;
        let (less, room) = (m.wait(NOW)?, writing.wait(NOW)?);
        let seen = format!(
            "who reads: {} when data come, {} when 16384 bytes have been read; who writes: {} while the pipe is full, {} then",
            in_words(came),
            in_words(less),
            in_words(full),
            in_words(room)
        );
        // If a read told nobody anything, or data did not, this would be no experiment.
        anyhow::ensure!((came, full, room) == (1, 0, 1), "{seen}");
        Ok((Verdict::holds(less > 0), seen))
    })
}

fn once_until_mod() -> Result<Finding> {
    let experiment = || {
        Finding::both(|side| {
            let m = Multiplexer::new(side)?;
            // Each write must have a callback to be swallowed: a pipe has one for its first data only.
            let (reader, writer) = UnixStream::pair()?;
            let events = EventFlags::IN | EventFlags::ONESHOT;
            m.add(&reader, events)?;
            write(&writer, b"x")?;
            let first = m.wait(NOW)?;
            write(&writer, b"y")?;
            let second = m.wait(NOW)?;
            m.modify(&reader, events)?;
            let armed = m.wait(NOW)?;
            let seen = format!(
                "{}, {} when more comes, {} after MOD",
                in_words(first),
                in_words(second),
                in_words(armed)
            );
            Ok((Verdict::holds([first, second, armed] == [1, 0, 1]), seen))
        })
    };
    let (finding, trace) = record_story(experiment)?;
    Ok(finding.with(trace))
}

fn must_be_added() -> Result<Finding> {
    Finding::both(|side| {
        let m = Multiplexer::new(side)?;
        let (reader, writer) = pipe()?;
        let events = EventFlags::IN | EventFlags::ONESHOT;
        m.add(&reader, events)?;
        write(&writer, b"x")?;
        m.wait(NOW)?;
        let added = m.add(&reader, events);
        let refused = matches!(&added, Err(error) if error.kind() == ErrorKind::AlreadyExists);
        m.modify(&reader, events)?;
        let armed = m.wait(NOW)?;
        let seen = format!(
            "ADD: {}; {} after MOD",
            added.map_or_else(|error| error.to_string(), |()| "done".to_owned()),
            in_words(armed)
        );
        Ok((Verdict::holds(!refused || armed == 0), seen))
    })
}
