// SPDX-License-Identifier: GPL-2.0
//! The callees of a file's wait queue: items of instances, and entries of SELECT and POLL.

use std::fmt;

/// One of the two calls of fs/select.c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// SELECT.
    Select,
    /// POLL.
    Poll,
}

impl Call {
    /// From its name in a trace.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "select" => Some(Self::Select),
            "poll" => Some(Self::Poll),
            _ => None,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Select => "SELECT",
            Self::Poll => "POLL",
        })
    }
}

/// The callee of a file that wakes its wait queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// An item of an instance.
    Item {
        /// The instance's number.
        ep: i64,
        /// The item's number.
        item: i64,
        /// The descriptor that the item was added with.
        fd: i64,
    },
    /// A wait-queue entry of a SELECT or POLL call.
    Entry {
        /// The call.
        call: Call,
        /// The task that makes the call.
        task: i64,
        /// The descriptor that the call polls.
        fd: i64,
    },
}

impl Called {
    /// The descriptor of the file.
    pub const fn fd(&self) -> i64 {
        match self {
            Self::Item { fd, .. } | Self::Entry { fd, .. } => *fd,
        }
    }
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item { ep, item, fd } => write!(f, "instance {ep} item {item} fd {fd}"),
            Self::Entry { call, task, fd } => write!(f, "{call} of {task} fd {fd}"),
        }
    }
}
