// SPDX-License-Identifier: GPL-2.0
//! The sides of an experiment: the calls that it makes, and the code that serves them.

use repoll_testkit::side::Side as Code;
use std::fmt;

/// A side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The kernel's calls, served by its C code.
    Kernel,
    /// repoll's ioctls.
    Repoll,
    /// The kernel's calls, served by repoll.
    TakenOver,
}

impl Side {
    /// The code that serves the calls.
    pub fn code(self) -> Code {
        match self {
            Self::Kernel => Code::Kernel,
            Self::Repoll | Self::TakenOver => Code::Repoll,
        }
    }

    /// The files of an experiment about a file's own calls: the source is repoll's.
    pub fn files(self) -> Code {
        match self {
            Self::Kernel | Self::TakenOver => Code::Kernel,
            Self::Repoll => Code::Repoll,
        }
    }

    /// Its name in a heading.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Kernel => "the kernel's own",
            Self::Repoll => "repoll",
            Self::TakenOver => "the kernel's calls, taken over",
        }
    }
}

impl From<Code> for Side {
    fn from(code: Code) -> Self {
        match code {
            Code::Kernel => Self::Kernel,
            Code::Repoll => Self::Repoll,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kernel => "kernel",
            Self::Repoll => "repoll",
            Self::TakenOver => "taken over",
        })
    }
}
