// SPDX-License-Identifier: GPL-2.0
//! A recording as one HTML file that needs nothing else: the objects as a picture that steps forward and
//! back with the records, the stories beside it, the statistics below.
//!
//! The page is in `report/`: its style, and the script, whose `player` shows one recording in one element.
//! Here it gets its data. A page of one's own has [`STYLE`] in a `style` element, an [`element`] for each
//! [`recording`] wherever it likes, and, behind them, [`SCRIPT`] in a `script` element of the type `module`.

mod steps;

use crate::record::{Record, Trace};
use crate::stat::{Statistics, Times};
use crate::story::Story;
use anyhow::{bail, Result};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use steps::Steps;

const PAGE: &str = include_str!("../report/page.html");

/// What players look like.
pub const STYLE: &str = include_str!("../report/style.css");

/// The players: each element of the class `recording` becomes one.
pub const SCRIPT: &str = concat!(
    include_str!("../report/state.js"),
    include_str!("../report/words.js"),
    include_str!("../report/lights.js"),
    include_str!("../report/objects.js"),
    include_str!("../report/figure.js"),
    include_str!("../report/statistics.js"),
    include_str!("../report/player.js"),
);

#[derive(Serialize)]
struct Data<'a> {
    summary: String,
    steps: Steps,
    stories: Vec<Told<'a>>,
    statistics: Value,
}

#[derive(Serialize)]
struct Told<'a> {
    title: String,
    missing: Option<&'static str>,
    steps: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    /// Its place among the steps that are shown.
    at: usize,
    name: &'static str,
    detail: &'a str,
}

#[derive(Serialize)]
struct Histogram {
    name: &'static str,
    count: usize,
    median: u64,
    p99: u64,
    most: u64,
    buckets: Vec<(u64, usize)>,
}

impl Histogram {
    fn of(times: &Times) -> Self {
        Self {
            name: times.name,
            count: times.sorted.len(),
            median: times.percentile(50),
            p99: times.percentile(99),
            most: times.percentile(100),
            buckets: times.buckets(),
        }
    }
}

/// The page of one recording. Of the steps it shows no more than `most`, the first ones; the statistics
/// are of all.
///
/// # Errors
///
/// None that a recording can cause.
pub fn page(
    trace: &Trace,
    stories: &[Story],
    statistics: &Statistics,
    most: usize,
) -> Result<String> {
    fill(&[
        ("/*STYLE*/", STYLE),
        (
            "<!--RECORDING-->",
            &element(&recording(trace, stories, statistics, most)?),
        ),
        ("/*SCRIPT*/", SCRIPT),
    ])
}

/// The HTML element in which the script shows a [`recording`].
pub fn element(recording: &str) -> String {
    format!(
        "<div class=\"recording\"><script type=\"application/json\">{recording}</script></div>\n"
    )
}

/// A recording for a player: JSON that may stand in a `script` element. `most` is how many steps it
/// has at the most: records of repoll's, those of the kernel's that are steps of a story, and the
/// switches from and to threads that wait.
///
/// # Errors
///
/// None that a recording can cause.
pub fn recording(
    trace: &Trace,
    stories: &[Story],
    statistics: &Statistics,
    most: usize,
) -> Result<String> {
    let mut part_of = BTreeMap::new();
    for (number, story) in stories.iter().enumerate() {
        for step in &story.steps {
            part_of.entry(step.at).or_insert(number);
        }
    }
    let waiting = waiting(&trace.records);
    let is_shown = |at: &usize, record: &Record| {
        record.event().starts_with("repoll_")
            || part_of.contains_key(at)
            || record.is("sched_switch")
                && ["prev_pid", "next_pid"]
                    .iter()
                    .any(|pid| record.number(pid).is_some_and(|pid| waiting.contains(&pid)))
    };
    let all = trace.records.iter().enumerate();
    let mut shown = all.filter(|(at, record)| is_shown(at, record));
    let first = shown.by_ref().take(most).collect::<Vec<_>>();
    let more = shown.count();
    let places: BTreeMap<_, _> = first
        .iter()
        .enumerate()
        .map(|(place, (at, _))| (*at, place))
        .collect();

    // Stories that end after the last record that is shown are not told.
    let mut numbers = BTreeMap::new();
    let mut told = Vec::new();
    for (number, story) in stories.iter().enumerate() {
        let lines: Option<Vec<_>> = story
            .steps
            .iter()
            .map(|step| {
                Some(Line {
                    at: *places.get(&step.at)?,
                    name: step.name,
                    detail: &step.detail,
                })
            })
            .collect();
        if let Some(steps) = lines {
            numbers.insert(number, told.len());
            told.push(Told {
                title: crate::render::title(number + 1, story),
                missing: story.missing,
                steps,
            });
        }
    }
    let start = first.first().map_or(0, |(_, record)| record.time);
    let mut steps = Steps::default();
    for (at, record) in &first {
        let story = part_of
            .get(at)
            .and_then(|number| numbers.get(number))
            .copied();
        steps.push(record, start, story);
    }
    let data = serde_json::to_string(&Data {
        summary: summary(trace, stories.len(), steps.len(), more),
        steps,
        stories: told,
        statistics: counted(statistics)?,
    })?;
    // So that no name of a process ends the element, or begins a comment, that the data are in.
    Ok(data.replace('<', "\\u003c"))
}

/// The threads that wait for something, at some time.
fn waiting(records: &[Record]) -> HashSet<i64> {
    let waits = |record: &&Record| {
        [
            "repoll_wait_sleep",
            "repoll_select_sleep",
            "repoll_source_sleep",
        ]
        .contains(&record.event())
    };
    let waiting = records.iter().filter(waits);
    waiting.map(|record| record.pid.into()).collect()
}

fn summary(trace: &Trace, stories: usize, shown: usize, more: usize) -> String {
    let mut summary = format!(
        "{} records, {stories} events followed.",
        trace.records.len()
    );
    if more > 0 {
        summary += &format!(
            " The picture shows the first {shown} of {} steps.",
            shown + more
        );
    }
    if trace.lost > 0 {
        summary += &format!(" {} records were lost: the buffers were full.", trace.lost);
    }
    for warning in &trace.warnings {
        summary += &format!(" {warning}.");
    }
    summary
}

/// All statistics that there are; of the times not each one, but how they are spread.
fn counted(statistics: &Statistics) -> Result<Value> {
    let mut counted = serde_json::to_value(statistics)?;
    let times: Vec<_> = statistics.times.iter().map(Histogram::of).collect();
    counted["times"] = serde_json::to_value(times)?;
    Ok(counted)
}

/// The page with its parts in their places.
fn fill(parts: &[(&str, &str)]) -> Result<String> {
    let mut page = String::new();
    let mut rest = PAGE;
    for (place, part) in parts {
        let Some((before, after)) = rest.split_once(place) else {
            bail!("the page has no place for {place}");
        };
        page += before;
        page += part;
        rest = after;
    }
    Ok(page + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_trace_makes_a_page() {
        let page = page(&Trace::default(), &[], &Statistics::default(), 10).expect("a page");
        assert!(page.contains("\"rows\":[]"));
        assert!(!page.contains("<!--RECORDING-->"));
    }
}
