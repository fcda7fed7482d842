// SPDX-License-Identifier: GPL-2.0
//! The page: that it is whole and needs nothing else. That it can be stepped through takes a browser:
//! `tools/trace/tests/browser`.

use repoll_trace::filter::Filter;
use repoll_trace::stat::Statistics;
use repoll_trace::{dat, report, story};
use serde_json::Value;

const FIXTURE: &[u8] = include_bytes!("fixtures/echo.dat");

fn page(most: usize) -> String {
    let trace = dat::read(FIXTURE).expect("a trace");
    let stories = story::all(&trace.records);
    let statistics = Statistics::of(&trace.records, &stories, &Filter::default());
    report::page(&trace, &stories, &statistics, most).expect("a page")
}

/// What the script reads.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once("id=\"data\">").expect("data");
    let (json, _) = rest.split_once("</script>").expect("the end of the data");
    serde_json::from_str(json).expect("JSON")
}

#[test]
fn it_needs_no_network() {
    let page = page(5000);
    for word in [
        "http:", "https:", "src=", "href=", "@import", "url(", "fetch(", "import(",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    for place in ["/*STYLE*/", "/*DATA*/", "/*SCRIPT*/"] {
        assert!(!page.contains(place), "{place}");
    }
}

#[test]
fn stories_point_to_steps() {
    let data = data(&page(5000));
    let steps = data["steps"].as_array().expect("steps");
    let stories = data["stories"].as_array().expect("stories");
    assert!(stories.len() >= 10 && steps.len() > 100);
    for line in stories
        .iter()
        .flat_map(|story| story["steps"].as_array().expect("lines"))
    {
        let step = &steps[line["at"].as_u64().expect("a place") as usize];
        assert_eq!(step["time"], line["time"]);
        assert_eq!(step["cpu"], line["cpu"]);
    }
    for step in steps {
        if let Some(story) = step.get("story").and_then(Value::as_u64) {
            assert!((story as usize) < stories.len());
        }
    }
}

#[test]
fn what_is_too_much_is_left_out_and_said() {
    let data = data(&page(50));
    assert_eq!(data["steps"].as_array().map(Vec::len), Some(50));
    assert!(data["summary"]
        .as_str()
        .expect("a summary")
        .contains("the first 50 of"));
    let stories = data["stories"].as_array().expect("stories");
    let lines = stories
        .iter()
        .flat_map(|story| story["steps"].as_array().expect("lines"));
    assert!(lines
        .into_iter()
        .all(|line| line["at"].as_u64().is_some_and(|at| at < 50)));
}
