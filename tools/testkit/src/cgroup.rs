// SPDX-License-Identifier: GPL-2.0
//! Control groups of version 2.

use crate::skip::skip;
use anyhow::{bail, Context, Result};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The mount point.
const ROOT: &str = "/sys/fs/cgroup";

/// A control group. It is removed in the end, and what is left in it is killed.
pub struct Group {
    path: PathBuf,
    directory: File,
}

impl Group {
    /// Makes one below the root, with these controllers.
    pub fn new(controllers: &[&str]) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let root = Path::new(ROOT);
        let Ok(there) = fs::read_to_string(root.join("cgroup.controllers")) else {
            return skip(format!("no cgroup2 file system at {ROOT}"));
        };
        for controller in controllers {
            if !there.split_whitespace().any(|name| name == *controller) {
                return skip(format!("the kernel has no {controller} controller"));
            }
            fs::write(
                root.join("cgroup.subtree_control"),
                format!("+{controller}"),
            )?;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self::at(root.join(format!("repoll-tests-{}-{number}", std::process::id())))
    }

    /// Makes one below this one.
    pub fn child(&self) -> Result<Self> {
        Self::at(self.path.join("below"))
    }

    fn at(path: PathBuf) -> Result<Self> {
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        let directory = File::open(&path)?;
        Ok(Self { path, directory })
    }

    /// Moves a process here; 0 is the calling one.
    pub fn enter(&self, process: i32) -> io::Result<()> {
        self.write("cgroup.procs", &process.to_string())
    }

    /// Reads one of its files.
    pub fn read(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.path.join(name)).with_context(|| name.to_owned())
    }

    /// Writes to one of its files.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::write(self.path.join(name), text)
    }

    /// Freezes or thaws, and waits until it is so.
    pub fn freeze(&self, frozen: bool, limit: Duration) -> Result<()> {
        let wanted = format!("frozen {}", u8::from(frozen));
        self.write("cgroup.freeze", &wanted["frozen ".len()..])?;
        let end = Instant::now() + limit;
        while !self.read("cgroup.events")?.contains(&wanted) {
            if Instant::now() > end {
                bail!("the group does not become: {wanted}");
            }
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Moves a process, 0 for the calling one, to the group at the root.
pub fn enter_root(process: i32) -> io::Result<()> {
    fs::write(Path::new(ROOT).join("cgroup.procs"), process.to_string())
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that has just ended may still be on its way out.
        let _ = self.write("cgroup.kill", "1");
        let end = Instant::now() + Duration::from_secs(20);
        while fs::remove_dir(&self.path).is_err() && Instant::now() < end {
            sleep(Duration::from_millis(1));
        }
    }
}
