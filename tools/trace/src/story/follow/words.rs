// SPDX-License-Identifier: GPL-2.0
//! Phrases of the steps' descriptions.

/// A count with its noun, as in "2 bytes".
pub(super) fn plural(count: i64, noun: &str) -> String {
    format!("{count} {noun}{}", ending(count))
}

/// A remark on further events that one poll covers; empty if there are none.
pub(super) fn more(count: i64, noun: &str) -> String {
    match count {
        0 => String::new(),
        count => format!(" (and {count} more {noun}{})", ending(count)),
    }
}

fn ending(count: i64) -> &'static str {
    match count {
        1 => "",
        _ => "s",
    }
}
