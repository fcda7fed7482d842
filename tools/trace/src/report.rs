// SPDX-License-Identifier: GPL-2.0
//! A recording as one HTML file that needs nothing else: the objects as a picture that steps forward and
//! back with the records, the stories beside it, the statistics below.
//!
//! The page is in `report/`: its style, and the script that draws. Here it gets its data.

use crate::record::{Record, Trace};
use crate::stat::{Statistics, Times};
use crate::story::{event_names, Story};
use anyhow::{bail, Result};
use serde::Serialize;
use std::collections::BTreeMap;

const PAGE: &str = include_str!("../report/page.html");
const STYLE: &str = include_str!("../report/style.css");
const SCRIPT: &str = include_str!("../report/script.js");

#[derive(Serialize)]
struct Data<'a> {
    summary: String,
    steps: Vec<Step<'a>>,
    stories: Vec<Told<'a>>,
    statistics: Counted<'a>,
}

/// A record.
#[derive(Serialize)]
struct Step<'a> {
    event: &'a str,
    text: String,
    /// Nanoseconds since the first one that is shown.
    time: u64,
    cpu: u32,
    context: String,
    comm: &'a str,
    pid: i32,
    /// The first story that it is a step of.
    #[serde(skip_serializing_if = "Option::is_none")]
    story: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ep: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fd: Option<i64>,
    /// A number in hexadecimal: it may be too large for JavaScript.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<i64>,
    /// What is wanted, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(rename = "isReady", skip_serializing_if = "Option::is_none")]
    is_ready: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_pid: Option<i64>,
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
    time: u64,
    cpu: u32,
    context: String,
    name: &'static str,
    detail: &'a str,
}

#[derive(Serialize)]
struct Counted<'a> {
    instances: &'a BTreeMap<i64, crate::stat::Instance>,
    times: Vec<Histogram>,
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

/// The page. Of the records it shows no more than `most`, the first ones; the statistics are of all.
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
    let mut part_of = BTreeMap::new();
    for (number, story) in stories.iter().enumerate() {
        for step in &story.steps {
            part_of.entry(step.at).or_insert(number);
        }
    }
    // Repoll's own records, and those of the kernel's that are steps of a story.
    let all = trace.records.iter().enumerate();
    let mut shown = all
        .filter(|(at, record)| record.event().starts_with("repoll_") || part_of.contains_key(at));
    let first = shown.by_ref().take(most).collect::<Vec<_>>();
    let more = shown.count();
    let places: BTreeMap<_, _> = first
        .iter()
        .enumerate()
        .map(|(place, (at, _))| (*at, place))
        .collect();
    let start = first.first().map_or(0, |(_, record)| record.time);

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
                    time: step.time - start,
                    cpu: step.cpu,
                    context: step.context.to_string(),
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
    let steps: Vec<_> = first
        .iter()
        .map(|(at, record)| {
            let story = part_of
                .get(at)
                .and_then(|number| numbers.get(number))
                .copied();
            step(record, start, story)
        })
        .collect();
    let mut summary = format!(
        "{} records, {} events followed.",
        trace.records.len(),
        stories.len()
    );
    if more > 0 {
        summary += &format!(
            " The picture shows the first {} of {} steps.",
            steps.len(),
            steps.len() + more
        );
    }
    if trace.lost > 0 {
        summary += &format!(" {} records were lost: the buffers were full.", trace.lost);
    }
    for warning in &trace.warnings {
        summary += &format!(" {warning}.");
    }
    let times = statistics.times.iter().map(Histogram::of).collect();
    let statistics = Counted {
        instances: &statistics.instances,
        times,
    };
    let data = serde_json::to_string(&Data {
        summary,
        steps,
        stories: told,
        statistics,
    })?;
    // So that no name of a process ends the element, or begins a comment, that the data are in.
    let data = data.replace('<', "\\u003c");
    fill(&[
        ("/*STYLE*/", STYLE),
        ("/*DATA*/", &data),
        ("/*SCRIPT*/", SCRIPT),
    ])
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

fn step(record: &Record, start: u64, story: Option<usize>) -> Step<'_> {
    let event = record.event();
    let own = event.strip_prefix("repoll_");
    let number = |name| own.and_then(|_| record.number(name));
    let bits = |name| record.number(name).unwrap_or(0) as u32;
    let fields = record
        .names()
        .filter(|name| !matches!(*name, "track_event_type" | "slice_name" | "file"));
    let text = fields.map(|name| match name {
        "events" | "ready" | "key"
            if own.is_some() && event != "repoll_scan_end" && event != "repoll_select_pass" =>
        {
            format!("{name} {}", event_names(bits(name)))
        }
        name => format!("{name} {}", record.show(name)),
    });
    Step {
        event: own.unwrap_or(event),
        text: text.collect::<Vec<_>>().join(", "),
        time: record.time - start,
        cpu: record.cpu,
        context: record.context.to_string(),
        comm: &record.comm,
        pid: record.pid,
        story,
        ep: number("ep"),
        item: number("item"),
        fd: number("fd"),
        file: number("file").map(|file| format!("{file:x}")),
        target: number("target").filter(|target| *target != 0),
        words: matches!(own, Some("add" | "modify")).then(|| event_names(bits("events"))),
        reason: own.and_then(|_| record.field("reason")),
        by: own.and_then(|_| record.field("by")),
        is_ready: (own == Some("poll")).then(|| bits("ready") & bits("events") != 0),
        target_pid: record
            .is("sched_waking")
            .then(|| record.number("pid"))
            .flatten(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_trace_makes_a_page() {
        let page = page(&Trace::default(), &[], &Statistics::default(), 10).expect("a page");
        assert!(page.contains("\"steps\":[]"));
        assert!(!page.contains("/*DATA*/"));
    }
}
