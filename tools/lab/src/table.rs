// SPDX-License-Identifier: GPL-2.0
//! The verdicts as a table on the terminal.

use crate::claim::{Claim, Outcome, Verdict};
use crate::side::Side;
use repoll_trace::render::{paint, BOLD, DIM, GREEN, RED, YELLOW};

/// The width of a line.
const WIDTH: usize = 100;

/// Prints rows, and counts them.
pub struct Table {
    color: bool,
    brief: bool,
    tried: usize,
    skipped: usize,
    unexpected: usize,
    taken_over: usize,
    obstacle: Option<String>,
}

impl Table {
    pub fn new(color: bool, brief: bool) -> Self {
        Self {
            color,
            brief,
            tried: 0,
            skipped: 0,
            unexpected: 0,
            taken_over: 0,
            obstacle: None,
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        paint(self.color, code, text.to_owned())
    }

    /// The heading of the rows that follow.
    pub fn mechanism(&self, name: &str) {
        println!("{}", self.paint(BOLD, name));
    }

    /// A claim that is listed, not tried.
    pub fn listed(&mut self, number: usize, claim: &Claim) {
        self.tried += 1;
        self.lines(&format!("{number:>4}  "), claim.text, "");
    }

    /// A claim with its verdict.
    pub fn row(&mut self, number: usize, claim: &Claim, outcome: &Outcome, tries: u32) {
        let as_expected = claim.is_as_expected(outcome);
        match outcome {
            Outcome::Skipped(_) => self.skipped += 1,
            _ => self.tried += 1,
        }
        self.unexpected += usize::from(!as_expected);
        if let Outcome::Found(finding) = outcome {
            self.taken_over += usize::from(finding.is_taken_over());
            self.obstacle = self.obstacle.take().or_else(|| finding.obstacle.clone());
        }
        self.lines(&format!("{number:>4}  "), claim.text, "");
        let (code, verdict) = match outcome {
            Outcome::Skipped(reason) => (DIM, format!("not tried: {reason}")),
            Outcome::Failed(error) => (RED, format!("could not be tried: {error:#}")),
            Outcome::Found(finding) => (color_of(finding.verdict), finding.verdict.to_string()),
        };
        self.lines("      ", &verdict, code);
        if !as_expected {
            let text = format!("This is another verdict than expected: {}.", claim.expected);
            self.lines("      ", &text, RED);
        }
        if tries > 1 {
            self.lines("      ", &format!("It took {tries} tries."), RED);
        }
        if self.brief && as_expected {
            return;
        }
        if let Outcome::Found(finding) = outcome {
            for (side, seen) in &finding.seen {
                self.lines("        ", &format!("{side}: {seen}"), "");
            }
            if let Some(obstacle) = &finding.obstacle {
                let text = format!("{}: not on this kernel: {obstacle}", Side::TakenOver);
                self.lines("        ", &text, DIM);
            }
        }
        if !claim.because.is_empty() {
            self.lines("        ", claim.because, "");
        }
        self.lines("        ", claim.source, DIM);
    }

    /// Prints a text in lines that begin with an indent.
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

    /// The sum of a list.
    pub fn end_list(self) {
        println!("{} claims", self.tried);
    }

    /// The sum of the verdicts. Whether claims were tried, and all verdicts are as expected.
    pub fn end(self) -> bool {
        let skipped = match self.skipped {
            0 => String::new(),
            count => format!(", {count} not tried"),
        };
        println!(
            "{} claims tried{skipped}, {} of them with another verdict than expected",
            self.tried, self.unexpected
        );
        match self.obstacle {
            None => println!("{} of them with the calls taken over, too", self.taken_over),
            Some(obstacle) => println!("none with the calls taken over: {obstacle}"),
        }
        self.tried > 0 && self.unexpected == 0
    }
}

fn color_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => GREEN,
        Verdict::OnlyIf(_) => YELLOW,
        Verdict::Fails | Verdict::Differs => RED,
    }
}
