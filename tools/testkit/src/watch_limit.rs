// SPDX-License-Identifier: GPL-2.0
//! The limit of watches per user, `fs.epoll.max_user_watches`: one for the C epoll and repoll.

use std::{fs, io};

const SYSCTL: &str = "/proc/sys/fs/epoll/max_user_watches";

/// A limit for all users. Dropping it restores the one before.
pub struct WatchLimit {
    before: String,
}

impl WatchLimit {
    /// Allows each user this number of watches.
    pub fn set(watches: usize) -> io::Result<Self> {
        let this = Self {
            before: fs::read_to_string(SYSCTL)?,
        };
        this.change(watches)?;
        Ok(this)
    }

    /// Changes it. Open instances follow.
    pub fn change(&self, watches: usize) -> io::Result<()> {
        fs::write(SYSCTL, watches.to_string())
    }
}

impl Drop for WatchLimit {
    fn drop(&mut self) {
        if let Err(error) = fs::write(SYSCTL, &self.before) {
            eprintln!("cannot restore {SYSCTL}: {error}");
        }
    }
}
