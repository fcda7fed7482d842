// SPDX-License-Identifier: GPL-2.0
//! Level-triggered, edge-triggered and one-shot reports.

use crate::prelude::*;
use std::os::unix::net::UnixStream;

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "Level-triggered and edge-triggered",
        text:
            "A reported item leaves the ready list. If it is level-triggered it goes back to the \
               tail at once: the next wait polls the file again, and reports it while data can be \
               read. If it is edge-triggered it stays out until the next callback. So \
               level-triggered reports a state, edge-triggered a change, and an edge-triggered \
               program must read until EAGAIN.",
        sample: Some("level-trigger"),
        claims: vec![
            Claim {
                text: "100 bytes come, 50 are read: level-triggered reports again",
                expected: Verdict::Holds,
                because: "The item was put back when it was reported.",
                source: "fs/eventpoll.c:2114, ep_deliver_event(); rust/eventpoll/wait.rs, drain()",
                experiment: level_reports_again,
            },
            Claim {
                text: "100 bytes come, 50 are read: edge-triggered stays silent",
                expected: Verdict::Holds,
                because: "No callback has run since. A later arrival is reported, whether or not \
                          the data were read.",
                source: "fs/eventpoll.c:2114, ep_deliver_event(); rust/eventpoll/wait.rs",
                experiment: edge_stays_silent,
            },
            Claim {
                text: "edge-triggered reports once per change, however many bytes arrived",
                expected: Verdict::Holds,
                because:
                    "Changes before the wait become one report: the item is in the ready list \
                          once.",
                source: "fs/eventpoll.c:1491, ep_poll_callback()",
                experiment: once_per_change,
            },
            Claim {
                text: "edge-triggered also reports when the amount of data shrinks",
                expected: Verdict::Fails,
                because: "A read makes room and wakes writers: it is an edge of OUT, not of IN.",
                source: "fs/pipe.c, anon_pipe_read(): wake_up of wr_wait only",
                experiment: less_data_are_no_edge,
            },
        ],
    }
}

pub fn oneshot() -> Mechanism {
    Mechanism {
        name: "ONESHOT",
        text: "An item with EPOLLONESHOT is reported once and then disarmed: its event bits are \
               cleared, but it stays in the tree, and its entry stays in the file's wait queue. \
               Callbacks are ignored. EPOLL_CTL_MOD sets the bits again and polls the file, so \
               that no arrival is lost. So only one of many threads serves a connection at a time.",
        sample: None,
        claims: vec![
            Claim {
                text: "ONESHOT reports once; then nothing until MOD",
                expected: Verdict::Holds,
                because: "MOD polls the file, so that earlier arrivals are reported too.",
                source: "fs/eventpoll.c:2112, ep_deliver_event(); rust/eventpoll/item.rs, disarm()",
                experiment: once_until_mod,
            },
            Claim {
                text: "after ONESHOT has reported, the descriptor must be added to the queue again",
                expected: Verdict::Fails,
                because: "The item is still there: ADD fails with EEXIST. MOD arms it again.",
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

/// The finding for these events, with the expected number of reports after the read.
fn halves(events: EventFlags, second: usize) -> Result<Finding> {
    Finding::of_calls(recorded(|side| {
        let counts = half_read(&Multiplexer::new(side)?, events)?;
        let seen = format!(
            "{} when they arrive, {} after 50 are read, {} when 10 more arrive",
            in_words(counts[0]),
            in_words(counts[1]),
            in_words(counts[2])
        );
        Ok((Verdict::holds(counts == [1, second, 1]), seen))
    }))
}

fn level_reports_again() -> Result<Finding> {
    halves(EventFlags::IN, 1)
}

fn edge_stays_silent() -> Result<Finding> {
    halves(EventFlags::IN | EventFlags::ET, 0)
}

fn once_per_change() -> Result<Finding> {
    Finding::of_calls(|side| {
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
    Finding::of_calls(|side| {
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
            "the reader: {} when data arrive, {} when 16384 bytes have been read; the writer: {} \
             while the pipe is full, {} then",
            in_words(came),
            in_words(less),
            in_words(full),
            in_words(room)
        );
        // Both the arrival of data and the read must be events, or this is no experiment.
        anyhow::ensure!((came, full, room) == (1, 0, 1), "{seen}");
        Ok((Verdict::holds(less > 0), seen))
    })
}

fn once_until_mod() -> Result<Finding> {
    Finding::of_calls(recorded(|side| {
        let m = Multiplexer::new(side)?;
        // Each write must call back: a pipe does so for its first data only.
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
            "{}, {} when more data arrive, {} after MOD",
            in_words(first),
            in_words(second),
            in_words(armed)
        );
        Ok((Verdict::holds([first, second, armed] == [1, 0, 1]), seen))
    }))
}

fn must_be_added() -> Result<Finding> {
    Finding::of_calls(|side| {
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
