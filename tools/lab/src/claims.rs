// SPDX-License-Identifier: GPL-2.0
//! The mechanisms and their claims, one file for each theme.

mod asynchronous;
mod blocking;
mod callback;
mod create;
mod ctl;
mod herd;
mod nesting;
mod poll;
mod receive;
mod scanning;
mod select;
mod selector;
mod signals;
mod triggers;
mod wait;

use crate::claim::Mechanism;

/// All mechanisms, in the order in which a reader learns them.
pub fn all() -> Vec<Mechanism> {
    vec![
        receive::mechanism(),
        blocking::mechanism(),
        blocking::without_blocking(),
        signals::mechanism(),
        asynchronous::mechanism(),
        select::mechanism(),
        poll::mechanism(),
        create::mechanism(),
        ctl::mechanism(),
        ctl::pollable_files(),
        callback::mechanism(),
        wait::mechanism(),
        triggers::mechanism(),
        triggers::oneshot(),
        nesting::mechanism(),
        herd::mechanism(),
        selector::mechanism(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// The files of repoll in the text of a source, with the functions after each.
    fn places(source: &str) -> Vec<(&str, Vec<&str>)> {
        let of_repoll = source
            .split("; ")
            .filter(|place| place.starts_with("rust/"));
        of_repoll
            .map(|place| {
                let mut words = place.split(", ");
                let file = words.next().unwrap_or_default();
                let functions = words.filter_map(|word| word.strip_suffix("()"));
                (file, functions.collect())
            })
            .collect()
    }

    #[test]
    fn sources_of_repoll_exist() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let claims = all().into_iter().flat_map(|mechanism| mechanism.claims);
        let mut count = 0;
        for claim in claims {
            for (file, functions) in places(claim.source) {
                let text = fs::read_to_string(checkout.join(file)).unwrap_or_default();
                assert!(
                    !text.is_empty(),
                    "\"{}\": {file} does not exist",
                    claim.text
                );
                for name in functions {
                    let found = [format!("fn {name}("), format!("fn {name}<")];
                    let found = found.iter().any(|head| text.contains(head));
                    assert!(found, "\"{}\": {file} has no {name}()", claim.text);
                }
                count += 1;
            }
        }
        assert!(count > 30, "only {count} places");
    }

    #[test]
    fn places_have_files_and_functions() {
        let source = "fs/eventpoll.c:12, ep_poll(); rust/a.rs; rust/b.rs, one(), two()";
        let expected = [("rust/a.rs", vec![]), ("rust/b.rs", vec!["one", "two"])];
        assert_eq!(places(source), expected);
    }
}
