// SPDX-License-Identifier: GPL-2.0
//! The claims as tests: a test passes if its verdict is as expected.

use crate::claim::{Claim, Finding, Outcome};
use repoll_testkit::ktap::{self, Report};
use std::io::{self, Stdout};
use std::time::Duration;

/// Writes the report.
pub struct TestReport(Report<Stdout>);

impl TestReport {
    pub fn begin() -> io::Result<Self> {
        Report::begin().map(Self)
    }

    pub fn add(
        &mut self,
        claim: &Claim,
        outcome: &Outcome,
        tries: u32,
        time: Duration,
    ) -> io::Result<()> {
        if tries > 1 {
            self.0.note(format!("{tries} tries"))?;
        }
        if let Outcome::Found(Finding {
            obstacle: Some(obstacle),
            ..
        }) = outcome
        {
            self.0.note(format!("not taken over: {obstacle}"))?;
        }
        self.0.add(claim.text, &test_outcome(claim, outcome), time)
    }

    /// Ends the report. Whether a test ran, and none failed.
    pub fn end(self) -> io::Result<bool> {
        let sum = self.0.end()?;
        Ok(sum.passed > 0 && sum.failed == 0)
    }
}

fn test_outcome(claim: &Claim, outcome: &Outcome) -> ktap::Outcome {
    match outcome {
        Outcome::Skipped(reason) => ktap::Outcome::Skipped(reason.clone()),
        Outcome::Failed(error) => ktap::Outcome::Failed(ktap::lines(&format!("{error:#}"))),
        Outcome::Found(_) if claim.is_as_expected(outcome) => ktap::Outcome::Passed,
        Outcome::Found(finding) => {
            let mut lines = vec![format!("{}, expected: {}", finding.verdict, claim.expected)];
            let seen = finding.seen.iter();
            lines.extend(seen.map(|(side, seen)| format!("{side}: {seen}")));
            ktap::Outcome::Failed(lines)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::Verdict;
    use crate::side::Side;

    const CLAIM: Claim = Claim {
        text: "it holds",
        expected: Verdict::Holds,
        because: "",
        source: "",
        experiment: || Finding::read(Verdict::Holds),
    };

    #[test]
    fn another_verdict_than_expected_fails_with_the_measurements() -> anyhow::Result<()> {
        let finding = Finding::of(Side::Kernel, Verdict::Fails, "3 events".to_owned())?;
        let outcome = test_outcome(&CLAIM, &Outcome::Found(finding));
        let lines = ["does not hold, expected: holds", "kernel: 3 events"];
        let lines = lines.map(str::to_owned).to_vec();
        assert_eq!(outcome, ktap::Outcome::Failed(lines));
        Ok(())
    }

    #[test]
    fn the_expected_verdict_passes_and_a_skip_stays_one() {
        let outcome = test_outcome(&CLAIM, &CLAIM.try_out());
        assert_eq!(outcome, ktap::Outcome::Passed);
        let skipped = Outcome::Skipped("no peer".to_owned());
        let expected = ktap::Outcome::Skipped("no peer".to_owned());
        assert_eq!(test_outcome(&CLAIM, &skipped), expected);
    }
}
