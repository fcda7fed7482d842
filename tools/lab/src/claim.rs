// SPDX-License-Identifier: GPL-2.0
//! Claims, their experiments and their verdicts.

use anyhow::{Error, Result};
use repoll_testkit::side::Side;
use repoll_testkit::skip;
use repoll_trace::record::Trace;
use std::fmt;

/// The verdict on a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The claim holds.
    Holds,
    /// The claim does not hold, or no longer holds.
    Fails,
    /// The claim holds under this condition and not otherwise.
    OnlyIf(&'static str),
    /// The kernel's own call and repoll's behave differently. Never expected.
    Differs,
}

impl Verdict {
    /// The verdict of one measurement.
    pub fn holds(is_so: bool) -> Self {
        if is_so {
            Self::Holds
        } else {
            Self::Fails
        }
    }

    /// The verdict of two measurements, with the condition and without.
    pub fn only_if(condition: &'static str, with: bool, without: bool) -> Self {
        match (with, without) {
            (true, true) => Self::Holds,
            (true, false) => Self::OnlyIf(condition),
            (false, _) => Self::Fails,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => f.write_str("holds"),
            Self::Fails => f.write_str("does not hold"),
            Self::OnlyIf(condition) => write!(f, "holds only if {condition}"),
            Self::Differs => f.write_str("epoll and repoll differ"),
        }
    }
}

/// The result of an experiment.
#[derive(Debug)]
pub struct Finding {
    /// The verdict that follows.
    pub verdict: Verdict,
    /// The measurement of each side; empty if the verdict is from the source code.
    pub seen: Vec<(Side, String)>,
    /// The recording of the experiment.
    pub recording: Option<Trace>,
}

impl Finding {
    /// The finding of an experiment that only one side allows.
    pub fn of(side: Side, verdict: Verdict, seen: String) -> Result<Self> {
        Ok(Self {
            verdict,
            seen: vec![(side, seen)],
            recording: None,
        })
    }

    /// A finding from the source code, where nothing can be measured.
    pub fn read(verdict: Verdict) -> Result<Self> {
        Ok(Self {
            verdict,
            seen: Vec::new(),
            recording: None,
        })
    }

    /// The finding of the same experiment on both sides.
    pub fn both(mut try_on: impl FnMut(Side) -> Result<(Verdict, String)>) -> Result<Self> {
        let (verdict, kernel) = try_on(Side::Kernel)?;
        let (other, repoll) = try_on(Side::Repoll)?;
        Ok(Self {
            verdict: if verdict == other {
                verdict
            } else {
                Verdict::Differs
            },
            seen: vec![(Side::Kernel, kernel), (Side::Repoll, repoll)],
            recording: None,
        })
    }

    /// Adds the recording.
    pub fn with(mut self, recording: Trace) -> Self {
        self.recording = Some(recording);
        self
    }
}

/// A statement of the articles, and its experiment.
pub struct Claim {
    /// The statement.
    pub text: &'static str,
    /// The verdict with an unmodified kernel and an unmodified module.
    pub expected: Verdict,
    /// The explanation of the verdict.
    pub because: &'static str,
    /// The place in the source code of Linux 7.3.4 or of repoll.
    pub source: &'static str,
    /// The experiment.
    pub experiment: fn() -> Result<Finding>,
}

/// A mechanism of the kernel, and the claims about it.
pub struct Mechanism {
    /// Its name.
    pub name: &'static str,
    /// A description, in a paragraph.
    pub text: &'static str,
    /// The name of a program in samples/ that shows it.
    pub sample: Option<&'static str>,
    /// The claims.
    pub claims: Vec<Claim>,
}

/// The end of an experiment.
#[derive(Debug)]
pub enum Outcome {
    /// It has this finding.
    Found(Finding),
    /// It cannot run here, for this reason.
    Skipped(String),
    /// It failed.
    Failed(Error),
}

impl Claim {
    /// Runs the experiment.
    pub fn try_out(&self) -> Outcome {
        match (self.experiment)() {
            Ok(finding) => Outcome::Found(finding),
            Err(error) => match skip::reason(&error) {
                Some(reason) => Outcome::Skipped(reason),
                None => Outcome::Failed(error),
            },
        }
    }

    /// Whether the outcome has the expected verdict, or was skipped.
    pub fn is_as_expected(&self, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Found(finding) => finding.verdict == self.expected,
            Outcome::Skipped(_) => true,
            Outcome::Failed(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_one_only_if_it_makes_a_difference() {
        assert_eq!(
            Verdict::only_if("x", true, false).to_string(),
            "holds only if x"
        );
        assert_eq!(Verdict::only_if("x", true, true), Verdict::Holds);
        assert_eq!(Verdict::only_if("x", false, true), Verdict::Fails);
        assert_eq!(Verdict::only_if("x", false, false), Verdict::Fails);
    }

    #[test]
    fn sides_that_differ_are_no_verdict() -> Result<()> {
        let finding =
            Finding::both(|side| Ok((Verdict::holds(side == Side::Kernel), String::new())))?;
        assert_eq!(finding.verdict, Verdict::Differs);
        Ok(())
    }
}
