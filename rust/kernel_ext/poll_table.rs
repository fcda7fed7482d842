// SPDX-License-Identifier: GPL-2.0

//! Polling a file, and being polled.
//!
//! C header: [`include/linux/poll.h`](srctree/include/linux/poll.h)
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::{fdget::Files, poll_table};
//!
//! /// The events that the file of a descriptor is ready for.
//! fn events(fd: i32) -> Result<u32> {
//!     let file = Files::current()?.get(fd)?;
//!     if !poll_table::can_poll(&file) {
//!         return Err(EPERM);
//!     }
//!     Ok(poll_table::poll_now(&file, u32::MAX))
//! }
//! ```

use super::{
    bindings as ext,
    wait_queue::WaitQueue, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    fs::LocalFile, //
};

/// The `poll_table` of one poll of a file.
///
/// # Invariants
///
/// `file` is valid for `'a`; `table` is null, or valid for `'a`.
pub(crate) struct PollTable<'a> {
    file: *mut bindings::file,
    table: *mut bindings::poll_table_struct,
    _call: PhantomData<&'a ()>,
}

impl<'a> PollTable<'a> {
    /// The table of a poll of `file`.
    ///
    /// # Safety
    ///
    /// `table` is null or valid for `'a`, and was made to poll `file`.
    pub(crate) unsafe fn from_raw(
        file: &'a LocalFile,
        table: *mut bindings::poll_table_struct,
    ) -> Self {
        // INVARIANT: By the contract.
        Self {
            file: file.as_ptr(),
            table,
            _call: PhantomData,
        }
    }

    /// Whether the poller wants to be woken: the opposite of `poll_does_not_wait()`.
    pub(crate) fn waits(&self) -> bool {
        // SAFETY: The table is null or valid.
        unsafe { self.table.as_ref() }.is_some_and(|table| table._qproc.is_some())
    }

    /// The events that the file is ready for, as its driver returns them. The driver registers its
    /// wait queues by this table.
    pub(crate) fn poll_file(&self) -> u32 {
        // SAFETY: The file is alive, and the table is null or valid.
        unsafe { ext::vfs_poll(self.file, self.table) }
    }

    /// The file that is polled.
    pub(crate) fn file(&self) -> &LocalFile {
        // SAFETY: The file is alive for `'a`, and so for less.
        unsafe { LocalFile::from_raw_file(self.file) }
    }

    /// Registers the poller with `queue`, which then wakes it.
    ///
    /// # Safety
    ///
    /// The queue must belong to the polled file, in the sense of the invariants of [`WaitQueue`].
    pub(crate) unsafe fn register(&self, queue: &WaitQueue) {
        // SAFETY: The table is null or valid; file and queue are valid, and the queue lives as long
        // as the file.
        unsafe { bindings::poll_wait(self.file, queue.as_ptr(), self.table) };
    }
}

/// Whether `file` can be polled: its driver has `->poll`. (The others are always ready.)
pub(crate) fn can_poll(file: &LocalFile) -> bool {
    // SAFETY: The file is alive.
    unsafe { ext::file_can_poll(file.as_ptr()) }
}

/// The events that `file` is ready for now. `events` (`EPOLL*` bits) is a hint to its driver, which
/// may return others too. Process context, sleeps.
#[inline]
pub(crate) fn poll_now(file: &LocalFile, events: u32) -> u32 {
    // SAFETY: The file is alive. vfs_poll() itself deals with files without `->poll`.
    unsafe { ext::poll_now(file.as_ptr(), events) }
}
