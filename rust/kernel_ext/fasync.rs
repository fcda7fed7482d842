// SPDX-License-Identifier: GPL-2.0

//! Signals to those who asked to be told by signal that a file is ready (`O_ASYNC`).
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h); see `F_SETOWN` and `F_SETSIG` in
//! fcntl(2)

use super::bindings as ext;
use core::ptr;
use kernel::{
    bindings,
    ffi::c_int,
    types::Opaque, //
};

/// The files that are to send signals: for a driver with one queue per open file, at most that one.
///
/// # Invariants
///
/// The list is null or one that `fasync_helper()` made. It holds no file that has been released.
pub(crate) struct Fasync(Opaque<*mut bindings::fasync_struct>);

// SAFETY: The list may be used from any thread.
unsafe impl Send for Fasync {}
// SAFETY: `fasync_helper()` and `kill_fasync()` have a lock, and RCU, for it.
unsafe impl Sync for Fasync {}

/// What a signal is about: `si_code`, and by that `si_band`.
#[derive(Clone, Copy)]
pub(crate) enum Band {
    /// `POLL_IN`: there is something to read.
    In,
    /// `POLL_OUT`: there is room to write.
    Out,
    /// `POLL_HUP`: the other side is gone.
    Hup,
}

impl Fasync {
    /// An empty list.
    pub(crate) const fn new() -> Self {
        // INVARIANT: The list is null.
        Self(Opaque::new(ptr::null_mut()))
    }

    /// Whether there is anyone to send a signal to. Any context.
    ///
    /// Orders nothing. A caller who has just changed the file's state under a lock sees whoever was on
    /// the list before they looked at the state under that lock.
    #[inline]
    pub(crate) fn has_entries(&self) -> bool {
        // SAFETY: The pointer is of a word, and never torn: as kill_fasync()'s own first look.
        !unsafe { self.0.get().read_volatile() }.is_null()
    }

    /// Sends the signals. Any context.
    pub(crate) fn signal(&self, band: Band) {
        let band = match band {
            Band::In => ext::BAND_IN,
            Band::Out => ext::BAND_OUT,
            Band::Hup => ext::BAND_HUP,
        };
        // SAFETY: The list is valid, by the type's invariants; its files have not been released, and
        // who is taken off the list meanwhile is freed an RCU grace period later.
        unsafe { bindings::kill_fasync(self.0.get(), bindings::SIGIO as c_int, band as c_int) };
    }

    /// Puts a file on the list, or takes it off. Process context.
    ///
    /// # Safety
    ///
    /// `file` is valid, and taken off the list before it is released.
    pub(super) unsafe fn change(&self, fd: c_int, file: *mut bindings::file, on: c_int) -> c_int {
        // INVARIANT: By the contract.
        // SAFETY: The list is valid, by the type's invariants, and the file by the contract.
        unsafe { bindings::fasync_helper(fd, file, on, self.0.get()) }
    }
}
