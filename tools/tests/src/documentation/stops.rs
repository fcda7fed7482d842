// SPDX-License-Identifier: GPL-2.0
//! Checks that each stop of "An event through the code, in twelve stops" exists.

use super::checkout;
use anyhow::{ensure, Context, Result};
use std::collections::BTreeSet;
use std::fs;

/// The stops of the page, as `(FILE, FUNCTION)`: a line is "In ``FILE``, ``FUNCTION()``."
fn stops(page: &str) -> Vec<(&str, &str)> {
    page.lines()
        .filter_map(|line| {
            let (file, function) = line.strip_prefix("In ``")?.split_once("``, ``")?;
            Some((file, function.strip_suffix("()``.")?))
        })
        .collect()
}

#[test]
fn each_stop_of_an_event_is_there() -> Result<()> {
    let page = checkout().join("Documentation/explanation/an-event-through-the-code.rst");
    let page = fs::read_to_string(page)?;
    let stops = stops(&page);
    ensure!(
        stops.len() == 12,
        "{} stops are found, not twelve",
        stops.len()
    );
    for (file, function) in &stops {
        let source = fs::read_to_string(checkout().join(file)).with_context(|| file.to_string())?;
        let declared = ["(", "<"]
            .iter()
            .any(|end| source.contains(&format!("fn {function}{end}")));
        ensure!(declared, "{file} has no function {function}()");
    }
    let files: BTreeSet<_> = stops.iter().map(|(file, _)| file).collect();
    ensure!(
        files.len() <= 6,
        "an event's life reads in {} files",
        files.len()
    );
    Ok(())
}

#[test]
fn a_stop_is_a_file_and_a_function() {
    let page = "In ``rust/a.rs``, ``f()``.\nIn the file ``rust/b.rs``, ``g()``.\n";
    assert_eq!(stops(page), [("rust/a.rs", "f")]);
}
