// SPDX-License-Identifier: GPL-2.0
//! The lab: claims about select, poll and epoll, each tried on the kernel's own calls, on repoll
//! and on the kernel's calls while repoll takes them over, with a verdict from the measurement.
#![deny(unsafe_code)]

mod claim;
mod claims;
mod multiplexer;
mod page;
mod prelude;
mod rare_calls;
mod recording;
mod ring;
mod shortest;
mod side;
mod table;
mod taken_over;
mod test_report;
mod threads;
mod watchdog;

use anyhow::{ensure, Context, Result};
use claim::{Claim, Mechanism, Outcome};
use clap::Parser;
use page::Tried;
use repoll_trace::render::Color;
use repoll_trace::signals;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use table::Table;
use test_report::TestReport;

/// Tries claims about select, poll and epoll, and reports which hold.
///
/// Run it in a guest, as root, with the module loaded.
#[derive(Parser)]
#[command(name = "repoll-lab", version)]
struct Options {
    /// Pick claims by a word in them or in their mechanism's name, or by number; all without words.
    words: Vec<String>,
    /// List the claims and try none.
    #[arg(long)]
    list: bool,
    /// Print verdicts without measurements.
    #[arg(long)]
    brief: bool,
    /// Report in KTAP: a test for each claim, which passes if the verdict is as expected.
    #[arg(long, conflicts_with_all = ["brief", "list"])]
    ktap: bool,
    /// Also write a page with verdicts and recordings; - writes it to standard output, after the
    /// table.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ktap", "list"])]
    html: Option<PathBuf>,
    /// When to print in colour.
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

/// Picks a mechanism's claims, with their numbers. `number` is the number of the claim before, of
/// all.
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

/// The tries of a claim whose verdict is not the expected one: a busy machine can mislead an
/// experiment.
const TRIES: u32 = 3;

/// Tries a claim until its verdict is as expected or no tries are left. Returns the
/// outcome and the number of attempts.
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

/// The claims that were picked, by mechanism.
type Picked<'a> = Vec<(&'a Mechanism, Vec<(usize, &'a Claim)>)>;

fn pick_all<'a>(mechanisms: &'a [Mechanism], words: &[String]) -> Picked<'a> {
    let mut number = 0;
    let of = |mechanism| (mechanism, pick(mechanism, words, &mut number));
    let mut all: Vec<_> = mechanisms.iter().map(of).collect();
    all.retain(|(_, claims)| !claims.is_empty());
    all
}

fn list(picked: &Picked<'_>, color: bool) {
    let mut table = Table::new(color, true);
    for (mechanism, claims) in picked {
        table.mechanism(mechanism.name);
        for (number, claim) in claims {
            table.listed(*number, claim);
        }
    }
    table.end_list();
}

/// Tries the claims as tests. Returns whether all verdicts are as expected.
fn test(picked: &Picked<'_>) -> Result<bool> {
    let mut report = TestReport::begin()?;
    for (_, claim) in picked.iter().flat_map(|(_, claims)| claims) {
        let start = Instant::now();
        let (outcome, tries) = settle(claim);
        report.add(claim, &outcome, tries, start.elapsed())?;
    }
    Ok(report.end()?)
}

/// Tries the claims and prints a table. Returns whether all verdicts are as expected.
fn show(picked: &Picked<'_>, options: &Options) -> Result<bool> {
    let mut table = Table::new(options.color.enabled(), options.brief);
    let mut tried = Vec::new();
    for (mechanism, claims) in picked {
        table.mechanism(mechanism.name);
        let mut results = Vec::new();
        for &(number, claim) in claims {
            let (outcome, tries) = settle(claim);
            table.row(number, claim, &outcome, tries);
            results.push(Tried {
                number,
                claim,
                outcome,
            });
        }
        tried.push((*mechanism, results));
    }
    let as_expected = table.end();
    if let Some(file) = &options.html {
        write_page(file, &tried)?;
    }
    Ok(as_expected)
}

fn write_page(file: &Path, tried: &[(&Mechanism, Vec<Tried<'_>>)]) -> Result<()> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let page = page::page(kernel.trim(), tried)?;
    if file.as_os_str() == "-" {
        return Ok(io::stdout().write_all(page.as_bytes())?);
    }
    fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let mechanisms = claims::all();
    let picked = pick_all(&mechanisms, &options.words);
    ensure!(
        !picked.is_empty(),
        "no claim has one of these words or numbers: --list lists all"
    );
    if options.list {
        list(&picked, options.color.enabled());
        return Ok(ExitCode::SUCCESS);
    }
    signals::on_end(watchdog::clean_up);
    let as_expected = if options.ktap {
        test(&picked)?
    } else {
        show(&picked, &options)?
    };
    Ok(if as_expected {
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
        let mechanisms = claims::all();
        let picked = pick_all(&mechanisms, &words);
        let claims = picked.iter().flat_map(|(_, claims)| claims);
        claims.map(|(number, _)| *number).collect()
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
