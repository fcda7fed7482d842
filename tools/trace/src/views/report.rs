// SPDX-License-Identifier: GPL-2.0
//! A recording as one HTML file: a picture of the objects that steps through the records, the
//! stories beside it, the statistics below.
//!
//! The folder `report/` has the page's style and script; this file adds the data. The script shows
//! each recording in an element of its own. Another page needs [`STYLE`] in a `style` element, an
//! [`element`] for each [`recording`], and after these [`SCRIPT`] in a `script` element of type
//! `module`.

mod steps;

use crate::ftrace::record::{Record, Trace};
use crate::story::Story;
use crate::views::stat::Statistics;
use anyhow::{bail, Result};
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use steps::Steps;

const PAGE: &str = include_str!("../../report/page.html");

/// The style sheet of the players.
pub const STYLE: &str = include_str!("../../report/style.css");

/// The script that turns each element of class `recording` into a player.
pub const SCRIPT: &str = concat!(
    include_str!("../../report/state.js"),
    include_str!("../../report/words.js"),
    include_str!("../../report/lights.js"),
    include_str!("../../report/objects.js"),
    include_str!("../../report/figure.js"),
    include_str!("../../report/statistics.js"),
    include_str!("../../report/player.js"),
);

#[derive(Serialize)]
struct Data<'a> {
    summary: String,
    steps: Steps,
    stories: Vec<Tale<'a>>,
    statistics: Value,
}

#[derive(Serialize)]
struct Tale<'a> {
    title: String,
    missing: Option<&'static str>,
    steps: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    /// The index of the step among those shown.
    at: usize,
    name: &'static str,
    detail: &'a str,
}

/// The page of one recording. It shows the first `most` steps; the statistics cover all records.
///
/// # Errors
///
/// No recording causes any.
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

/// The HTML element of a player, with its [`recording`].
pub fn element(recording: &str) -> String {
    format!(
        "<div class=\"recording\"><script type=\"application/json\">{recording}</script></div>\n"
    )
}

/// A recording for a player: JSON that is safe inside a `script` element. It has at most `most`
/// steps: repoll's records, the kernel's records that are steps of a story, and the switches from
/// and to threads that wait.
///
/// # Errors
///
/// No recording causes any.
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

    // Stories that end after the last step shown are left out.
    let mut numbers = BTreeMap::new();
    let mut tales = Vec::new();
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
            numbers.insert(number, tales.len());
            tales.push(Tale {
                title: crate::views::render::title(number + 1, story),
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
        stories: tales,
        statistics: counted(statistics)?,
    })?;
    // A process name in the data must not end the script element, or begin a comment.
    Ok(data.replace('<', "\\u003c"))
}

/// The threads that sleep in WAIT, SELECT, POLL or a source at any time.
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

/// The statistics without each item's times, which would be most of the page.
fn counted(statistics: &Statistics) -> Result<Value> {
    let mut counted = serde_json::to_value(statistics)?;
    let instances = counted["instances"].as_object_mut().into_iter();
    let instances = instances.flat_map(|instances| instances.values_mut());
    let items = instances.filter_map(|instance| instance["items"].as_object_mut());
    for item in items.flat_map(|items| items.values_mut()) {
        if let Some(item) = item.as_object_mut() {
            item.remove("times");
        }
    }
    Ok(counted)
}

/// The page, with each placeholder replaced by its part.
fn fill(parts: &[(&str, &str)]) -> Result<String> {
    let mut page = String::new();
    let mut rest = PAGE;
    for (place, part) in parts {
        let Some((before, after)) = rest.split_once(place) else {
            bail!("the page has no placeholder {place}");
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

    #[test]
    fn a_warning_cannot_end_the_script_element() {
        let mut trace = Trace::default();
        trace.warnings.push("</script><script>owned()".to_owned());
        let recording = recording(&trace, &[], &Statistics::default(), 10).expect("a recording");
        assert!(!recording.contains('<'));
        let data: Value = serde_json::from_str(&recording).expect("JSON");
        let summary = data["summary"].as_str().expect("a summary");
        assert!(summary.contains("</script><script>owned()."));
        assert_eq!(element(&recording).matches("</script>").count(), 1);
    }

    #[test]
    fn statistics_are_complete_except_the_times_of_items() {
        let mut statistics = Statistics::default();
        let instance = statistics.instances.entry(1).or_default();
        instance.waits = 3;
        instance.items.entry(7).or_default().polls = 5;
        let counted = counted(&statistics).expect("JSON");
        assert_eq!(counted["instances"]["1"]["waits"], 3);
        assert!(counted["instances"]["1"]["times"].is_array());
        let item = &counted["instances"]["1"]["items"]["7"];
        assert_eq!(item["polls"], 5);
        assert!(item.get("times").is_none());
    }

    #[test]
    fn each_part_of_the_page_has_its_placeholder() {
        assert!(fill(&[("no such place", "")]).is_err());
        for part in ["/*STYLE*/", "<!--RECORDING-->", "/*SCRIPT*/"] {
            assert_eq!(PAGE.matches(part).count(), 1, "{part}");
        }
    }
}
