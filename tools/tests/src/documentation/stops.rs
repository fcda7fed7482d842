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

/// The functions of a source file that rustfmt has formatted, as `Type::function`, or `function`
/// outside of a type.
fn functions(source: &str) -> Vec<String> {
    let mut owner = None;
    let mut found = Vec::new();
    for line in source.lines() {
        if line.starts_with('}') {
            owner = None;
        } else if let Some(name) = owner_that_begins(line) {
            owner = Some(name);
        } else if let Some(name) = declared(line) {
            found.push(owner.map_or(name.to_owned(), |owner| format!("{owner}::{name}")));
        }
    }
    found
}

/// The type or the trait, if the line begins the block of its functions.
fn owner_that_begins(line: &str) -> Option<&str> {
    if line.starts_with(' ') || line.starts_with("//") || line.ends_with('}') {
        return None;
    }
    if let Some((_, rest)) = line.split_once("trait ") {
        return Some(identifier(rest));
    }
    let rest = line.trim_start_matches("unsafe ").strip_prefix("impl")?;
    let rest = past_generics(rest).trim_start();
    let implemented = rest.split_once(" for ").map_or(rest, |(_, owner)| owner);
    Some(identifier(implemented))
}

/// The text after the generic parameters that it begins with, if it does.
fn past_generics(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => (),
        }
        if depth == 0 {
            return text.get(at..).unwrap_or_default().trim_start_matches('>');
        }
    }
    text
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

/// The function that the line declares.
fn declared(line: &str) -> Option<&str> {
    let (before, name) = line.split_once("fn ")?;
    let is_qualifier = |word: &str| {
        word.starts_with("pub") || ["const", "unsafe", "extern", "\"C\""].contains(&word)
    };
    let is_declaration = before.split_whitespace().all(is_qualifier);
    is_declaration.then(|| identifier(name))
}

/// Checks that the file has one function of this name. A method needs the name of its type, so that
/// two functions of one name differ.
fn check_stop(source: &str, file: &str, function: &str) -> Result<()> {
    let count = functions(source).iter().filter(|f| *f == function).count();
    ensure!(count > 0, "{file} has no function {function}()");
    ensure!(count == 1, "{file} has {count} functions {function}()");
    Ok(())
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
        check_stop(&source, file, function)?;
    }
    let files: BTreeSet<_> = stops.iter().map(|(file, _)| file).collect();
    ensure!(
        files.len() <= 6,
        "an event's life reads in {} files",
        files.len()
    );
    let named = page.split("``").filter(|name| name.ends_with(".rs"));
    let further = named.filter(|name| !files.contains(name) && *name != "rust/eventpoll.rs");
    let further: BTreeSet<_> = further.collect();
    ensure!(
        further.is_empty(),
        "the page sends to files that are no stop: {further:?}"
    );
    Ok(())
}

#[test]
fn a_stop_is_a_file_and_a_function() {
    let page = "In ``rust/a.rs``, ``f()``.\nIn the file ``rust/b.rs``, ``g()``.\n";
    assert_eq!(stops(page), [("rust/a.rs", "f")]);
}

#[test]
fn functions_of_one_name_differ_by_their_type() {
    let source =
        "trait T {\n    fn f();\n}\nimpl<'a, X: Y<Z>> T for A<'a, X> {\n    fn f() {}\n}\n\
                  impl T for B {}\npub(crate) fn f() {}\nunsafe impl C {\n    /// The fn g().\n    \
                  unsafe extern \"C\" fn g<T>() {}\n}\nimpl C {\n    fn g() {}\n}\n";
    assert_eq!(functions(source), ["T::f", "A::f", "f", "C::g", "C::g"]);
    assert!(check_stop(source, "a.rs", "A::f").is_ok());
    for missing_or_double in ["g", "B::f", "C::g"] {
        assert!(check_stop(source, "a.rs", missing_or_double).is_err());
    }
}
