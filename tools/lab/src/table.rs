// SPDX-License-Identifier: GPL-2.0
//! The verdicts on the terminal.

use crate::claim::{Claim, Outcome, Verdict};
use repoll_trace::render::{paint, BOLD, DIM, GREEN, RED, YELLOW};
use std::time::Duration;

/// Where lines end.
const WIDTH: usize = 100;

/// Prints rows, and counts them.
pub struct Table {
    color: bool,
    brief: bool,
    ktap: bool,
    tried: usize,
    skipped: usize,
    unusual: usize,
}

impl Table {
    pub fn new(color: bool, brief: bool, ktap: bool) -> Self {
        if ktap {
            println!("KTAP version 1");
        }
        Self {
            color,
            brief,
            ktap,
            tried: 0,
            skipped: 0,
            unusual: 0,
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        paint(self.color, code, text.to_owned())
    }

    /// The mechanism of the rows that follow.
    pub fn mechanism(&self, name: &str) {
        if !self.ktap {
            println!("{}", self.paint(BOLD, name));
        }
    }

    /// A claim that is not tried.
    pub fn listed(&mut self, number: usize, claim: &Claim) {
        self.tried += 1;
        self.lines(&format!("{number:>4}  "), claim.text, "");
    }

    /// What came of a claim.
    pub fn row(
        &mut self,
        number: usize,
        claim: &Claim,
        outcome: &Outcome,
        tries: u32,
        time: Duration,
    ) {
        let usual = claim.is_as_expected(outcome);
        match outcome {
            Outcome::Skipped(_) => self.skipped += 1,
            _ => self.tried += 1,
        }
        self.unusual += usize::from(!usual);
        if self.ktap {
            if tries > 1 {
                println!("# {tries} tries");
            }
            return self.test(claim, outcome, usual, time);
        }
        self.lines(&format!("{number:>4}  "), claim.text, "");
        let (code, verdict) = match outcome {
            Outcome::Skipped(reason) => (DIM, format!("not tried: {reason}")),
            Outcome::Failed(error) => (RED, format!("could not be tried: {error:#}")),
            Outcome::Found(finding) => (color_of(finding.verdict), finding.verdict.to_string()),
        };
        self.lines("      ", &verdict, code);
        if !usual {
            let text = format!("That is another verdict than usual: {}.", claim.expected);
            self.lines("      ", &text, RED);
        }
        if tries > 1 {
            self.lines("      ", &format!("That took {tries} tries."), RED);
        }
        if self.brief && usual {
            return;
        }
        if let Outcome::Found(finding) = outcome {
            for (side, seen) in &finding.seen {
                self.lines("        ", &format!("{side}: {seen}"), "");
            }
        }
        if !claim.because.is_empty() {
            self.lines("        ", claim.because, "");
        }
        self.lines("        ", claim.source, DIM);
    }

    fn test(&self, claim: &Claim, outcome: &Outcome, usual: bool, time: Duration) {
        let number = self.tried + self.skipped;
        let time = time.as_millis();
        let text = claim.text;
        match outcome {
            Outcome::Skipped(reason) => println!("ok {number} {text} # SKIP {reason}"),
            Outcome::Failed(error) => println!("# {error:#}\nnot ok {number} {text}"),
            Outcome::Found(_) if usual => println!("ok {number} {text} # {time} ms"),
            Outcome::Found(finding) => {
                println!("# {}, usually: {}", finding.verdict, claim.expected);
                for (side, seen) in &finding.seen {
                    println!("# {side}: {seen}");
                }
                println!("not ok {number} {text} # {time} ms");
            }
        }
    }

    /// Text after an indent, as many lines as it takes.
    fn lines(&self, indent: &str, text: &str, code: &str) {
        let mut line = String::new();
        let mut first = true;
        let mut put = |line: &str| {
            let begin = if first {
                indent
            } else {
                &" ".repeat(indent.len())
            };
            println!("{begin}{}", self.paint(code, line));
            first = false;
        };
        for word in text.split(' ') {
            if !line.is_empty() && indent.len() + line.len() + 1 + word.len() > WIDTH {
                put(&line);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        put(&line);
    }

    /// The count; whether all is well.
    pub fn end(&self, listed: bool) -> bool {
        if self.ktap {
            println!("1..{}", self.tried + self.skipped);
            let passed = self.tried - self.unusual;
            println!(
                "{passed} passed, {} failed, {} skipped",
                self.unusual, self.skipped
            );
        } else if listed {
            println!("{} claims", self.tried);
        } else {
            let skipped = match self.skipped {
                0 => String::new(),
                count => format!(", {count} not tried"),
            };
            println!(
                "{} claims tried{skipped}, {} of them with another verdict than usual",
                self.tried, self.unusual
            );
        }
        self.tried > 0 && self.unusual == 0
    }
}

fn color_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => GREEN,
        Verdict::OnlyIf(_) => YELLOW,
        Verdict::Fails | Verdict::Differs => RED,
    }
}
