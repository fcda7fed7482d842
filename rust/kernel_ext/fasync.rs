// SPDX-License-Identifier: GPL-2.0

//! Signals that a file is ready, to the owners of open files (`O_ASYNC`).
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h); see `F_SETOWN` and `F_SETSIG` in
//! fcntl(2)
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::fasync::{Band, Fasync};
//!
//! /// A part of a device whose `MiscDevice::fasync()` returns `signals`.
//! struct Input {
//!     signals: Fasync,
//! }
//!
//! impl Input {
//!     fn has_arrived(&self) {
//!         if self.signals.has_entries() {
//!             self.signals.signal(Band::In);
//!         }
//!     }
//! }
//! ```

use super::bindings as ext;
use core::ptr;
use kernel::{
    bindings,
    ffi::c_int,
    types::Opaque, //
};

/// The list of open files that send signals. A driver with one queue per open file has at most one.
///
/// # Invariants
///
/// The list is null or one that `fasync_helper()` made. It holds no file that has been released.
pub(crate) struct Fasync(Opaque<*mut bindings::fasync_struct>);

// SAFETY: The list may be used from any thread.
unsafe impl Send for Fasync {}
// SAFETY: `fasync_helper()` and `kill_fasync()` have a lock, and RCU, for it.
unsafe impl Sync for Fasync {}

/// The event of a signal: its `si_code`, which determines its `si_band`.
#[derive(Clone, Copy)]
pub(crate) enum Band {
    /// `POLL_IN`: there is something to read.
    In,
    /// `POLL_OUT`: there is room to write.
    Out,
    /// `POLL_HUP`: the peer has hung up.
    Hup,
}

impl Fasync {
    /// An empty list.
    pub(crate) const fn new() -> Self {
        // INVARIANT: The list is null.
        Self(Opaque::new(ptr::null_mut()))
    }

    /// Whether the list has an entry. Any context.
    ///
    /// Orders nothing. A caller that has changed the file's state under a lock sees each task that
    /// entered the list before it read the state under that lock.
    #[inline]
    pub(crate) fn has_entries(&self) -> bool {
        // SAFETY: The pointer is a word, and never torn: kill_fasync() itself begins with this
        // load.
        !unsafe { self.0.get().read_volatile() }.is_null()
    }

    /// Sends the signals. Any context.
    pub(crate) fn signal(&self, band: Band) {
        let band = match band {
            Band::In => ext::BAND_IN,
            Band::Out => ext::BAND_OUT,
            Band::Hup => ext::BAND_HUP,
        };
        // SAFETY: The list is valid, by the type's invariants; its files have not been released. An
        // entry that is taken off the list meanwhile is freed an RCU grace period later.
        unsafe { bindings::kill_fasync(self.0.get(), bindings::SIGIO as c_int, band as c_int) };
    }

    /// Adds a file to the list, or removes it. Process context.
    ///
    /// # Safety
    ///
    /// `file` is valid, and is removed from the list before it is released.
    pub(super) unsafe fn change(&self, fd: c_int, file: *mut bindings::file, on: c_int) -> c_int {
        // INVARIANT: By the contract.
        // SAFETY: The list is valid, by the type's invariants, and the file by the contract.
        unsafe { bindings::fasync_helper(fd, file, on, self.0.get()) }
    }
}
