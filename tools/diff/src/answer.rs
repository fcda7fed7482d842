// SPDX-License-Identifier: GPL-2.0
//! The answers of the two sides, and their text.

use crate::operation::Bits;
use repoll::Event;
use std::fmt;
use std::io;

/// The answer of a side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A system call's result.
    Number(i64),
    /// An error number.
    Error(i32),
    /// Events, in order.
    Events(Vec<Event>),
    /// The events that poll(2) found.
    Polled(u32),
    /// Any other answer.
    Text(String),
}

/// The answers of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answers are the same, or the operation involves no instance.
    Same(Answer),
    /// The answer of the C epoll, and the answer of repoll.
    Differ(Answer, Answer),
}

impl Outcome {
    /// Compares.
    pub fn of(epoll: Answer, repoll: Answer) -> Self {
        if epoll == repoll {
            Self::Same(epoll)
        } else {
            Self::Differ(epoll, repoll)
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Error(errno) => write!(f, "{}", error_name(*errno)),
            Self::Events(events) => {
                write!(f, "{} [", events.len())?;
                for (n, event) in events.iter().enumerate() {
                    let separator = if n == 0 { "" } else { ", " };
                    let bits = Bits(event.flags().bits());
                    write!(f, "{separator}{bits} {:#x}", event.data())?;
                }
                write!(f, "]")
            }
            Self::Polled(bits) => write!(f, "poll {}", Bits(*bits)),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The name of an error number.
pub fn error_name(errno: i32) -> String {
    let name = match errno {
        libc::EBADF => "EBADF",
        libc::EEXIST => "EEXIST",
        libc::EFAULT => "EFAULT",
        libc::EINTR => "EINTR",
        libc::EINVAL => "EINVAL",
        libc::ELOOP => "ELOOP",
        libc::ENOENT => "ENOENT",
        libc::ENOSPC => "ENOSPC",
        libc::ENOTTY => "ENOTTY",
        libc::EPERM => "EPERM",
        libc::EAGAIN => "EAGAIN",
        _ => return io::Error::from_raw_os_error(errno).to_string(),
    };
    name.to_owned()
}

impl From<io::Error> for Answer {
    fn from(error: io::Error) -> Self {
        Self::Error(error.raw_os_error().unwrap_or(0))
    }
}

/// The result of a call as an answer: a number or an error.
pub fn answer<T: Into<i64>>(result: io::Result<T>) -> Answer {
    result.map_or_else(Answer::from, |number| Answer::Number(number.into()))
}
