// SPDX-License-Identifier: GPL-2.0
//! The lab: what is said of select, poll and epoll, each claim tried on the spot, on the kernel's own
//! calls and on repoll, with a verdict from what was measured.

mod claims;
mod multiplexer;
mod sys;

use anyhow::Result;
use clap::Parser;
use std::fmt;
use std::process::ExitCode;

/// Tries what is said of select, poll and epoll, and says what holds.
#[derive(Parser)]
#[command(name = "repoll-lab", version)]
struct Options {
    /// Only claims that hold one of these words.
    words: Vec<String>,
}

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is so.
    Holds,
    /// It is not so, or not any more.
    Fails,
    /// It is so under this condition.
    OnlyIf(&'static str),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => f.write_str("holds"),
            Self::Fails => f.write_str("does not hold"),
            Self::OnlyIf(condition) => write!(f, "holds only if {condition}"),
        }
    }
}

/// What an experiment found.
pub struct Finding {
    verdict: Verdict,
    /// What was measured, or the line of the kernel's source that says it.
    evidence: String,
}

/// That a claim holds, if it is so, and what shows it.
pub fn holds_if(is_so: bool, evidence: String) -> Result<Finding> {
    let verdict = if is_so {
        Verdict::Holds
    } else {
        Verdict::Fails
    };
    Ok(Finding { verdict, evidence })
}

/// That a claim holds under a condition, if this is what was seen; else that it does not.
pub fn only_if(condition: &'static str, is_so: bool, evidence: String) -> Result<Finding> {
    let verdict = if is_so {
        Verdict::OnlyIf(condition)
    } else {
        Verdict::Fails
    };
    Ok(Finding { verdict, evidence })
}

/// A claim, and how it is tried.
pub struct Claim {
    /// What is said.
    text: &'static str,
    /// What is found on an unmodified kernel with an unmodified repoll.
    expected: Verdict,
    experiment: fn() -> Result<Finding>,
}

/// Shows one claim; whether all is as expected.
fn show(number: usize, claim: &Claim) -> bool {
    println!("{number:>2}. {}", claim.text);
    match (claim.experiment)() {
        Ok(finding) => {
            let as_expected = finding.verdict == claim.expected;
            println!("    -> {}", finding.verdict);
            println!("       {}", finding.evidence);
            if !as_expected {
                println!(
                    "       That is another verdict than usual: {}",
                    claim.expected
                );
            }
            println!();
            as_expected
        }
        Err(error) => {
            println!("    -> could not be tried: {error:#}\n");
            false
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let wanted = |claim: &&Claim| {
        let text = claim.text.to_lowercase();
        options.words.is_empty()
            || options
                .words
                .iter()
                .any(|word| text.contains(&word.to_lowercase()))
    };
    let claims = claims::all();
    let mut tried = 0;
    let mut other = 0;
    for (number, claim) in (1..).zip(&claims).filter(|(_, claim)| wanted(claim)) {
        tried += 1;
        other += usize::from(!show(number, claim));
    }
    println!("{tried} claims tried, {other} of them with another verdict than usual");
    if tried == 0 || other > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
