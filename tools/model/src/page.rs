// SPDX-License-Identifier: GPL-2.0

//! Checks that `Documentation/explanation/ordering.rst` agrees with this crate and with the module.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    let page = checkout().join("Documentation/explanation/ordering.rst");
    fs::read_to_string(page).expect("the page")
}

/// The strings between double backquotes.
fn literals(page: &str) -> BTreeSet<&str> {
    page.split("``").skip(1).step_by(2).collect()
}

/// All tests of this crate, as `file::test`, and whether they must fail.
fn tests() -> BTreeSet<(String, bool)> {
    let mut found = BTreeSet::new();
    for file in fs::read_dir(checkout().join("tools/model/src")).expect("the sources") {
        let path = file.expect("an entry").path();
        let (Some(module), Ok(text)) = (path.file_stem(), fs::read_to_string(&path)) else {
            continue;
        };
        for test in text.split("#[test]\n").skip(1) {
            let name = test
                .split("fn ")
                .nth(1)
                .and_then(|rest| rest.split('(').next());
            let name = format!("{}::{}", module.to_string_lossy(), name.expect("a name"));
            found.insert((name, test.starts_with("#[should_panic")));
        }
    }
    found
}

#[test]
fn each_model_is_on_the_page_and_each_that_is_named_exists() {
    let page = page();
    let named = literals(&page);
    let tests = tests();
    let whole = |name: &str| {
        let (module, _) = name.split_once("::").unwrap_or((name, ""));
        module == "page" || named.contains(format!("{module}::*").as_str())
    };
    for (name, _) in &tests {
        assert!(
            whole(name) || named.contains(name.as_str()),
            "not on the page: {name}"
        );
    }
    let models = |name: &&&str| {
        let module = name.split_once("::").map_or("", |(module, _)| module);
        tests
            .iter()
            .any(|(test, _)| test.starts_with(&format!("{module}::")))
    };
    for name in named.iter().filter(models) {
        let exists = name.ends_with("::*") || tests.iter().any(|(test, _)| test == name);
        assert!(exists, "no such model: {name}");
    }
}

/// Each file of models has a model that holds and one that must fail.
#[test]
fn each_pattern_has_a_variant_that_fails() {
    let tests = tests();
    for (name, _) in &tests {
        let (module, _) = name.split_once("::").expect("a module");
        if ["page", "random", "tests"].contains(&module) {
            continue;
        }
        for fails in [false, true] {
            let like = |(name, wanted): &&(String, bool)| {
                *wanted == fails && name.starts_with(&format!("{module}::"))
            };
            assert!(
                tests.iter().any(|test| like(&test)),
                "{module}: must fail: {fails}"
            );
        }
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// The page has the argument for each file that relies on an order, so it must name the file.
#[test]
fn each_file_that_uses_an_order_is_on_the_page() {
    let page = page();
    let named = literals(&page);
    let module = checkout().join("rust");
    let mut files = Vec::new();
    rust_files(&module, &mut files).expect("the module's sources");
    let orders = [
        "Acquire", "Release", "Relaxed", "Full", "smp_mb(", "smp_wmb(",
    ];
    for path in files {
        let text = fs::read_to_string(&path).expect("a source");
        let file = path.strip_prefix(&module).expect("below it");
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let uses = code
            .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '('));
        let uses = uses.filter(|word| orders.iter().any(|order| word.contains(order)));
        // The page names a submodule of `kernel_ext` by the file of its parent module.
        let is_named = [Some(file), file.parent()]
            .into_iter()
            .flatten()
            .any(|path| {
                let file = path.with_extension("rs");
                (path.extension().is_some() || path.starts_with("kernel_ext"))
                    && named.contains(file.to_string_lossy().as_ref())
            });
        assert!(
            uses.count() == 0 || is_named,
            "not on the page: {}",
            file.display()
        );
    }
}
