// SPDX-License-Identifier: GPL-2.0
//! Checks the page's data, and that it loads nothing. `tools/trace/tests/browser` steps through it
//! in a browser.

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

/// The JSON data that the script reads.
fn data(page: &str) -> Value {
    let (_, rest) = page
        .split_once("<script type=\"application/json\">")
        .expect("data");
    let (json, _) = rest.split_once("</script>").expect("the end of the data");
    serde_json::from_str(json).expect("JSON")
}

fn rows(data: &Value) -> &Vec<Value> {
    data["steps"]["rows"].as_array().expect("steps")
}

#[test]
fn it_needs_no_network() {
    // The name of the SVG namespace looks like an address, but is not loaded.
    let page = page(5000).replace("\"http://www.w3.org/2000/svg\"", "");
    for word in [
        "http:", "https:", "src=", "href=", "@import", "url(", "fetch(", "import(",
    ] {
        assert!(!page.contains(word), "{word}");
    }
    for place in ["/*STYLE*/", "<!--RECORDING-->", "/*SCRIPT*/"] {
        assert!(!page.contains(place), "{place}");
    }
}

#[test]
fn stories_point_to_steps() {
    let data = data(&page(5000));
    let steps = rows(&data);
    let stories = data["stories"].as_array().expect("stories");
    assert!(stories.len() >= 10 && steps.len() > 100);
    for line in stories
        .iter()
        .flat_map(|story| story["steps"].as_array().expect("lines"))
    {
        assert!((line["at"].as_u64().expect("a place") as usize) < steps.len());
    }
    // A step names the first story that it is a part of.
    let story_of = |step: &Value| step[5].as_u64().map(|story| story as usize);
    let of_stories: Vec<_> = (0..)
        .zip(steps)
        .filter_map(|(at, step)| Some((at, story_of(step)?)))
        .collect();
    assert!(of_stories.len() > 100);
    for (at, story) in of_stories {
        let lines = stories[story]["steps"].as_array().expect("lines");
        assert!(lines.iter().any(|line| line["at"] == at));
    }
}

#[test]
fn steps_have_as_many_values_as_their_kind_has_fields() {
    let data = data(&page(5000));
    let kinds = data["steps"]["kinds"].as_array().expect("kinds");
    let threads = data["steps"]["threads"].as_array().expect("threads");
    let mut callbacks = 0;
    for row in rows(&data) {
        let kind = &kinds[row[0].as_u64().expect("a kind") as usize];
        let fields = kind["fields"].as_array().expect("fields");
        assert_eq!(row.as_array().map(Vec::len), Some(6 + fields.len()));
        assert!((row[4].as_u64().expect("a thread") as usize) < threads.len());
        if kind["event"] == "callback" {
            let key = fields
                .iter()
                .position(|field| field == "key")
                .expect("a key");
            let words = row[6 + key].as_str().expect("bits by their names");
            assert!(words
                .split(' ')
                .all(|word| word.chars().all(|c| c.is_ascii_uppercase())));
            callbacks += 1;
        }
    }
    assert!(callbacks > 10);
}

#[test]
fn steps_beyond_the_limit_are_left_out_and_counted() {
    let data = data(&page(50));
    assert_eq!(rows(&data).len(), 50);
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
