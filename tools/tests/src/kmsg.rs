// SPDX-License-Identifier: GPL-2.0
//! The kernel log: a test after which the kernel complains has failed.

use anyhow::{ensure, Result};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// Words by which the kernel reports a fault of its own.
const COMPLAINTS: [&str; 18] = [
    "BUG:",
    "WARNING:",
    "Oops",
    "Internal error:",
    "general protection fault",
    "KASAN",
    "KCSAN",
    "UBSAN",
    "unable to handle",
    "Unable to handle",
    "possible circular locking",
    "possible recursive locking",
    "inconsistent lock state",
    "suspicious RCU usage",
    "blocked for more than",
    "rcu_preempt detected stalls",
    "self-detected stall",
    "rust_kernel: panicked",
];

/// The kernel log from now on.
pub struct Kmsg(Option<File>);

impl Kmsg {
    /// Begins to listen. Without rights to read the log it stays silent.
    pub fn open() -> Self {
        let open = || -> io::Result<File> {
            let mut file = File::options()
                .read(true)
                .custom_flags(libc::O_NONBLOCK)
                .open("/dev/kmsg")?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        Self(open().ok())
    }

    /// The complaints since the last call, with some lines after the first one.
    pub fn complaints(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        for line in self.lines() {
            if (!found.is_empty() && found.len() < 40) || is_complaint(&line) {
                found.push(line);
            }
        }
        found
    }

    /// Asserts that one line since the last call says this.
    pub fn expect(&mut self, text: &str) -> Result<()> {
        if self.0.is_none() {
            return Ok(());
        }
        let lines: Vec<_> = self.lines().collect();
        let saying = lines.iter().filter(|line| line.contains(text)).count();
        ensure!(saying == 1, "not one line says {text:?}: {lines:#?}");
        Ok(())
    }

    /// The lines since the last call.
    fn lines(&mut self) -> impl Iterator<Item = String> + '_ {
        let mut record = [0; 8192];
        std::iter::from_fn(move || loop {
            match self.0.as_mut()?.read(&mut record) {
                Ok(0) => return None,
                Ok(length) => return Some(message(&String::from_utf8_lossy(&record[..length]))),
                // Records were overwritten before we came to read them.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(_) => return None,
            }
        })
    }
}

fn is_complaint(line: &str) -> bool {
    COMPLAINTS.iter().any(|complaint| line.contains(complaint))
}

/// The text of a record: `priority,sequence,time,flags;text`, and dictionary lines after it.
fn message(record: &str) -> String {
    let line = record.lines().next().unwrap_or_default();
    line.split_once(';')
        .map_or(line, |(_, text)| text)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_from_talk() {
        let bad = message("4,12,3456,-;WARNING: CPU: 0 PID: 1 at fs/x.c:1\n SUBSYSTEM=x\n");
        assert_eq!(bad, "WARNING: CPU: 0 PID: 1 at fs/x.c:1");
        assert!(is_complaint(&bad));
        assert!(!is_complaint(&message("6,13,3457,-;repoll: loaded")));
    }
}
