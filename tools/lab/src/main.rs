// SPDX-License-Identifier: GPL-2.0
//! The lab: what is said of select, poll and epoll, each claim tried on the spot, on the kernel's own calls
//! and on repoll, with a verdict from what was measured.

mod claim;
mod claims;
mod multiplexer;
mod recording;
mod sys;
mod table;
mod threads;

use claim::{Claim, Mechanism};
use clap::Parser;
use repoll_trace::render::Color;
use repoll_trace::{signals, tracefs};
use std::process::ExitCode;
use std::time::Instant;

/// Tries what is said of select, poll and epoll, and says what holds.
///
/// Run it in a guest, as root, with the module loaded.
#[derive(Parser)]
#[command(name = "repoll-lab", version)]
struct Options {
    /// Only claims that hold one of these words, or whose mechanism does; a number picks one.
    words: Vec<String>,
    /// List the claims; try none.
    #[arg(long)]
    list: bool,
    /// Only the verdicts, without what was measured.
    #[arg(long)]
    brief: bool,
    /// A line of the Kernel Test Anything Protocol for each claim: whether its verdict is the usual one.
    #[arg(long, conflicts_with_all = ["brief", "list"])]
    ktap: bool,
    /// When to print in colour.
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

/// A claim that is picked.
struct Picked<'a> {
    number: usize,
    claim: &'a Claim,
}

/// Those of a mechanism's claims that hold one of the words; `number` counts all of them.
fn pick<'a>(mechanism: &'a Mechanism, words: &[String], number: &mut usize) -> Vec<Picked<'a>> {
    let name = mechanism.name.to_lowercase();
    let mut picked = Vec::new();
    for claim in &mechanism.claims {
        *number += 1;
        let text = claim.text.to_lowercase();
        let wanted = |word: &String| {
            let word = word.to_lowercase();
            match word.parse::<usize>() {
                Ok(wanted) => wanted == *number,
                Err(_) => text.contains(&word) || name.contains(&word),
            }
        };
        if words.is_empty() || words.iter().any(wanted) {
            picked.push(Picked {
                number: *number,
                claim,
            });
        }
    }
    picked
}

fn main() -> ExitCode {
    let options = Options::parse();
    signals::on_end(tracefs::remove_all);
    let mechanisms = claims::all();
    let mut table = table::Table::new(options.color.enabled(), options.brief, options.ktap);
    let mut number = 0;
    for mechanism in &mechanisms {
        let picked = pick(mechanism, &options.words, &mut number);
        if picked.is_empty() {
            continue;
        }
        let _ = mechanism.text;
        table.mechanism(mechanism.name);
        for Picked { number, claim } in picked {
            if options.list {
                table.listed(number, claim);
                continue;
            }
            let start = Instant::now();
            let outcome = claim.try_out();
            table.row(number, claim, &outcome, start.elapsed());
        }
    }
    if table.end(options.list) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
