// SPDX-License-Identifier: GPL-2.0
//! The Kernel Test Anything Protocol, version 1, and the count at its end.

use std::io::Write;
use std::time::Duration;

/// How a test ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// With what there is to say about it.
    Failed(Vec<String>),
    /// It cannot run here, for this reason.
    Skipped(String),
}

/// Prints results, and counts them.
pub struct Report<W: Write> {
    out: W,
    number: usize,
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl<W: Write> Report<W> {
    /// Begins with the version and the plan.
    pub fn new(mut out: W, plan: usize) -> std::io::Result<Self> {
        writeln!(out, "KTAP version 1\n1..{plan}")?;
        out.flush()?;
        Ok(Self {
            out,
            number: 0,
            passed: 0,
            failed: 0,
            skipped: 0,
        })
    }

    /// Prints one result; what there is to say about a failure comes before it.
    pub fn add(&mut self, name: &str, outcome: &Outcome, time: Duration) -> std::io::Result<()> {
        self.number += 1;
        let number = self.number;
        let time = time.as_millis();
        match outcome {
            Outcome::Passed => {
                self.passed += 1;
                writeln!(self.out, "ok {number} {name} # {time} ms")?;
            }
            Outcome::Failed(lines) => {
                self.failed += 1;
                for line in lines {
                    writeln!(self.out, "# {line}")?;
                }
                writeln!(self.out, "not ok {number} {name} # {time} ms")?;
            }
            Outcome::Skipped(reason) => {
                self.skipped += 1;
                writeln!(self.out, "ok {number} {name} # SKIP {reason}")?;
            }
        }
        self.out.flush()
    }

    /// Prints the count, and says whether all is well.
    pub fn end(mut self) -> std::io::Result<bool> {
        writeln!(
            self.out,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )?;
        self.out.flush()?;
        Ok(self.failed == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_printed_and_counted() -> std::io::Result<()> {
        let mut out = Vec::new();
        let mut report = Report::new(&mut out, 3)?;
        let time = Duration::from_millis(12);
        report.add("a", &Outcome::Passed, time)?;
        report.add("b", &Outcome::Failed(vec!["why".to_owned()]), time)?;
        report.add("c", &Outcome::Skipped("no peer".to_owned()), time)?;
        assert!(!report.end()?);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "KTAP version 1\n1..3\nok 1 a # 12 ms\n# why\nnot ok 2 b # 12 ms\nok 3 c # SKIP no peer\n1 passed, 1 failed, 1 skipped\n"
        );
        Ok(())
    }
}
