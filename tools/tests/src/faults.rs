// SPDX-License-Identifier: GPL-2.0
//! Fault injection: each allocation and each copy of an operation fails once.
//!
//! The kernel counts them for the calling thread, and lets the n-th fail: allocations of slab
//! objects and of pages, and copies from and to user space.

use crate::support::open_descriptors;
use anyhow::{bail, ensure, Context, Result};
use repoll_testkit::skip::skip;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

/// The faults of the calling thread.
pub struct Faults(File);

/// More points where an operation may fail than there are.
const END: usize = 2000;

impl Faults {
    /// Sets the kernel up; skips the test where it injects no faults.
    pub fn new() -> Result<Self> {
        let Ok(nth) = File::options()
            .read(true)
            .write(true)
            .open("/proc/thread-self/fail-nth")
        else {
            return skip("the kernel injects no faults: it is not the debug kernel");
        };
        // Allocations that may sleep fail too, and none is reported to the kernel log. Pages for
        // user space, which are highmem, are let alone.
        for (kind, setting, value) in [
            ("failslab", "ignore-gfp-wait", "N"),
            ("failslab", "verbose", "0"),
            ("fail_page_alloc", "ignore-gfp-wait", "N"),
            ("fail_page_alloc", "min-order", "0"),
            ("fail_page_alloc", "verbose", "0"),
            ("fail_usercopy", "verbose", "0"),
        ] {
            let path = format!("/sys/kernel/debug/{kind}/{setting}");
            fs::write(&path, value).with_context(|| path.clone())?;
        }
        Ok(Self(nth))
    }

    /// The n-th from now on fails.
    fn arm(&self, n: usize) -> Result<()> {
        self.0.write_all_at(n.to_string().as_bytes(), 0)?;
        Ok(())
    }

    /// Disarms; returns whether a point has failed.
    fn disarm(&self) -> bool {
        let mut left = [0; 16];
        // Reading copies to user space, which may be what fails: then nothing else has.
        let injected = match self.0.read_at(&mut left, 0) {
            Ok(length) => left[..length].first() == Some(&b'0'),
            Err(_) => false,
        };
        // The same.
        while self.0.write_at(b"0", 0).is_err() {}
        injected
    }

    /// Does `act` in a new world from `prepare` again and again, each time with the next point of
    /// failure, until there is none. `check` has what came of it: an error is ENOMEM or EFAULT.
    /// Nothing may be left open. Returns how many points there are.
    pub fn each<W, R>(
        &self,
        what: &str,
        prepare: impl Fn() -> Result<W>,
        act: impl Fn(&W) -> io::Result<R>,
        check: impl Fn(&W, io::Result<R>) -> Result<()>,
    ) -> Result<usize> {
        for n in 1..END {
            let world = prepare()?;
            let open = open_descriptors()?;
            self.arm(n)?;
            let result = act(&world);
            let injected = self.disarm();
            let place = || format!("{what}, fault {n}");
            if let Err(error) = &result {
                ensure!(injected, "{what} fails without a fault: {error}");
                ensure!(
                    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EFAULT)),
                    "{}: {error}",
                    place()
                );
            }
            check(&world, result).with_context(place)?;
            ensure!(
                open_descriptors()? == open,
                "{}: descriptors are left open",
                place()
            );
            if !injected {
                return Ok(n - 1);
            }
        }
        bail!("{what}: no end of faults")
    }
}
