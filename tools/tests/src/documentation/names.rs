// SPDX-License-Identifier: GPL-2.0
//! Checks that each file, command and target that a page names exists.

use super::{checkout, files_below, literals, stands_for};
use anyhow::{ensure, Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// The endings of files that a page may name without their folder.
const ENDINGS: [&str; 9] = [
    ".rs", ".h", ".c", ".bash", ".rst", ".js", ".svg", ".png", ".toml",
];

/// The folders at the top of the checkout.
const TOP: [&str; 5] = ["rust", "tools", "samples", "Documentation", "LICENSES"];

/// Folders of the kernel's own tree.
const OF_THE_KERNEL: [&str; 7] = [
    "arch",
    "drivers",
    "fs",
    "include",
    "kernel",
    "rust/kernel",
    "tools/memory-model",
];

/// Targets of the kernel's Makefile.
const KERNEL_TARGETS: [&str; 1] = ["prepare"];

/// The pages, with their names below the checkout.
fn pages() -> Result<Vec<(String, String)>> {
    let mut files = files_below(&checkout().join("Documentation"), ".rst")?;
    files.push(checkout().join("README.md"));
    let page = |path: PathBuf| {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok((path.display().to_string(), text))
    };
    files.into_iter().map(page).collect()
}

/// All files of the checkout that a page may name, by their paths below it.
fn tree() -> Result<BTreeSet<String>> {
    let root = checkout();
    let mut found = BTreeSet::from(["Makefile".to_owned(), "Kconfig".to_owned()]);
    for folder in TOP {
        for file in files_below(&root.join(folder), "")? {
            let path = file.strip_prefix(&root).context("below the checkout")?;
            let path = path.to_str().context("a name in UTF-8")?;
            found.insert(path.to_owned());
            // Its folders too.
            let slashes = path.match_indices('/');
            found.extend(slashes.map(|(at, _)| path.get(..at).unwrap_or_default().to_owned()));
        }
    }
    Ok(found)
}

/// Whether a string is the name of a file of this tree.
fn is_path(name: &str) -> bool {
    let characters = |c: char| c.is_ascii_alphanumeric() || "_./*-".contains(c);
    let first = name.split('/').next().unwrap_or_default();
    !name.starts_with(['.', '/', '*'])
        && name.chars().all(characters)
        && !OF_THE_KERNEL
            .iter()
            .any(|folder| stands_for(folder, name) || stands_for(&format!("{folder}/*"), name))
        && (TOP.contains(&first) && name.contains('/')
            || ENDINGS.iter().any(|ending| name.ends_with(ending)))
}

/// Whether `name` is in the tree: by its path below the checkout, `rust` or `tools`. A name without
/// a folder may be anywhere.
fn exists(name: &str, tree: &BTreeSet<String>) -> bool {
    let name = name.trim_end_matches('/');
    let at = |path: &str| tree.contains(path) || tree.iter().any(|known| stands_for(path, known));
    at(name)
        || at(&format!("rust/{name}"))
        || at(&format!("tools/{name}"))
        || !name.contains('/') && at(&format!("*/{name}"))
}

/// The names of files in a page: literals, and all words that begin as a path of the tree does.
fn paths(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| c.is_whitespace() || "`()<>\"'|,:;=".contains(c));
    let words = words.map(|word| word.trim_end_matches(['.', '?']));
    let words = words.filter(|word| TOP.iter().any(|top| word.starts_with(&format!("{top}/"))));
    literals(text)
        .chain(words)
        .filter(|name| is_path(name))
        .collect()
}

#[test]
fn files_that_a_page_names_are_there() -> Result<()> {
    let tree = tree()?;
    let mut seen = 0;
    let mut missing = Vec::new();
    for (page, text) in pages()? {
        for name in paths(&text) {
            seen += 1;
            if !exists(name, &tree) {
                missing.push(format!("{page} names a file that is not there: {name}"));
            }
        }
    }
    ensure!(missing.is_empty(), missing.join("\n"));
    ensure!(seen > 100, "only {seen} names of files are found");
    Ok(())
}

/// The lines of literal blocks: below a line that ends with `::`, or between fences.
fn block_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    let mut fenced = false;
    text.lines().filter(move |line| {
        if line.starts_with("```") {
            fenced = !fenced;
            return false;
        }
        inside &= line.is_empty() || line.starts_with(' ');
        let is_line = inside || fenced;
        inside |= line.ends_with("::") && !line.trim_start().starts_with("..");
        is_line
    })
}

/// The target of `make` in a command.
fn target(command: &str) -> Option<&str> {
    let mut words = command
        .split_whitespace()
        .skip_while(|word| word.contains('='));
    let is_target = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    match words.next() {
        Some("make") => words.next().filter(is_target),
        _ => None,
    }
}

#[test]
fn targets_that_a_page_names_are_there() -> Result<()> {
    let makefile = fs::read_to_string(checkout().join("Makefile"))?;
    let mut seen = 0;
    let mut missing = Vec::new();
    for (page, text) in pages()? {
        let inline = text.split('`').skip(1).step_by(2);
        let commands = literals(&text).chain(inline).chain(block_lines(&text));
        for target in commands.filter_map(target) {
            seen += 1;
            let known = makefile
                .lines()
                .any(|line| line.starts_with(&format!("{target}:")));
            if !known && !KERNEL_TARGETS.contains(&target) {
                missing.push(format!(
                    "{page} names a target that is not there: make {target}"
                ));
            }
        }
    }
    ensure!(missing.is_empty(), missing.join("\n"));
    ensure!(seen > 20, "only {seen} targets are found");
    Ok(())
}

#[test]
fn a_name_is_looked_up_where_it_may_be() {
    let tree = BTreeSet::from([
        "rust/watch/a.rs".to_owned(),
        "tools/lab/tests/browser".to_owned(),
    ]);
    for name in [
        "rust/watch/a.rs",
        "watch/a.rs",
        "a.rs",
        "tools/*/tests/browser",
    ] {
        assert!(is_path(name) && exists(name, &tree), "{name}");
    }
    for name in ["rust/watch/b.rs", "b.rs", "watch/b.rs", "rust/a.rs"] {
        assert!(is_path(name) && !exists(name, &tree), "{name}");
    }
    assert!(!is_path("fs/eventpoll.c") && !is_path("/dev/repoll") && !is_path("rust"));
}

#[test]
fn a_command_is_found_where_it_may_be() {
    let page =
        "Run it::\n\n  ARCH=arm64 make run\n\n* These\n  make files ready.\n```\nmake test\n```\n";
    let found: Vec<_> = block_lines(page).filter_map(target).collect();
    assert_eq!(found, ["run", "test"]);
}
