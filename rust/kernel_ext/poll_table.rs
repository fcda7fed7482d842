// SPDX-License-Identifier: GPL-2.0

//! Polling a file, and being polled.
//!
//! C header: [`include/linux/poll.h`](srctree/include/linux/poll.h)

use super::{
    bindings as ext,
    wait_queue::WaitQueue, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    fs::LocalFile, //
};

/// The `poll_table` of someone who polls one of our files.
pub(crate) struct PollTable<'a> {
    file: *mut bindings::file,
    table: *mut bindings::poll_table_struct,
    _call: PhantomData<&'a ()>,
}

impl<'a> PollTable<'a> {
    /// # Safety
    ///
    /// `table` is null or valid for `'a`, and `file` is the file that it was made to poll.
    pub(crate) unsafe fn from_raw(
        file: &'a LocalFile,
        table: *mut bindings::poll_table_struct,
    ) -> Self {
        Self {
            file: file.as_ptr(),
            table,
            _call: PhantomData,
        }
    }

    /// Whether the poller wants to be woken, and not only to look. As `poll_does_not_wait()`.
    pub(crate) fn waits(&self) -> bool {
        // SAFETY: The table is null or valid.
        unsafe { self.table.as_ref() }.is_some_and(|table| table._qproc.is_some())
    }

    /// What the file is ready for, as its driver says, which registers its wait queues by this table.
    pub(crate) fn poll_file(&self) -> u32 {
        // SAFETY: The file is alive, and the table is null or valid.
        unsafe { ext::vfs_poll(self.file, self.table) }
    }

    /// The file that is polled.
    pub(crate) fn file(&self) -> &LocalFile {
        // SAFETY: The file is alive for `'a`, and so for less.
        unsafe { LocalFile::from_raw_file(self.file) }
    }

    /// Has the poller woken through `queue`.
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

/// What `file` is ready for now, of `events` (`EPOLL*` bits, a hint to its driver). Process context,
/// sleeps.
#[inline]
pub(crate) fn poll_now(file: &LocalFile, events: u32) -> u32 {
    // SAFETY: The file is alive. vfs_poll() itself deals with files without `->poll`.
    unsafe { ext::poll_now(file.as_ptr(), events) }
}
