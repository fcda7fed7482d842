// SPDX-License-Identifier: GPL-2.0
//! The timeline, against what the format's description asks for ("Trace Event Format"), and more: no end is
//! without its beginning, what overlaps is nested, and arrows lead from slice to slice, not back in time.

use crate::ftrace::dat;
use crate::ftrace::record::{Record, Trace};
use crate::ftrace::script::records;
use crate::story;
use crate::views::export;
use serde_json::Value;
use std::collections::HashMap;

const ECHO: &[u8] = include_bytes!("../../../tests/fixtures/echo.dat");

fn exported(trace: &Trace) -> Value {
    let stories = story::all(&trace.records);
    let mut json = Vec::new();
    export::chrome(trace, &stories, &mut json).expect("nothing can fail here");
    serde_json::from_slice(&json).expect("JSON")
}

#[derive(Debug, Default)]
struct Found {
    slices: usize,
    arrows: usize,
    instants: usize,
    unfinished: usize,
    /// What begins, ends, and happens, in this order.
    phases: String,
}

/// Checks every rule.
fn validate(timeline: &Value) -> Found {
    let unit = timeline["displayTimeUnit"].as_str();
    assert!(matches!(unit, Some("ms" | "ns")), "{unit:?}");
    assert!(timeline["otherData"].is_object());
    let mut found = Found::default();
    let mut open: HashMap<(u64, i64), Vec<&str>> = HashMap::new();
    let mut last: HashMap<(u64, i64), f64> = HashMap::new();
    let mut arrows: HashMap<u64, (f64, bool)> = HashMap::new();
    for event in timeline["traceEvents"].as_array().expect("events") {
        let track = (
            event["pid"].as_u64().expect("a number"),
            event["tid"].as_i64().expect("a number"),
        );
        assert!(track.0 > 0 && track.1 > 0, "0 is nobody: {event}");
        let time = event["ts"].as_f64().expect("a time");
        let name = event["name"].as_str();
        let phase = event["ph"].as_str().expect("a phase");
        if phase != "M" {
            let last = last.insert(track, time).unwrap_or(0.0);
            assert!(last <= time, "back in time: {event}");
        }
        let open = open.entry(track).or_default();
        if matches!(phase, "B" | "E" | "i") {
            found.phases += phase;
        }
        match phase {
            "M" => {
                assert!(
                    matches!(name, Some("process_name" | "thread_name")),
                    "{event}"
                );
                assert!(event["args"]["name"].is_string(), "{event}");
            }
            "B" => {
                assert!(name.is_some_and(|name| !name.is_empty()), "{event}");
                open.push(event["cat"].as_str().expect("a category"));
            }
            "E" => {
                let begun = open.pop();
                assert!(
                    begun.is_some() && begun == event["cat"].as_str(),
                    "{begun:?} {event}"
                );
                found.slices += 1;
            }
            "i" => {
                assert!(name.is_some(), "{event}");
                assert!(
                    matches!(event["s"].as_str(), Some("g" | "p" | "t")),
                    "{event}"
                );
                found.instants += 1;
            }
            "s" | "f" => {
                let id = event["id"].as_u64().expect("a number");
                assert!(!open.is_empty(), "an arrow to nowhere: {event}");
                assert!(name.is_some() && event["bp"] == "e", "{event}");
                if phase == "s" {
                    assert!(arrows.insert(id, (time, false)).is_none(), "twice: {event}");
                } else {
                    let (begun, ended) = arrows.get_mut(&id).expect("a beginning");
                    assert!(*begun <= time && !*ended, "{event}");
                    *ended = true;
                    found.arrows += 1;
                }
            }
            _ => panic!("no such phase: {event}"),
        }
    }
    assert!(arrows.values().all(|(_, ended)| *ended), "{arrows:?}");
    found.unfinished = open.values().map(Vec::len).sum();
    found
}

#[test]
fn a_timeline_follows_the_rules() {
    let trace = dat::read(ECHO).expect("a trace");
    let stories = story::all(&trace.records);
    let told = stories.iter().filter(|story| {
        let mut steps = story.steps.iter();
        steps.any(|step| step.name == "callback") && steps.any(|step| step.name == "delivery")
    });
    let found = validate(&exported(&trace));
    assert_eq!(found.arrows, told.count());
    assert!(found.slices > 100 && found.instants > 100, "{found:?}");
}

#[test]
fn what_is_missing_breaks_no_rule() {
    // Every third record is lost, then all of one kind.
    for round in 0..3 {
        let mut trace = dat::read(ECHO).expect("a trace");
        let mut number = 0;
        trace.records.retain(|_| {
            number += 1;
            number % 3 != round
        });
        validate(&exported(&trace));
    }
    let trace = dat::read(ECHO).expect("a trace");
    let mut names: Vec<_> = trace.records.iter().map(Record::event).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let mut rest = dat::read(ECHO).expect("a trace");
        rest.records.retain(|record| record.event() != name);
        validate(&exported(&rest));
    }
}

#[test]
fn what_was_lost_is_told() {
    let mut trace = dat::read(ECHO).expect("a trace");
    trace.lost = 7;
    trace.warnings.push("the file is cut off".to_owned());
    let timeline = exported(&trace);
    assert_eq!(timeline["otherData"]["lost"], 7);
    assert_eq!(timeline["otherData"]["warnings"][0], "the file is cut off");
    let global = |event: &&Value| event["s"] == "g" && event["name"] == "7 records were lost";
    let events = timeline["traceEvents"].as_array().expect("events");
    assert_eq!(events.iter().filter(global).count(), 1);
    validate(&timeline);
    validate(&exported(&Trace::default()));
}

/// The timeline of a trace that is written as text.
fn drawn(text: &str) -> Found {
    let trace = Trace {
        records: records(text),
        ..Trace::default()
    };
    validate(&exported(&trace))
}

#[test]
fn calls_of_select_and_their_sleeps_are_slices() {
    // The entry is called in a softirq, and is no slice of its own, but for the arrow.
    let found = drawn(
        "1 task 20 repoll_select_setup task=20 call=poll nfds=1
         1 task 20 repoll_select_poll task=20 fd=4 events=25 ready=0
         1 task 20 repoll_select_pass task=20 pass=1 polled=1 entries=1 ready=0
         1 task 20 repoll_select_sleep task=20 sleep=1 wakeups=0
         0 soft 1 repoll_select_wake task=20 fd=4 key=1 matched=1
         1 task 20 repoll_select_poll task=20 fd=4 events=25 ready=1
         1 task 20 repoll_select_pass task=20 pass=2 polled=1 entries=1 ready=1
         1 task 20 repoll_select_result task=20 call=poll ret=1",
    );
    // The call, the sleep, and the two ends of the arrow.
    assert_eq!(
        (found.slices, found.arrows, found.unfinished),
        (4, 1, 0),
        "{found:?}"
    );
    // The sleep ends where the next file is asked, not with the call.
    assert_eq!((found.instants, &*found.phases), (3, "BiiBBEEiBEE"));
}

#[test]
fn sleeps_in_a_read_are_slices() {
    let found = drawn(
        "0 task 10 repoll_source_sleep source=5 writer=reader
         0 task 10 repoll_source_sleep source=5 writer=reader
         1 hard 0 repoll_source_arrive source=5 kind=timer message=1 length=8 queued=1
         1 hard 0 repoll_source_wake source=5 events=65 sleepers=1 pollers=0 signal=0
         0 task 10 repoll_source_take source=5 queued=0 message=1
         0 task 10 repoll_source_read source=5 nonblock=0 ret=8",
    );
    assert_eq!(
        (found.slices, found.arrows, found.unfinished),
        (4, 1, 0),
        "{found:?}"
    );
}
