// SPDX-License-Identifier: GPL-2.0
//! The epolls of all processes.
//!
//! `/proc/PID/fd` shows an instance of repoll and a C epoll alike. Only an instance of repoll knows
//! [`Instance::nop`], so each descriptor is copied by `pidfd_getfd(2)`, asked, and closed at once.

use crate::unit;
use anyhow::{Context, Result};
use repoll::Instance;
use rustix::process::{pidfd_getfd, pidfd_open, Pid, PidfdFlags, PidfdGetfdFlags};
use serde::Serialize;
use std::cmp::Ordering;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

const LINK: &str = "anon_inode:[eventpoll]";

/// The implementation of an epoll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An instance of repoll.
    Repoll,
    /// The kernel's own epoll.
    C,
    /// Its process can't be asked.
    Unknown,
}

/// An epoll, and the descriptors of it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Epoll {
    /// Its implementation.
    pub kind: Kind,
    /// The number of descriptors that it watches.
    pub watches: usize,
    /// At least one.
    pub holders: Vec<Holder>,
}

/// A descriptor of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The process.
    pub pid: i32,
    /// Its name.
    pub command: String,
    /// The number of the descriptor.
    pub fd: RawFd,
    /// The unit of systemd that the process belongs to.
    pub unit: Option<String>,
}

/// The epolls of all processes, by process. An epoll with several descriptors is listed once.
///
/// Processes and descriptors that vanish during the scan are left out. A thread's own table of
/// descriptors (`CLONE_FILES`) is not seen.
///
/// # Errors
///
/// When `/proc` can't be read.
pub fn epolls() -> Result<Vec<Epoll>> {
    let mut sorted = Vec::new();
    for process in processes()? {
        for fd in descriptors(process.pid, |link| link == LINK) {
            if let Some((kind, file)) = process.kind_of(fd) {
                let holder = process.holder(fd);
                place(
                    &mut sorted,
                    holder,
                    kind,
                    watches(process.pid, fd),
                    |other| order(file.as_ref(), fd, process.pid, other),
                );
            }
        }
    }
    sorted.sort_by_key(|epoll: &Epoll| (epoll.holders[0].pid, epoll.holders[0].fd));
    Ok(sorted)
}

/// The descriptors of the module's devices in all processes but this one.
///
/// # Errors
///
/// When `/proc` can't be read.
pub fn devices() -> Result<Vec<Holder>> {
    let mut found = Vec::new();
    for process in processes()? {
        let fds = descriptors(process.pid, |link| link.starts_with("/dev/repoll"));
        found.extend(fds.into_iter().map(|fd| process.holder(fd)));
    }
    Ok(found)
}

/// A process, and what its descriptors have in common.
struct Process {
    pid: i32,
    command: String,
    unit: Option<String>,
}

impl Process {
    fn holder(&self, fd: RawFd) -> Holder {
        Holder {
            pid: self.pid,
            command: self.command.clone(),
            fd,
            unit: self.unit.clone(),
        }
    }

    /// The kind of an epoll, and a copy of the descriptor. `None` if it has vanished.
    fn kind_of(&self, fd: RawFd) -> Option<(Kind, Option<OwnedFd>)> {
        let pid = Pid::from_raw(self.pid)?;
        let copied = pidfd_open(pid, PidfdFlags::empty())
            .and_then(|process| pidfd_getfd(process, fd, PidfdGetfdFlags::empty()));
        let instance = match copied {
            Ok(copy) => Instance::from(copy),
            Err(rustix::io::Errno::PERM | rustix::io::Errno::NOSYS) => {
                return Some((Kind::Unknown, None))
            }
            Err(_) => return None,
        };
        let kind = match instance.nop() {
            Ok(()) => Kind::Repoll,
            Err(_) => Kind::C,
        };
        Some((kind, Some(instance.into())))
    }
}

/// All processes but this one, by number.
fn processes() -> Result<Vec<Process>> {
    let mut pids: Vec<i32> = fs::read_dir("/proc")
        .context("cannot read /proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| pid != std::process::id() as i32)
        .collect();
    pids.sort_unstable();
    let text = |pid, file| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    let process = |pid| {
        Some(Process {
            pid,
            command: text(pid, "comm")?.trim_end().to_owned(),
            unit: unit::unit(unit::cgroup(&text(pid, "cgroup")?)),
        })
    };
    Ok(pids.into_iter().filter_map(process).collect())
}

/// The descriptors of a process whose link is wanted, by number.
fn descriptors(pid: i32, wanted: impl Fn(&str) -> bool) -> Vec<RawFd> {
    let folder = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(Path::new(&folder)).into_iter().flatten();
    let matching = entries.flatten().filter_map(|entry| {
        let link = fs::read_link(entry.path()).ok()?;
        wanted(link.to_str()?).then(|| entry.file_name().to_str()?.parse().ok())?
    });
    let mut found: Vec<RawFd> = matching.collect();
    found.sort_unstable();
    found
}

fn watches(pid: i32, fd: RawFd) -> usize {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    info.lines().filter(|line| line.starts_with("tfd:")).count()
}

/// Adds a descriptor to its epoll in a sorted list, or puts a new epoll into the list. `order` is
/// the order of an epoll in the list relative to the one of the descriptor.
fn place(
    sorted: &mut Vec<Epoll>,
    holder: Holder,
    kind: Kind,
    watches: usize,
    order: impl Fn(&Holder) -> Ordering,
) {
    match sorted.binary_search_by(|epoll| order(&epoll.holders[0])) {
        Ok(at) => sorted[at].holders.push(holder),
        Err(at) => sorted.insert(
            at,
            Epoll {
                kind,
                watches,
                holders: vec![holder],
            },
        ),
    }
}

/// The order of another process's file relative to this one in the kernel's memory, from `kcmp(2)`;
/// equal for the same file. If that fails, the files count as different.
fn order(copy: Option<&OwnedFd>, fd: RawFd, pid: i32, other: &Holder) -> Ordering {
    // A copy is still the same file if the process has meanwhile replaced the descriptor.
    let (pid, fd) = match copy {
        Some(copy) => (std::process::id() as i32, copy.as_fd().as_raw_fd()),
        None => (pid, fd),
    };
    match compare_files((other.pid, other.fd), (pid, fd)) {
        0 => Ordering::Equal,
        1 => Ordering::Less,
        _ => Ordering::Greater,
    }
}

/// `kcmp(2)` of two descriptors: 0 for the same file, 1 for less, 2 for greater, -1 for an error.
fn compare_files(first: (i32, RawFd), second: (i32, RawFd)) -> i64 {
    /// `KCMP_FILE` of `<linux/kcmp.h>`.
    const FILE: i32 = 0;
    // SAFETY: the call takes only numbers.
    unsafe { libc::syscall(libc::SYS_kcmp, first.0, second.0, FILE, first.1, second.1) as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::epoll;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;
    use std::process::{Child, Command, Stdio};

    fn epoll() -> OwnedFd {
        epoll::create(epoll::CreateFlags::empty()).expect("an epoll")
    }

    /// A child that inherits all descriptors without close-on-exec.
    struct Heir(Child);

    impl Heir {
        fn new() -> Self {
            let mut cat = Command::new("cat");
            let mut child = cat
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("cat runs");
            // After an answer it has been executed.
            let mut line = String::new();
            let stdin = child.stdin.as_mut().expect("a pipe");
            stdin.write_all(b"\n").expect("cat reads");
            let stdout = child.stdout.as_mut().expect("a pipe");
            BufReader::new(stdout)
                .read_line(&mut line)
                .expect("cat writes");
            Self(child)
        }
    }

    impl Drop for Heir {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_childs_epolls_are_found_once_each_with_their_watches() {
        let epolls: Vec<_> = (0..8).map(|_| epoll()).collect();
        let (reader, writer) = UnixStream::pair().expect("sockets");
        for socket in [&reader, &writer] {
            let data = epoll::EventData::new_u64(0);
            epoll::add(&epolls[0], socket, data, epoll::EventFlags::IN).expect("it is watched");
        }
        let copy = |fd| rustix::io::dup(fd).expect("a descriptor");
        let copies: Vec<_> = epolls.iter().map(copy).collect();
        let heir = Heir::new();
        let pid = heir.0.id() as i32;
        let mut found = super::epolls().expect("/proc is there");
        found.retain(|epoll| epoll.holders[0].pid == pid);
        let fds: Vec<Vec<_>> = found
            .iter()
            .map(|epoll| epoll.holders.iter().map(|holder| holder.fd).collect())
            .collect();
        let pair =
            |(first, second): (&OwnedFd, &OwnedFd)| vec![first.as_raw_fd(), second.as_raw_fd()];
        assert_eq!(fds, Vec::from_iter(epolls.iter().zip(&copies).map(pair)));
        assert_eq!((found[0].watches, found[1].watches), (2, 0));
        assert_eq!(found[0].kind, Kind::C);
        assert_eq!(found[0].holders[0].command, "cat");
        // The scan holds no file.
        let own = descriptors(std::process::id() as i32, |link| link == LINK);
        assert_eq!(own.len(), epolls.len() + copies.len());
    }

    fn holder(pid: i32) -> Holder {
        Holder {
            pid,
            command: String::new(),
            fd: 3,
            unit: None,
        }
    }

    #[test]
    fn equal_files_are_one_epoll() {
        let mut sorted = Vec::new();
        // The file of each process.
        let files = [0, 5, 3, 5, 1, 3];
        for pid in 1..files.len() {
            place(&mut sorted, holder(pid as i32), Kind::C, pid, |other| {
                files[other.pid as usize].cmp(&files[pid])
            });
        }
        let pids: Vec<Vec<_>> = sorted
            .iter()
            .map(|epoll| epoll.holders.iter().map(|holder| holder.pid).collect())
            .collect();
        assert_eq!(pids, [vec![4], vec![2, 5], vec![1, 3]]);
    }

    #[test]
    fn vanished_processes_are_no_error() {
        let gone = Process {
            pid: i32::MAX,
            command: String::new(),
            unit: None,
        };
        assert!(gone.kind_of(3).is_none());
        assert!(descriptors(i32::MAX, |_| true).is_empty());
        assert_eq!(watches(i32::MAX, 3), 0);
    }
}
