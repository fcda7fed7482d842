// SPDX-License-Identifier: GPL-2.0
//! When an event is reported.

use crate::multiplexer::both;
use crate::sys::{pipe, read, write};
use crate::{holds_if, Claim, Finding, Verdict};
use anyhow::Result;
use repoll::Events;

pub fn claims() -> Vec<Claim> {
    vec![
        Claim {
            text: "100 bytes come, 50 are read: level-triggered reports again",
            expected: Verdict::Holds,
            experiment: level_reports_again,
        },
        Claim {
            text: "100 bytes come, 50 are read: edge-triggered stays silent",
            expected: Verdict::Holds,
            experiment: edge_stays_silent,
        },
        Claim {
            text: "edge-triggered also reports when the data get less",
            expected: Verdict::Fails,
            experiment: less_data_are_no_edge,
        },
        Claim {
            text: "after ONESHOT has reported, the descriptor must be added again",
            expected: Verdict::Fails,
            experiment: oneshot_wants_mod,
        },
    ]
}

/// How many events each has, before and after half of the data are read.
fn half_read(events: Events) -> Result<Vec<(&'static str, usize, usize)>> {
    let mut counts = Vec::new();
    for (name, m) in both()? {
        let (reader, writer) = pipe()?;
        m.add(&reader, events)?;
        write(&writer, &[0; 100])?;
        let before = m.wait(0)?;
        read(&reader, &mut [0; 50])?;
        counts.push((name, before, m.wait(0)?));
    }
    Ok(counts)
}

fn in_words(counts: &[(&str, usize, usize)]) -> String {
    let each: Vec<_> = counts
        .iter()
        .map(|(name, before, after)| {
            format!("{name}: {before} event when they come, {after} after 50 are read")
        })
        .collect();
    each.join("; ")
}

fn level_reports_again() -> Result<Finding> {
    let counts = half_read(Events::IN)?;
    holds_if(
        counts
            .iter()
            .all(|(_, before, after)| (*before, *after) == (1, 1)),
        in_words(&counts),
    )
}

fn edge_stays_silent() -> Result<Finding> {
    let counts = half_read(Events::IN | Events::ET)?;
    holds_if(
        counts
            .iter()
            .all(|(_, before, after)| (*before, *after) == (1, 0)),
        in_words(&counts),
    )
}

fn less_data_are_no_edge() -> Result<Finding> {
    let counts = half_read(Events::IN | Events::ET)?;
    let reported = counts.iter().any(|(_, _, after)| *after > 0);
    holds_if(
        reported,
        format!(
            "{}; what a read wakes is writers: it makes room",
            in_words(&counts)
        ),
    )
}

fn oneshot_wants_mod() -> Result<Finding> {
    let mut evidence = Vec::new();
    let mut must_add = false;
    for (name, m) in both()? {
        let (reader, writer) = pipe()?;
        let events = Events::IN | Events::ONESHOT;
        m.add(&reader, events)?;
        write(&writer, b"x")?;
        let counts = [m.wait(0)?, m.wait(0)?];
        let again = m
            .add(&reader, events)
            .err()
            .and_then(|error| error.raw_os_error());
        m.modify(&reader, events)?;
        let armed = m.wait(0)?;
        must_add |= again != Some(libc::EEXIST) || armed != 1 || counts != [1, 0];
        evidence.push(format!(
            "{name}: {} event, then {}; ADD gives EEXIST: {}; after MOD {armed} event",
            counts[0],
            counts[1],
            again == Some(libc::EEXIST)
        ));
    }
    holds_if(
        must_add,
        format!("{}. It is MOD that arms it again", evidence.join("; ")),
    )
}
