// SPDX-License-Identifier: GPL-2.0
//! Tests of the kernel's calls that a way to the module does not pass, and why.

use crate::registry::Test;
use repoll_testkit::side::Way;
use repoll_testkit::skip::skip;

/// The way, a part of the names of the tests, and the reason.
const DIFFERENCES: &[(Way, &str, &str)] = &[
    (
        Way::Preloaded,
        "32bit",
        "32-bit calls of a 64-bit program do not pass through the C library",
    ),
    (Way::Preloaded, "uring.", "repoll-exec refuses rings"),
    (
        Way::Preloaded,
        "quota.",
        "in the full guest other programs of root have watches, too",
    ),
];

/// The tests, of which those that this way is known not to pass are skipped.
pub fn skipped(way: Way, tests: Vec<Test>) -> Vec<Test> {
    let known = |test: Test| {
        let reason = DIFFERENCES
            .iter()
            .find(|(of, name, _)| *of == way && test.name.contains(name))
            .map(|(_, _, reason)| *reason);
        match reason {
            Some(reason) => Test::new(test.name, move || skip(reason)),
            None => test,
        }
    };
    tests.into_iter().map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cases, registry};

    #[test]
    fn each_difference_concerns_a_test() {
        for (way, name, _) in DIFFERENCES {
            let tests = registry::of_the_kernels_calls(*way, cases::all());
            assert!(tests.iter().any(|test| test.name.contains(name)), "{name}");
        }
    }
}
