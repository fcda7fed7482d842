// SPDX-License-Identifier: GPL-2.0
//! The limit of open files.

use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
use std::io;

/// The hard limit of open files of this process.
pub fn most_files() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Sets the soft and the hard limit of open files.
pub fn limit_files(soft: u64, hard: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(soft),
        maximum: Some(hard),
    };
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Raises the limit of open files to `count`, if it is lower.
pub fn allow_files(count: u64) -> io::Result<()> {
    let soft = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    limit_files(soft.max(count), most_files().max(count))
}
