// SPDX-License-Identifier: GPL-2.0
//! Leaves the template, an instance of repoll, to the program: see [`repoll_preload::template`].

use anyhow::{ensure, Context, Result};
use repoll_preload::template::{is_instance, DEVICE, HIGHEST, VARIABLE};
use std::env;
use std::fs::OpenOptions;
use std::io::{Error, Result as IoResult};
use std::os::fd::{AsRawFd, RawFd};

/// Opens the template, for the program to inherit, and names it in the environment.
pub fn leave() -> Result<()> {
    let path = DEVICE.to_string_lossy();
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path.as_ref())
        .with_context(|| format!("cannot open {path} (is the module repoll loaded?)"))?;
    ensure!(
        is_instance(device.as_raw_fd()),
        "{path} is something else than repoll"
    );
    let template = out_of_the_way(device.as_raw_fd()).context("cannot duplicate a descriptor")?;
    env::set_var(VARIABLE.to_string_lossy().as_ref(), template.to_string());
    Ok(())
}

/// Duplicates `fd` to a high number, without close-on-exec: if possible to the first one that the
/// program itself can't get, because its limit is lower.
fn out_of_the_way(fd: RawFd) -> IoResult<RawFd> {
    let limit = limit()?;
    if limit.rlim_cur > HIGHEST as libc::rlim_t {
        return duplicate(fd, HIGHEST);
    }
    let soft = limit.rlim_cur as RawFd;
    let raised = libc::rlimit {
        rlim_cur: limit.rlim_cur + 1,
        ..limit
    };
    if limit.rlim_max > limit.rlim_cur && set_limit(&raised).is_ok() {
        let duplicated = duplicate(fd, soft);
        set_limit(&limit)?;
        if duplicated.is_ok() {
            return duplicated;
        }
    }
    duplicate(fd, soft - 1).or_else(|_| duplicate(fd, fd))
}

fn duplicate(fd: RawFd, at_least: RawFd) -> IoResult<RawFd> {
    // SAFETY: takes and returns a number.
    check(unsafe { libc::fcntl(fd, libc::F_DUPFD, at_least) })
}

fn limit() -> IoResult<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is ours.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    Ok(limit)
}

fn set_limit(limit: &libc::rlimit) -> IoResult<()> {
    // SAFETY: the structure is only read.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) }).map(drop)
}

fn check(result: i32) -> IoResult<i32> {
    if result < 0 {
        return Err(Error::last_os_error());
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both in one: the limit is the process's.
    #[test]
    fn duplicates_lie_out_of_the_way() {
        let file = std::fs::File::open("/dev/null").expect("there is a /dev/null");
        let before = limit().expect("the limit");
        for soft in [256, 8192] {
            let lowered = libc::rlimit {
                rlim_cur: soft,
                ..before
            };
            if before.rlim_max <= soft || set_limit(&lowered).is_err() {
                continue;
            }
            let found = out_of_the_way(file.as_raw_fd()).expect("a number");
            assert!(found >= HIGHEST.min(soft as RawFd), "{found} of {soft}");
            assert_eq!(limit().expect("the limit").rlim_cur, soft);
            // SAFETY: takes a number; the descriptor is ours.
            assert_eq!(unsafe { libc::fcntl(found, libc::F_GETFD) }, 0);
            // SAFETY: the descriptor is ours.
            unsafe { libc::close(found) };
        }
        set_limit(&before).expect("the limit as before");
    }
}
