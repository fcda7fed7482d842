// SPDX-License-Identifier: GPL-2.0
//! The two implementations that are compared, and the ways to the second one.

use crate::raw;
use repoll::sys::REPOLL_IOCTL_NOP;
use std::fmt;
use std::os::fd::AsRawFd;
use std::str::FromStr;
use std::sync::OnceLock;

/// An implementation of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The C code of the kernel.
    Kernel,
    /// The module.
    Repoll,
}

impl Side {
    /// Both, the kernel first.
    pub const ALL: [Self; 2] = [Self::Kernel, Self::Repoll];

    /// The side that serves the kernel's calls of this process.
    pub fn of_the_kernels_calls() -> Self {
        match Way::of_the_kernels_calls() {
            Some(_) => Self::Repoll,
            None => Self::Kernel,
        }
    }

    /// Whether this side has made an instance. The module's instances answer NOP.
    pub fn has_made(self, instance: &impl AsRawFd) -> bool {
        // SAFETY: NOP has no argument.
        let answer = unsafe { raw::ioctl(instance, REPOLL_IOCTL_NOP, 0) };
        (self == Self::Repoll) == answer.is_ok()
    }

    /// Its name in a heading.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Kernel => "the kernel's own",
            Self::Repoll => "repoll",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kernel => "kernel",
            Self::Repoll => "repoll",
        })
    }
}

/// A way by which a program's own calls of epoll, select and poll reach the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// repoll-exec has loaded a library, which makes ioctls of them.
    Preloaded,
    /// The module serves the kernel's system calls.
    TakenOver,
}

/// The way of this process; without one the C code serves its calls.
static WAY: OnceLock<Way> = OnceLock::new();

impl Way {
    /// Declares that the kernel's calls of this process go this way. Instances and scanners that
    /// are made from then on check it.
    pub fn carries_the_kernels_calls(self) {
        WAY.get_or_init(|| self);
    }

    /// The way of the kernel's calls of this process.
    pub fn of_the_kernels_calls() -> Option<Self> {
        WAY.get().copied()
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Preloaded => "preloaded",
            Self::TakenOver => "taken-over",
        })
    }
}

impl FromStr for Way {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "preloaded" => Ok(Self::Preloaded),
            "taken-over" => Ok(Self::TakenOver),
            _ => Err("the sides are preloaded and taken-over"),
        }
    }
}
