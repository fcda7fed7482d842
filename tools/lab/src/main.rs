// SPDX-License-Identifier: GPL-2.0
//! The lab: what is said of select, poll and epoll, each claim tried on the spot, on the kernel's own calls
//! and on repoll, with a verdict from what was measured.
#![deny(unsafe_code)]

mod claim;
mod claims;
mod multiplexer;
mod page;
mod recording;
#[expect(unsafe_code, reason = "system calls that std lacks")]
mod sys;
mod table;
mod threads;
mod watchdog;

use anyhow::{Context, Result};
use claim::{Claim, Mechanism, Outcome};
use clap::Parser;
use page::Tried;
use repoll_trace::render::Color;
use repoll_trace::{signals, tracefs};
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use table::Table;

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
    /// Write a page with the verdicts and the recordings here, too; - is standard output, after the table.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ktap", "list"])]
    html: Option<PathBuf>,
    /// When to print in colour.
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

/// Those of a mechanism's claims that hold one of the words, with their numbers; `number` counts all.
fn pick<'a>(
    mechanism: &'a Mechanism,
    words: &[String],
    number: &mut usize,
) -> Vec<(usize, &'a Claim)> {
    let name = mechanism.name.to_lowercase();
    let mut picked = Vec::new();
    for claim in &mechanism.claims {
        *number += 1;
        let text = claim.text.to_lowercase();
        let wanted = |word: &String| match word.parse::<usize>() {
            Ok(wanted) => wanted == *number,
            Err(_) => {
                let word = word.to_lowercase();
                text.contains(&word) || name.contains(&word)
            }
        };
        if words.is_empty() || words.iter().any(wanted) {
            picked.push((*number, claim));
        }
    }
    picked
}

/// How often a claim is tried of which something else comes than usual: a busy machine may mislead an
/// experiment, but not each time.
const TRIES: u32 = 3;

/// Tries a claim; what came of it in the end, and how many tries that took.
fn settle(claim: &Claim) -> (Outcome, u32) {
    let mut tries = 0;
    loop {
        let watch = watchdog::watch(claim.text);
        let outcome = claim.try_out();
        drop(watch);
        tries += 1;
        if claim.is_as_expected(&outcome) || tries == TRIES {
            return (outcome, tries);
        }
    }
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    signals::on_end(tracefs::remove_all);
    let mechanisms = claims::all();
    let mut table = Table::new(options.color.enabled(), options.brief, options.ktap);
    let mut tried = Vec::new();
    let mut number = 0;
    for mechanism in &mechanisms {
        let picked = pick(mechanism, &options.words, &mut number);
        if picked.is_empty() {
            continue;
        }
        table.mechanism(mechanism.name);
        let mut results = Vec::new();
        for (number, claim) in picked {
            if options.list {
                table.listed(number, claim);
                continue;
            }
            let start = Instant::now();
            let (outcome, tries) = settle(claim);
            table.row(number, claim, &outcome, tries, start.elapsed());
            if options.html.is_some() {
                results.push(Tried {
                    number,
                    claim,
                    outcome,
                });
            }
        }
        tried.push((mechanism, results));
    }
    let well = table.end(options.list);
    if let Some(file) = &options.html {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let page = page::page(kernel.trim(), &tried)?;
        if file.as_os_str() == "-" {
            io::stdout().write_all(page.as_bytes())?;
        } else {
            fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(words: &[&str]) -> Vec<usize> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut number = 0;
        let mut picked = Vec::new();
        for mechanism in &claims::all() {
            let of_it = pick(mechanism, &words, &mut number);
            picked.extend(of_it.into_iter().map(|(number, _)| number));
        }
        picked
    }

    #[test]
    fn claims_are_picked_by_words_and_numbers() {
        let all = numbers(&[]);
        assert_eq!(all, (1..=all.len()).collect::<Vec<_>>());
        assert_eq!(numbers(&["3"]), [3]);
        assert!(numbers(&["no such claim"]).is_empty());
        let oneshot = numbers(&["oneshot"]);
        assert!(oneshot.len() >= 2 && oneshot.len() < all.len());
        assert_eq!(numbers(&["OneShot"]), oneshot);
    }
}
