// SPDX-License-Identifier: GPL-2.0
//! Recordings of experiments.

use crate::claim::Verdict;
use crate::side::Side;
use crate::threads::start;
use anyhow::{bail, Result};
use repoll_trace::record::Trace;
use repoll_trace::recorder;
use repoll_trace::tracefs::Session;
use std::thread::scope;

/// Records all events that stories are made of.
pub fn record_story<T: Send>(play: impl FnOnce() -> Result<T> + Send) -> Result<(T, Trace)> {
    let session = recorder::story()?;
    end(session, play)
}

/// The experiment, recorded.
pub fn recorded(
    mut try_on: impl FnMut(Side) -> Result<(Verdict, String)> + Send,
) -> impl FnMut(Side) -> Result<(Verdict, String, Trace)> {
    move |side| {
        let ((verdict, seen), trace) = record_story(|| try_on(side))?;
        Ok((verdict, seen, trace))
    }
}

/// Records only these events of repoll, named without their prefix.
pub fn record_events<T: Send>(
    events: &[&str],
    play: impl FnOnce() -> Result<T> + Send,
) -> Result<(T, Trace)> {
    let mut session = Session::new()?;
    for event in events {
        if !session.enable("repoll", &format!("repoll_{event}"))? {
            bail!("repoll has no tracepoint {event}: is the module loaded?");
        }
    }
    session.start()?;
    end(session, play)
}

/// Runs `play` in a thread of its own, since the recorder's own calls are no part of a story.
fn end<T: Send>(
    mut session: Session,
    play: impl FnOnce() -> Result<T> + Send,
) -> Result<(T, Trace)> {
    let result = scope(|threads| start(threads, "program", play)?.end());
    let trace = session.stop()?;
    if trace.lost > 0 {
        bail!("{} records were lost", trace.lost);
    }
    Ok((result?, trace))
}

/// Counts the records of an event of repoll that have this value in a field.
pub fn count(trace: &Trace, event: &str, field: &str, value: i64) -> usize {
    let name = format!("repoll_{event}");
    let records = trace.records.iter();
    records
        .filter(|record| record.is(&name) && record.number(field) == Some(value))
        .count()
}

/// Counts the records of an event of repoll.
pub fn times(trace: &Trace, event: &str) -> usize {
    let name = format!("repoll_{event}");
    trace
        .records
        .iter()
        .filter(|record| record.is(&name))
        .count()
}
