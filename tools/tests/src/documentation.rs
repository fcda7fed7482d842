// SPDX-License-Identifier: GPL-2.0
//! Checks that each test, file, command and function that a page names exists.

mod names;
mod stops;

use anyhow::{ensure, Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The strings between double backquotes.
fn literals(page: &str) -> impl Iterator<Item = &str> {
    page.split("``").skip(1).step_by(2)
}

/// Whether a name is one that the pattern, with `*` for anything, stands for.
fn stands_for(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((first, rest)) => name.strip_prefix(first).is_some_and(|name| {
            (0..=name.len())
                .filter_map(|at| name.get(at..))
                .any(|end| stands_for(rest, end))
        }),
    }
}

fn files_below(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_below(&path, ending)?);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    Ok(found)
}

#[test]
fn tests_of_the_guest_that_a_page_names_are_there() -> Result<()> {
    let names: BTreeSet<String> = crate::cases::all()
        .into_iter()
        .filter_map(|test| Some(test.name.split_once('/')?.0.to_owned()))
        .collect();
    let themes: BTreeSet<&str> = names
        .iter()
        .filter_map(|name| Some(name.split_once('.')?.0))
        .collect();
    let mut seen = 0;
    for page in files_below(&checkout().join("Documentation"), ".rst")? {
        let text = fs::read_to_string(&page)?;
        for literal in literals(&text) {
            let Some((theme, behaviour)) = literal.split_once('.') else {
                continue;
            };
            let is_name = behaviour
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '*');
            if !themes.contains(theme) || !is_name || ["rs", "rst"].contains(&behaviour) {
                continue;
            }
            seen += 1;
            ensure!(
                names.iter().any(|name| stands_for(literal, name)),
                "{} names a test that is not there: {literal}",
                page.display()
            );
        }
    }
    ensure!(seen > 50, "only {seen} names of tests are found");
    Ok(())
}

#[test]
fn functions_that_the_page_of_the_tests_names_are_there() -> Result<()> {
    let mut sources = String::new();
    for file in files_below(&checkout().join("tools"), ".rs")? {
        sources += &fs::read_to_string(file)?;
    }
    let page = fs::read_to_string(checkout().join("Documentation/reference/testing.rst"))?;
    for literal in literals(&page) {
        let is_name = literal.matches('_').count() >= 2
            && literal
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '*');
        // A program of the kernel's.
        if !is_name || literal == "epoll_wakeup_test" {
            continue;
        }
        let declaration = format!("fn {}", literal.trim_end_matches('*'));
        ensure!(
            sources.contains(&declaration),
            "testing.rst names a function that is not there: {literal}"
        );
    }
    Ok(())
}

#[test]
fn a_star_stands_for_anything() {
    assert!(stands_for("close.*", "close.a"));
    assert!(stands_for("close.last_*_ends", "close.last_close_ends"));
    assert!(!stands_for("close.last_*_ends", "close.last_close_ended"));
    assert!(!stands_for("close", "close.a"));
}
