// SPDX-License-Identifier: GPL-2.0
//! A cgroup for one program whose calls are taken over.
//!
//! All such groups are children of one cgroup, which the policy names. So programs can be taken
//! over side by side, and the last one's end switches takeover off.

use crate::cgroup::{self, Cgroup, ROOT};
use crate::control::{Control, Lock};
use crate::words;
use anyhow::{bail, Context, Result};
use repoll::{Policy, TakeoverCalls, TakeoverMode, TakeoverStatus};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// The parent of the groups, in [`ROOT`].
pub const PARENT: &str = "repoll";

/// A place to run a program in, such that its calls are taken over.
#[derive(Debug)]
pub struct Group {
    control: Control,
    lock: Lock,
    /// `None` if takeover is on for all processes.
    own: Option<Own>,
}

/// A group that was made for the program.
#[derive(Debug)]
struct Own {
    path: PathBuf,
    /// Its file `cgroup.procs`.
    members: File,
}

/// The end of a group.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing is left of it.
    Removed,
    /// Processes go on running in it, and are still taken over.
    Populated(PathBuf),
}

/// The step from the present policy to one that covers a group below the parent.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// All processes are taken over: no group is needed.
    RunOnly,
    /// The policy covers the group.
    Keep,
    /// The policy must be replaced.
    Set(TakeoverCalls),
}

impl Group {
    /// Makes a group, and switches takeover on for it if it is off. Until the program has entered
    /// the group, no other one begins or ends.
    ///
    /// # Errors
    ///
    /// When takeover is on for another cgroup, or without some of the calls for all processes; when
    /// this machine has no cgroup v2; when the module refuses.
    pub fn begin(control: Control, calls: TakeoverCalls) -> Result<Self> {
        let lock = Lock::take()?;
        let status = control.status()?;
        let parent = Path::new(ROOT).join(PARENT);
        // The parent exists in any case if the policy names it.
        let id = Cgroup::open(&parent).map(|parent| parent.id()).ok();
        let step = step(&status, id, calls)?;
        if step == Step::RunOnly {
            lock.release()?;
            return Ok(Self {
                control,
                lock,
                own: None,
            });
        }
        cgroup::check_version()?;
        make(&parent)?;
        let begun = own(&parent).and_then(|own| {
            if let Step::Set(calls) = step {
                let parent = Cgroup::open(&parent)?;
                let set = control.set(Policy::Cgroup(parent.as_fd(), calls));
                set.inspect_err(|_| drop(fs::remove_dir(&own.path)))?;
            }
            Ok(own)
        });
        let begun = begun.inspect_err(|_| {
            // It fails if there are other groups.
            let _ = fs::remove_dir(&parent);
        });
        Ok(Self {
            control,
            lock,
            own: Some(begun?),
        })
    }

    /// Moves the calling process into the group. To be called once, by the forked process that then
    /// executes the program. It allocates nothing.
    ///
    /// # Errors
    ///
    /// When the group does not take the process.
    pub fn enter(&self) -> io::Result<()> {
        if let Some(own) = &self.own {
            rustix::io::write(&own.members, b"0")?;
            self.lock.release()?;
        }
        Ok(())
    }

    /// Ends the group after the program's end. Switches takeover off if no other group is left.
    ///
    /// # Errors
    ///
    /// When the module refuses.
    pub fn end(&self) -> Result<End> {
        let Some(own) = &self.own else {
            return Ok(End::Removed);
        };
        self.lock.take_again()?;
        if !removed(&own.path)? {
            return Ok(End::Populated(own.path.clone()));
        }
        let parent = Path::new(ROOT).join(PARENT);
        if sweep(&parent) > 0 {
            return Ok(End::Removed);
        }
        // Somebody may have removed the parent, or replaced the policy.
        if let Ok(opened) = Cgroup::open(&parent) {
            if self.control.status()?.mode == TakeoverMode::Cgroup(opened.id()) {
                self.control.set(Policy::Off)?;
            }
            drop(opened);
            let _ = fs::remove_dir(&parent);
        }
        Ok(End::Removed)
    }

    /// The number of epoll instances that have been taken over since the module was loaded.
    ///
    /// # Errors
    ///
    /// None is expected.
    pub fn created(&self) -> Result<u64> {
        Ok(self.control.status()?.created)
    }

    /// The processes whose instances [`Group::created`] counts now.
    pub fn scope(&self) -> String {
        match &self.own {
            None => "all processes".to_owned(),
            Some(_) => format!("the programs in {ROOT}/{PARENT}"),
        }
    }
}

fn step(status: &TakeoverStatus, parent: Option<u64>, calls: TakeoverCalls) -> Result<Step> {
    let missing = calls - status.calls;
    Ok(match status.mode {
        TakeoverMode::Off => Step::Set(calls),
        TakeoverMode::All if missing.is_empty() => Step::RunOnly,
        TakeoverMode::All => bail!(
            "takeover is on for all processes without {}: add it with repoll-takeover on {}",
            words::calls(missing).join(" and "),
            options(calls | status.calls).join(" ")
        ),
        TakeoverMode::Cgroup(id) if Some(id) == parent && missing.is_empty() => Step::Keep,
        TakeoverMode::Cgroup(id) if Some(id) == parent => Step::Set(calls | status.calls),
        TakeoverMode::Cgroup(id) => bail!(
            "takeover is on for {}: run the program there, or end that with repoll-takeover off",
            words::cgroup_by_id(id)
        ),
    })
}

/// The options by which `repoll-takeover on` takes calls over.
fn options(calls: TakeoverCalls) -> Vec<String> {
    let names = words::calls(calls - TakeoverCalls::EPOLL);
    names.iter().map(|name| format!("--{name}")).collect()
}

/// Makes a directory, unless it is there.
fn make(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make the cgroup {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Makes a group below the parent, named by the ID of this process.
fn own(parent: &Path) -> Result<Own> {
    let process = std::process::id();
    let mut path = parent.join(process.to_string());
    for number in 1.. {
        match fs::create_dir(&path) {
            // Processes of an earlier program are still in it.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                path = parent.join(format!("{process}-{number}"));
            }
            made => {
                made.with_context(|| format!("cannot make the cgroup {}", path.display()))?;
                break;
            }
        }
    }
    let members = path.join("cgroup.procs");
    let members = OpenOptions::new()
        .write(true)
        .open(&members)
        .with_context(|| format!("cannot open {}", members.display()))
        .inspect_err(|_| drop(fs::remove_dir(&path)))?;
    Ok(Own { path, members })
}

/// Removes a group; `false` if there are processes in it. A process that has just ended keeps its
/// group for a moment.
fn removed(path: &Path) -> Result<bool> {
    const PAUSE: Duration = Duration::from_millis(10);
    const PAUSES: u32 = 50;
    for _ in 0..PAUSES {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => return Ok(true),
        }
        let members = fs::read_to_string(path.join("cgroup.procs"));
        // The program may have made groups of its own below this one.
        let has_groups = !inside(path).is_empty();
        if has_groups || members.is_ok_and(|members| !members.is_empty()) {
            return Ok(false);
        }
        sleep(PAUSE);
    }
    Ok(false)
}

/// Removes the groups that killed commands have left, if no process is in them. To be called with
/// the lock held.
pub fn remove_left(_lock: &Lock) {
    let parent = Path::new(ROOT).join(PARENT);
    if sweep(&parent) == 0 {
        // It fails if the parent is not there.
        let _ = fs::remove_dir(parent);
    }
}

/// Removes the groups below the parent whose last process has ended. Returns the number of those
/// that are left.
fn sweep(parent: &Path) -> usize {
    let left = inside(parent)
        .into_iter()
        .filter(|group| fs::remove_dir(group).is_err());
    left.count()
}

/// The directories in a directory.
fn inside(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::status_of;

    const EPOLL: TakeoverCalls = TakeoverCalls::EPOLL;
    const BOTH: TakeoverCalls = TakeoverCalls::EPOLL.union(TakeoverCalls::POLL);
    const OURS: Option<u64> = Some(7);
    const OTHER: u64 = u64::MAX;

    fn step_from(mode: TakeoverMode, taken: TakeoverCalls, calls: TakeoverCalls) -> Result<Step> {
        step(&status_of(mode, taken), OURS, calls)
    }

    fn error(result: Result<Step>) -> String {
        result.expect_err("an error").to_string()
    }

    #[test]
    fn takeover_that_is_off_is_switched_on() {
        let step = step_from(TakeoverMode::Off, TakeoverCalls::empty(), BOTH);
        assert_eq!(step.expect("a step"), Step::Set(BOTH));
    }

    #[test]
    fn takeover_of_all_processes_is_enough() {
        let step = step_from(TakeoverMode::All, BOTH, EPOLL);
        assert_eq!(step.expect("a step"), Step::RunOnly);
        assert_eq!(
            error(step_from(TakeoverMode::All, EPOLL, BOTH)),
            "takeover is on for all processes without poll: \
             add it with repoll-takeover on --poll"
        );
    }

    #[test]
    fn programs_share_the_parent_and_its_calls() {
        let ours = TakeoverMode::Cgroup(7);
        assert_eq!(step_from(ours, BOTH, EPOLL).expect("a step"), Step::Keep);
        let select = TakeoverCalls::SELECT;
        assert_eq!(
            step_from(ours, BOTH, select).expect("a step"),
            Step::Set(BOTH | select)
        );
    }

    #[test]
    fn takeover_of_another_cgroup_is_an_error() {
        let text = error(step_from(TakeoverMode::Cgroup(OTHER), BOTH, EPOLL));
        assert!(text.starts_with("takeover is on for a cgroup"), "{text}");
        assert!(text.ends_with("end that with repoll-takeover off"));
    }

    #[test]
    fn empty_groups_are_swept() {
        let root = std::env::temp_dir().join(format!("repoll-sweep-{}", std::process::id()));
        for folder in ["empty", "used/inside", "busy/inside"] {
            fs::create_dir_all(root.join(folder)).expect("a directory");
        }
        assert_eq!(sweep(&root), 2);
        assert!(!root.join("empty").exists() && root.join("used").exists());
        fs::remove_dir_all(&root).expect("it is ours");
    }
}
