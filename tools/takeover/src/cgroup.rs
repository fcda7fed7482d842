// SPDX-License-Identifier: GPL-2.0
//! Cgroups of version 2.

use anyhow::{bail, Context, Result};
use rustix::fs::{fstatfs, statfs};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The directory at which the hierarchy is mounted.
pub const ROOT: &str = "/sys/fs/cgroup";

/// The type of the file system: `CGROUP2_SUPER_MAGIC` of `<linux/magic.h>`.
const VERSION_2: u64 = 0x6367_7270;

/// An open directory of a cgroup.
#[derive(Debug)]
pub struct Cgroup {
    directory: File,
    path: PathBuf,
    id: u64,
}

impl Cgroup {
    /// Opens a cgroup. A relative path begins at [`ROOT`].
    ///
    /// # Errors
    ///
    /// When this is no machine with cgroup v2, or there is no such cgroup.
    pub fn open(path: &Path) -> Result<Self> {
        check_version()?;
        let path = Path::new(ROOT).join(path);
        let directory = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound && !path.starts_with(ROOT) => bail!(
                "{}: no such directory: give the cgroup's path relative to {ROOT}, or with it",
                path.display()
            ),
            Err(error) if error.kind() == ErrorKind::NotFound => bail!(
                "{}: no such cgroup: make it first (mkdir {0})",
                path.display()
            ),
            result => result.with_context(|| format!("cannot open {}", path.display()))?,
        };
        let is_cgroup =
            directory.metadata()?.is_dir() && fstatfs(&directory)?.f_type as u64 == VERSION_2;
        if !is_cgroup {
            bail!(
                "{}: not a cgroup (version 2): give the path of a directory in {ROOT}",
                path.display()
            );
        }
        let id = directory.metadata()?.ino();
        Ok(Self {
            directory,
            path,
            id,
        })
    }

    /// The cgroup's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The cgroup's ID: the inode number of its directory.
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Checks that [`ROOT`] is a hierarchy of cgroup v2.
///
/// # Errors
///
/// When it is not; the message says how to get one.
pub fn check_version() -> Result<()> {
    check_version_at(Path::new(ROOT))
}

fn check_version_at(root: &Path) -> Result<()> {
    if statfs(root).is_ok_and(|fs| fs.f_type as u64 == VERSION_2) {
        return Ok(());
    }
    let root = root.display();
    if Path::new("/run/systemd/system").exists() {
        bail!("{root} is not cgroup v2: boot with systemd.unified_cgroup_hierarchy=1");
    }
    bail!("{root} is not cgroup v2: mount it (mount -t cgroup2 cgroup2 {root})")
}

/// The path of the cgroup with an ID, if it exists. Walks all cgroups.
pub fn path_of(id: u64) -> Option<PathBuf> {
    check_version().ok()?;
    let root = Path::new(ROOT);
    if fs::metadata(root).is_ok_and(|root| root.ino() == id) {
        return Some(root.to_owned());
    }
    find(root, id)
}

/// The directory below `folder` with an inode number.
fn find(folder: &Path, inode: u64) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // A cgroup that is removed meanwhile has nothing below it.
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        let inside = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        for entry in inside {
            if entry.ino() == inode {
                return Some(entry.path());
            }
            folders.push(entry.path());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_system_is_no_hierarchy() {
        let error = check_version_at(Path::new("/proc")).expect_err("procfs");
        assert!(error.to_string().starts_with("/proc is not cgroup v2: "));
    }

    #[test]
    fn directories_are_found_by_inode_at_any_depth() {
        let root = std::env::temp_dir().join(format!("repoll-takeover-{}", std::process::id()));
        let deep = root.join("a/b/c");
        fs::create_dir_all(&deep).expect("a directory");
        fs::create_dir_all(root.join("d")).expect("a directory");
        let inode = fs::metadata(&deep).expect("it is there").ino();
        assert_eq!(find(&root, inode), Some(deep));
        assert_eq!(find(&root, 0), None);
        fs::remove_dir_all(&root).expect("it is ours");
    }
}
