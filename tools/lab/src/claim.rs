// SPDX-License-Identifier: GPL-2.0
//! A claim, and what can come of it.

use anyhow::{Error, Result};
use repoll_testkit::side::Side;
use repoll_testkit::skip;
use repoll_trace::record::Trace;
use std::fmt;

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is so.
    Holds,
    /// It is not so, or not any more.
    Fails,
    /// It is so under this condition, and not else.
    OnlyIf(&'static str),
    /// The kernel's own and repoll's are not alike: never expected.
    Differs,
}

impl Verdict {
    /// Of one measurement.
    pub fn holds(is_so: bool) -> Self {
        if is_so {
            Self::Holds
        } else {
            Self::Fails
        }
    }

    /// Of two: with the condition, and without.
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

/// What an experiment found.
#[derive(Debug)]
pub struct Finding {
    /// What follows from it.
    pub verdict: Verdict,
    /// What was measured; empty if the source must tell.
    pub seen: Vec<(Side, String)>,
    /// What the kernel recorded meanwhile.
    pub recording: Option<Trace>,
}

impl Finding {
    /// Of one side only: the other has no such thing.
    pub fn of(side: Side, verdict: Verdict, seen: String) -> Result<Self> {
        Ok(Self {
            verdict,
            seen: vec![(side, seen)],
            recording: None,
        })
    }

    /// From the source: no measurement tells.
    pub fn read(verdict: Verdict) -> Result<Self> {
        Ok(Self {
            verdict,
            seen: Vec::new(),
            recording: None,
        })
    }

    /// The same experiment on both sides.
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

    /// With what was recorded.
    pub fn with(mut self, recording: Trace) -> Self {
        self.recording = Some(recording);
        self
    }
}

/// Something that the articles say, and how it is tried.
pub struct Claim {
    /// What is said.
    pub text: &'static str,
    /// What is found on an unmodified kernel with an unmodified module.
    pub expected: Verdict,
    /// What there is to say about it.
    pub because: &'static str,
    /// Where it is in the source of Linux 7.3.4, or of repoll.
    pub source: &'static str,
    /// Tries it.
    pub experiment: fn() -> Result<Finding>,
}

/// How something works, and what is said of it.
pub struct Mechanism {
    /// Its name.
    pub name: &'static str,
    /// How it works, in a paragraph.
    pub text: &'static str,
    /// A program in samples/ that shows it, by its name.
    pub sample: Option<&'static str>,
    /// What is said of it.
    pub claims: Vec<Claim>,
}

/// How an experiment ended.
#[derive(Debug)]
pub enum Outcome {
    /// With this.
    Found(Finding),
    /// It cannot be done here, for this reason.
    Skipped(String),
    /// It went wrong.
    Failed(Error),
}

impl Claim {
    /// Tries it.
    pub fn try_out(&self) -> Outcome {
        match (self.experiment)() {
            Ok(finding) => Outcome::Found(finding),
            Err(error) => match skip::reason(&error) {
                Some(reason) => Outcome::Skipped(reason),
                None => Outcome::Failed(error),
            },
        }
    }

    /// Whether this is what usually comes of it.
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
