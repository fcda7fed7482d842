// SPDX-License-Identifier: GPL-2.0
//! The counters that repoll-exec shares with the program's processes, and their summary.

use anyhow::{ensure, Context, Result};
use repoll_preload::statistics::{Call, Counters, Outcome};
use std::fmt::Write;
use std::fs::File;
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::Ordering::Relaxed;

/// The counters, in a shared page.
pub struct Shared {
    counters: &'static Counters,
    file: File,
}

impl Shared {
    /// Creates the counters, all zero.
    pub fn new() -> Result<Self> {
        // SAFETY: the name ends in a zero byte.
        let fd = unsafe { libc::memfd_create(c"repoll-exec".as_ptr(), libc::MFD_CLOEXEC) };
        ensure!(fd >= 0, "cannot make a memfd: {}", Error::last_os_error());
        // SAFETY: `fd` is new and belongs to nothing else.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(size_of::<Counters>() as u64)
            .context("cannot make room for the counters")?;
        // SAFETY: new memory, at an address that the kernel chooses.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Counters>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        ensure!(
            address != libc::MAP_FAILED,
            "cannot map the counters: {}",
            Error::last_os_error()
        );
        // SAFETY: the page is never unmapped, and all zeros are valid counters.
        let counters = unsafe { &*address.cast::<Counters>() };
        Ok(Self { counters, file })
    }

    /// The path by which a process opens the file, whatever descriptors it has closed.
    pub fn path(&self) -> String {
        let fd = self.file.as_raw_fd();
        format!("/proc/{}/fd/{fd}", std::process::id())
    }

    /// Describes the calls by outcome, for `--stats`.
    pub fn summary(&self) -> String {
        summary(self.counters)
    }
}

fn summary(counters: &Counters) -> String {
    let mut text = String::new();
    let mut line = |what: &str, outcome: Outcome, of: fn(&Call) -> bool, why: &str| {
        let calls: Vec<String> = Call::ALL
            .into_iter()
            .filter(of)
            .map(|call| (name(call), counters.of(call, outcome)))
            .filter(|&(_, count)| count > 0)
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        if outcome == Outcome::Carried || !calls.is_empty() {
            let calls = if calls.is_empty() {
                "no call".to_owned()
            } else {
                calls.join(", ")
            };
            let _ = writeln!(text, "repoll-exec: {what}: {calls}{why}");
        }
    };
    let programs = match counters.programs.load(Relaxed) {
        0 => " (the library was loaded into no program)".to_owned(),
        1 => String::new(),
        more => format!(" (by {more} programs)"),
    };
    let all = |_: &Call| true;
    line("carried by repoll", Outcome::Carried, all, &programs);
    line(
        "left to the C epoll",
        Outcome::NotOurs,
        all,
        ": the descriptor is not repoll's",
    );
    let error = counters.device_error.load(Relaxed);
    let why = format!(
        ": /dev/repoll can't be opened or used there: {}",
        Error::from_raw_os_error(error)
    );
    let epoll = |call: &Call| call.is_epoll();
    line("left to the C epoll", Outcome::NoDevice, epoll, &why);
    let others = |call: &Call| !call.is_epoll();
    line("left to the kernel", Outcome::NoDevice, others, &why);
    let why = format!(
        ": a seccomp filter was installed there ({} in all)",
        counters.filters.load(Relaxed)
    );
    line("left to the C epoll", Outcome::Filtered, epoll, &why);
    line("left to the kernel", Outcome::Filtered, others, &why);
    line(
        "refused before either",
        Outcome::Refused,
        all,
        ": no such descriptor, or a bad argument",
    );
    let rings = counters.rings.load(Relaxed);
    if rings > 0 {
        let _ = writeln!(
            text,
            "repoll-exec: rings of io_uring refused: {rings} (ENOSYS: a ring knows the C epoll only; --io-uring allows them)"
        );
    }
    text
}

fn name(call: Call) -> &'static str {
    match call {
        Call::Create => "epoll_create",
        Call::Ctl => "epoll_ctl",
        Call::Wait => "epoll_wait",
        Call::Select => "select",
        Call::Poll => "poll",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_without_calls_says_so() {
        assert_eq!(
            summary(&Counters::default()),
            "repoll-exec: carried by repoll: no call (the library was loaded into no program)\n"
        );
    }

    #[test]
    fn refused_rings_have_a_line() {
        let counters = Counters::default();
        assert!(!summary(&counters).contains("io_uring"));
        counters.rings.store(3, Relaxed);
        assert!(summary(&counters).contains("rings of io_uring refused: 3 (ENOSYS"));
    }

    #[test]
    fn the_page_is_found_by_its_path() {
        let shared = Shared::new().expect("a page");
        let length = std::fs::metadata(shared.path()).expect("a file").len();
        assert_eq!(length, size_of::<Counters>() as u64);
        assert_eq!(shared.counters.of(Call::Wait, Outcome::Carried), 0);
    }
}
