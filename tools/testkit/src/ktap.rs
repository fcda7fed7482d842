// SPDX-License-Identifier: GPL-2.0
//! The Kernel Test Anything Protocol, version 1: the writer.
//!
//! A line for each test, `ok 1 name # 12 ms`, `ok 2 name # SKIP reason` or `not ok 3 name`, after
//! its diagnostics, which begin with `# `. The plan and the sum close the report.
//! `tools/harness/lib/ktap.bash` writes the same for tests in bash, and reads it.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

/// The result of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed; with diagnostics.
    Failed(Vec<String>),
    /// It cannot run here, for this reason.
    Skipped(String),
}

impl From<anyhow::Result<()>> for Outcome {
    fn from(result: anyhow::Result<()>) -> Self {
        let Err(error) = result else {
            return Self::Passed;
        };
        match crate::skip::reason(&error) {
            Some(reason) => Self::Skipped(reason),
            None => Self::Failed(lines(&format!("{error:#}"))),
        }
    }
}

/// The lines of a text, for [`Outcome::Failed`].
pub fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// The numbers of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Tests that passed.
    pub passed: usize,
    /// Tests that failed.
    pub failed: usize,
    /// Tests that did not run.
    pub skipped: usize,
}

impl Sum {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Skipped(_) => self.skipped += 1,
        }
    }

    /// The number of all tests.
    pub fn all(&self) -> usize {
        self.passed + self.failed + self.skipped
    }
}

impl Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Writes results, and counts them.
pub struct Report<W: Write> {
    out: W,
    sum: Sum,
}

impl Report<io::Stdout> {
    /// Begins a report on standard output.
    pub fn begin() -> io::Result<Self> {
        Self::new(io::stdout())
    }
}

impl<W: Write> Report<W> {
    /// Begins with the version.
    pub fn new(mut out: W) -> io::Result<Self> {
        writeln!(out, "KTAP version 1")?;
        out.flush()?;
        Ok(Self {
            out,
            sum: Sum::default(),
        })
    }

    /// Writes a diagnostic line.
    pub fn note(&mut self, text: impl Display) -> io::Result<()> {
        writeln!(self.out, "# {text}")?;
        self.out.flush()
    }

    /// Writes one result, with the time that the test took.
    pub fn add(&mut self, name: &str, outcome: &Outcome, time: Duration) -> io::Result<()> {
        self.add_with(name, outcome, &format!("{} ms", time.as_millis()))
    }

    /// Writes one result, with a remark, which may be empty.
    pub fn add_with(&mut self, name: &str, outcome: &Outcome, remark: &str) -> io::Result<()> {
        self.sum.count(outcome);
        let number = self.sum.all();
        let remark = match remark {
            "" => String::new(),
            remark => format!(" # {remark}"),
        };
        match outcome {
            Outcome::Passed => writeln!(self.out, "ok {number} {name}{remark}")?,
            Outcome::Skipped(reason) => {
                let reason = reason.trim().replace('\n', " ");
                writeln!(self.out, "ok {number} {name} # SKIP {reason}")?;
            }
            Outcome::Failed(lines) => {
                for line in lines {
                    writeln!(self.out, "# {line}")?;
                }
                writeln!(self.out, "not ok {number} {name}{remark}")?;
            }
        }
        self.out.flush()
    }

    /// Writes the plan and the sum, and returns the sum.
    pub fn end(mut self) -> io::Result<Sum> {
        writeln!(self.out, "1..{}\n{}", self.sum.all(), self.sum)?;
        self.out.flush()?;
        Ok(self.sum)
    }
}

/// The exit status of a program that has written a report, or cannot go on.
pub fn exit_code(result: anyhow::Result<Sum>) -> ExitCode {
    match result {
        Ok(sum) if sum.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("Bail out! {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_written_and_counted() -> io::Result<()> {
        let mut out = Vec::new();
        let mut report = Report::new(&mut out)?;
        let time = Duration::from_millis(12);
        let failed = Outcome::Failed(lines("why\nand how"));
        report.note("a remark")?;
        report.add("a", &Outcome::Passed, time)?;
        report.add("b", &failed, time)?;
        report.add("c", &Outcome::Skipped("no peer".to_owned()), time)?;
        let written = report.end()?;
        let text = String::from_utf8_lossy(&out);
        assert_eq!(
            text,
            "KTAP version 1\n# a remark\nok 1 a # 12 ms\n# why\n# and how\nnot ok 2 b # 12 ms\n\
             ok 3 c # SKIP no peer\n1..3\n1 passed, 1 failed, 1 skipped\n"
        );
        let expected = Sum {
            passed: 1,
            failed: 1,
            skipped: 1,
        };
        assert_eq!(written, expected);
        Ok(())
    }

    #[test]
    fn a_skip_is_no_failure() {
        let outcome = |result: anyhow::Result<()>| Outcome::from(result);
        assert_eq!(outcome(Ok(())), Outcome::Passed);
        let skipped = outcome(crate::skip::skip("not here"));
        assert_eq!(skipped, Outcome::Skipped("not here".to_owned()));
        let failed = outcome(Err(anyhow::anyhow!("broken")));
        assert_eq!(failed, Outcome::Failed(vec!["broken".to_owned()]));
    }
}
