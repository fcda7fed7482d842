// SPDX-License-Identifier: GPL-2.0
//! Claims, their experiments and their verdicts.

use crate::side::Side;
use crate::taken_over;
use anyhow::{Context as _, Error, Result};
use repoll_testkit::side::Side as Code;
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
    /// The sides behave differently. Never expected.
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
            Self::Differs => f.write_str("the sides differ"),
        }
    }
}

/// The observation of one side.
pub struct Observation {
    verdict: Verdict,
    seen: String,
    recording: Option<Trace>,
}

impl From<(Verdict, String)> for Observation {
    fn from((verdict, seen): (Verdict, String)) -> Self {
        Self {
            verdict,
            seen,
            recording: None,
        }
    }
}

impl From<(Verdict, String, Trace)> for Observation {
    fn from((verdict, seen, trace): (Verdict, String, Trace)) -> Self {
        Self {
            verdict,
            seen,
            recording: Some(trace),
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
    /// The recordings of the experiment, of the sides that have one.
    pub recordings: Vec<(Side, Trace)>,
    /// The reason for which the kernel's calls could not be taken over here.
    pub obstacle: Option<String>,
}

impl Finding {
    /// The finding of an experiment that only one side allows.
    pub fn of(side: Side, verdict: Verdict, seen: String) -> Result<Self> {
        Ok(Self {
            verdict,
            seen: vec![(side, seen)],
            recordings: Vec::new(),
            obstacle: None,
        })
    }

    /// A finding from the source code, where nothing can be measured.
    pub fn read(verdict: Verdict) -> Result<Self> {
        Ok(Self {
            verdict,
            seen: Vec::new(),
            recordings: Vec::new(),
            obstacle: None,
        })
    }

    /// The finding of an experiment with files of the kernel and of repoll. It makes no call that
    /// can be taken over.
    pub fn of_files(mut try_on: impl FnMut(Code) -> Result<(Verdict, String)>) -> Result<Self> {
        let mut finding = Self::first(Side::Kernel, try_on(Code::Kernel)?.into());
        finding.add(Side::Repoll, try_on(Code::Repoll)?.into());
        Ok(finding)
    }

    /// The finding of an experiment with calls of epoll, select or poll, on all sides. Where the
    /// kernel allows no takeover, the finding has the obstacle in place of that measurement.
    pub fn of_calls<O: Into<Observation>>(
        mut try_on: impl FnMut(Side) -> Result<O>,
    ) -> Result<Self> {
        let mut finding = Self::first(Side::Kernel, try_on(Side::Kernel)?.into());
        finding.add(Side::Repoll, try_on(Side::Repoll)?.into());
        finding.add_taken_over(try_on)
    }

    /// Likewise, of an experiment for which repoll has no ioctl.
    pub fn of_kernels_calls<O: Into<Observation>>(
        mut try_on: impl FnMut(Side) -> Result<O>,
    ) -> Result<Self> {
        let finding = Self::first(Side::Kernel, try_on(Side::Kernel)?.into());
        finding.add_taken_over(try_on)
    }

    fn add_taken_over<O: Into<Observation>>(
        mut self,
        try_on: impl FnOnce(Side) -> Result<O>,
    ) -> Result<Self> {
        match taken_over::run(|| try_on(Side::TakenOver)) {
            Ok(observation) => self.add(Side::TakenOver, observation.into()),
            Err(error) => match skip::reason(&error) {
                reason @ Some(_) => self.obstacle = reason,
                None => return Err(error).context("with the calls taken over"),
            },
        }
        Ok(self)
    }

    /// Whether the experiment ran with the kernel's calls taken over.
    pub fn is_taken_over(&self) -> bool {
        self.seen.iter().any(|(side, _)| *side == Side::TakenOver)
    }

    fn first(side: Side, observation: Observation) -> Self {
        let mut finding = Self {
            verdict: observation.verdict,
            seen: Vec::new(),
            recordings: Vec::new(),
            obstacle: None,
        };
        finding.add(side, observation);
        finding
    }

    /// Adds the observation of another side.
    fn add(&mut self, side: Side, observation: Observation) {
        if self.verdict != observation.verdict {
            self.verdict = Verdict::Differs;
        }
        self.seen.push((side, observation.seen));
        // The C code has no tracepoints of its own.
        if let Some(trace) = observation.recording.filter(|_| side != Side::Kernel) {
            self.recordings.push((side, trace));
        }
    }

    /// Adds the recording of repoll's side.
    pub fn with(mut self, recording: Trace) -> Self {
        self.recordings.push((Side::Repoll, recording));
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
            Finding::of_files(|code| Ok((Verdict::holds(code == Code::Kernel), String::new())))?;
        assert_eq!(finding.verdict, Verdict::Differs);
        let holds = || (Verdict::Holds, String::new()).into();
        let mut finding = Finding::first(Side::Kernel, holds());
        finding.add(Side::Repoll, holds());
        assert_eq!(finding.verdict, Verdict::Holds);
        finding.add(Side::TakenOver, (Verdict::Fails, String::new()).into());
        assert_eq!(finding.verdict, Verdict::Differs);
        Ok(())
    }
}
