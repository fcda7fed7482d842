// SPDX-License-Identifier: GPL-2.0
//! Reads and sets the policy, with errors that name their remedy.

use crate::{ftrace, words};
use anyhow::{anyhow, Context, Error, Result};
use repoll::{Hooks, Policy, Takeover, TakeoverCalls, TakeoverStatus, DEVICE, TAKEOVER_DEVICE};
use rustix::fs::{flock, FlockOperation};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file whose lock the commands hold while they change the policy.
const LOCK: &str = "/run/repoll-takeover.lock";

/// The policy of the machine.
#[derive(Debug)]
pub struct Control(Takeover);

impl Control {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// When the module is not loaded, or the caller is not root.
    pub fn open() -> Result<Self> {
        let refused = |error: repoll::OpenError| {
            let has_device = Path::new(DEVICE).exists();
            anyhow!(explain_open(&error.into_inner(), has_device))
        };
        Takeover::open().map(Self).map_err(refused)
    }

    /// Reads the policy and its effects.
    ///
    /// # Errors
    ///
    /// When the caller is not root of the initial user namespace.
    pub fn status(&self) -> Result<TakeoverStatus> {
        self.0
            .status()
            .map_err(|error| explain(&error, String::new))
    }

    /// Replaces the policy.
    ///
    /// # Errors
    ///
    /// When the module refuses; the former policy stays.
    pub fn set(&self, policy: Policy<'_>) -> Result<()> {
        self.try_set(policy).map_err(|error| {
            let ours = self
                .0
                .status()
                .map_or(Hooks::empty(), |status| status.hooked);
            let ours = words::functions(ours);
            explain(&error, || {
                let mut functions = words::functions_for(calls(policy));
                functions.retain(|function| !ours.contains(function));
                ftrace::obstacle(&functions)
            })
        })
    }

    /// Replaces the policy. An error keeps its number.
    ///
    /// # Errors
    ///
    /// Those of [`Takeover::set`].
    pub fn try_set(&self, policy: Policy<'_>) -> io::Result<()> {
        self.0.set(policy)
    }
}

fn calls(policy: Policy<'_>) -> TakeoverCalls {
    match policy {
        Policy::Off => TakeoverCalls::empty(),
        Policy::Cgroup(_, calls) | Policy::All(calls) => calls,
    }
}

const NOT_ROOT: &str =
    "takeover is for root of the initial user namespace: run this as root, outside of a container";
const NO_TAKEOVER: &str = "the loaded module has no takeover: load the module of this version";

fn explain_open(error: &io::Error, has_repoll: bool) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) if has_repoll => NO_TAKEOVER.to_owned(),
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            "the module is not loaded: load it with modprobe repoll, or insmod".to_owned()
        }
        Some(libc::EACCES | libc::EPERM) => NOT_ROOT.to_owned(),
        _ => format!("cannot open {TAKEOVER_DEVICE}: {error}"),
    }
}

fn explain_lock(error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => anyhow!(NOT_ROOT),
        _ => anyhow!("cannot open {LOCK}: {error}"),
    }
}

/// A refused request. `busy` finds out why a function can't be replaced.
fn explain(error: &io::Error, busy: impl FnOnce() -> String) -> Error {
    anyhow!(match error.raw_os_error() {
        Some(libc::EPERM) => NOT_ROOT.to_owned(),
        Some(libc::ENOTTY) => NO_TAKEOVER.to_owned(),
        Some(libc::EBUSY) => busy(),
        Some(libc::ECANCELED) =>
            "takeover was switched off meanwhile, by SysRq-E or an oops; dmesg \
                                  says which. After SysRq-E try again"
                .to_owned(),
        Some(libc::EOPNOTSUPP) => "this kernel can't be taken over; dmesg says why. \
                                   repoll-exec without --takeover works on it"
            .to_owned(),
        _ => format!("the module refuses the policy: {error}; dmesg may say more"),
    })
}

/// The lock that the commands hold while they change the policy. Released when dropped.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the lock; waits for it.
    ///
    /// # Errors
    ///
    /// When the file can't be made.
    pub fn take() -> Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(LOCK)
            .map_err(|error| explain_lock(&error))?;
        let lock = Self(file);
        lock.take_again()?;
        Ok(lock)
    }

    /// Takes the lock, unless it is held.
    ///
    /// # Errors
    ///
    /// None is expected.
    pub fn take_again(&self) -> Result<()> {
        rustix::io::retry_on_intr(|| flock(&self.0, FlockOperation::LockExclusive))
            .with_context(|| format!("cannot lock {LOCK}"))
    }

    /// Releases the lock, also for the process that has forked this one. It allocates nothing.
    ///
    /// # Errors
    ///
    /// None is expected.
    pub fn release(&self) -> io::Result<()> {
        Ok(flock(&self.0, FlockOperation::Unlock)?)
    }
}

/// The status of a policy in force that nothing has come of yet.
#[cfg(test)]
pub fn status_of(mode: repoll::TakeoverMode, calls: TakeoverCalls) -> TakeoverStatus {
    TakeoverStatus {
        mode,
        calls,
        hooked: repoll::Hooks::empty(),
        means: repoll::TakeoverMeans::Jump,
        cause: repoll::TakeoverCause::Request,
        instances: 0,
        created: 0,
        running: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(number: i32) -> String {
        let error = io::Error::from_raw_os_error(number);
        explain(&error, || "busy".to_owned()).to_string()
    }

    #[test]
    fn each_refusal_names_its_remedy() {
        assert!(refused(libc::EPERM).contains("run this as root"));
        assert!(refused(libc::ENOTTY).contains("load the module of this version"));
        assert!(refused(libc::EOPNOTSUPP).contains("dmesg says why"));
        assert!(refused(libc::ECANCELED).contains("try again"));
        assert_eq!(refused(libc::EBUSY), "busy");
        assert!(refused(libc::ENOMEM).contains("os error 12"));
    }

    #[test]
    fn a_missing_device_is_a_missing_module_or_an_older_one() {
        let open =
            |number, has_repoll| explain_open(&io::Error::from_raw_os_error(number), has_repoll);
        assert!(open(libc::ENOENT, false).contains("modprobe repoll"));
        assert_eq!(open(libc::ENOENT, true), NO_TAKEOVER);
        assert_eq!(open(libc::EACCES, true), NOT_ROOT);
        assert!(open(libc::EMFILE, true).contains(TAKEOVER_DEVICE));
        let lock = |number| explain_lock(&io::Error::from_raw_os_error(number)).to_string();
        assert_eq!(lock(libc::EACCES), NOT_ROOT);
        assert!(lock(libc::EROFS).contains(LOCK));
    }
}
