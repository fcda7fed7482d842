// SPDX-License-Identifier: MIT OR Apache-2.0
//! The policy of takeover: whose calls of epoll, select and poll the module serves.

use crate::descriptor::descriptor;
use crate::open::{open, OpenError};
use crate::sys::{self, call};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// The device that takes the requests.
pub const TAKEOVER_DEVICE: &str = "/dev/repoll-takeover";

bitflags::bitflags! {
    /// Calls that can be taken over.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct TakeoverCalls: u32 {
        /// `epoll_create(2)`, `epoll_create1(2)`, and all calls on the new instances.
        const EPOLL = sys::REPOLL_TAKEOVER_EPOLL;
        /// `select(2)`, `pselect(2)`.
        const SELECT = sys::REPOLL_TAKEOVER_SELECT;
        /// `poll(2)`, `ppoll(2)`.
        const POLL = sys::REPOLL_TAKEOVER_POLL;
    }
}

bitflags::bitflags! {
    /// Functions of the kernel that can be replaced.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Hooks: u32 {
        /// `do_epoll_create()`.
        const EPOLL_CREATE = 1;
        /// `do_epoll_ctl_file()`.
        const EPOLL_CTL = 1 << 1;
        /// `do_epoll_wait()`.
        const EPOLL_WAIT = 1 << 2;
        /// `epoll_sendevents()`.
        const EPOLL_SENDEVENTS = 1 << 3;
        /// `get_epoll_tfile_raw_ptr()`.
        const EPOLL_TFILE = 1 << 4;
        /// `do_select()`.
        const SELECT = 1 << 5;
        /// `do_sys_poll()`.
        const POLL = 1 << 6;
    }
}

/// The tasks whose calls are taken over.
#[derive(Clone, Copy, Debug)]
pub enum Policy<'a> {
    /// None. Open instances stay served.
    Off,
    /// Those of a cgroup of version 2, of which this is the directory, and of the groups below it.
    Cgroup(BorrowedFd<'a>, TakeoverCalls),
    /// All.
    All(TakeoverCalls),
}

/// The scope of the policy in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeoverMode {
    /// No task.
    Off,
    /// The tasks of the cgroup with this ID, the inode number of its directory.
    Cgroup(u64),
    /// All tasks.
    All,
}

/// The method by which functions are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeoverMeans {
    /// Not at all: the kernel's log says why.
    Unavailable,
    /// The function begins with a jump.
    Jump,
    /// ftrace changes the instruction pointer.
    FtraceOps,
}

/// The origin of the policy in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeoverCause {
    /// A request, or the module's parameter.
    Request,
    /// SysRq-E.
    SysRq,
    /// An oops in the module's code.
    Oops,
    /// The removal of the cgroup that the policy named.
    Removed,
}

/// The policy in force and its effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakeoverStatus {
    /// The tasks concerned.
    pub mode: TakeoverMode,
    /// The calls concerned.
    pub calls: TakeoverCalls,
    /// The functions that are replaced now.
    pub hooked: Hooks,
    /// The method by which functions are replaced.
    pub means: TakeoverMeans,
    /// The origin of the mode.
    pub cause: TakeoverCause,
    /// Open instances that were taken over.
    pub instances: u64,
    /// Instances that were taken over since the module was loaded.
    pub created: u64,
    /// Calls of select and poll that are being served.
    pub running: u64,
}

/// The policy of the machine.
#[derive(Debug)]
pub struct Takeover(OwnedFd);

descriptor!(Takeover, "Takes over a descriptor of [`TAKEOVER_DEVICE`].");

impl Takeover {
    /// Opens [`TAKEOVER_DEVICE`], with close-on-exec set.
    ///
    /// # Errors
    ///
    /// `ENOENT` when the module is not loaded, `EACCES` unless root opens it.
    pub fn open() -> Result<Self, OpenError> {
        open(Path::new(TAKEOVER_DEVICE), 0).map(|file| Self(file.into()))
    }

    /// Replaces the policy. Instances that were taken over stay so until they are closed.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_SYS_ADMIN` in the initial user namespace, `EBUSY` if a function is
    /// replaced by another module or by BPF, `EOPNOTSUPP` if the kernel can't be taken over,
    /// `ECANCELED` if takeover was switched off meanwhile by SysRq-E or an oops,
    /// `EBADF` or `EINVAL` for a descriptor that is no cgroup. The former policy then stays.
    pub fn set(&self, policy: Policy<'_>) -> io::Result<()> {
        let (mode, calls, cgroup_fd) = match policy {
            Policy::Off => (sys::REPOLL_TAKEOVER_OFF, TakeoverCalls::empty(), -1),
            Policy::Cgroup(group, calls) => (sys::REPOLL_TAKEOVER_CGROUP, calls, group.as_raw_fd()),
            Policy::All(calls) => (sys::REPOLL_TAKEOVER_ALL, calls, -1),
        };
        let argument = sys::repoll_takeover {
            mode,
            calls: calls.bits(),
            cgroup_fd,
            flags: 0,
        };
        call(self, argument).map(drop)
    }

    /// Reads the policy and its effects.
    ///
    /// # Errors
    ///
    /// `EPERM`, as [`Takeover::set`].
    pub fn status(&self) -> io::Result<TakeoverStatus> {
        let (_, status) = call(self, sys::repoll_takeover_status::default())?;
        Ok(TakeoverStatus {
            mode: match status.mode {
                sys::REPOLL_TAKEOVER_CGROUP => TakeoverMode::Cgroup(status.cgroup),
                sys::REPOLL_TAKEOVER_ALL => TakeoverMode::All,
                _ => TakeoverMode::Off,
            },
            calls: TakeoverCalls::from_bits_retain(status.calls),
            hooked: Hooks::from_bits_retain(status.hooked),
            means: match status.means {
                sys::REPOLL_TAKEOVER_JUMP => TakeoverMeans::Jump,
                sys::REPOLL_TAKEOVER_FTRACE_OPS => TakeoverMeans::FtraceOps,
                _ => TakeoverMeans::Unavailable,
            },
            cause: match status.cause {
                sys::REPOLL_TAKEOVER_SYSRQ => TakeoverCause::SysRq,
                sys::REPOLL_TAKEOVER_OOPS => TakeoverCause::Oops,
                sys::REPOLL_TAKEOVER_REMOVED => TakeoverCause::Removed,
                _ => TakeoverCause::Request,
            },
            instances: status.instances,
            created: status.created,
            running: status.running,
        })
    }
}
