// SPDX-License-Identifier: GPL-2.0

//! The current task's open files, by descriptor.
//!
//! C headers: [`include/linux/file.h`](srctree/include/linux/file.h),
//! [`include/linux/fdtable.h`](srctree/include/linux/fdtable.h)

use super::bindings as ext;
use kernel::{
    bindings,
    fs::LocalFile, //
};

/// Calls `f` with the file that is open as `fd`; `None` if there is none. Process context.
///
/// As `CLASS(fd, f)(fd)`: a task that shares its descriptors with nobody pays for no reference.
#[inline]
pub(crate) fn with_file<R>(fd: i32, f: impl FnOnce(&LocalFile) -> R) -> Option<R> {
    // SAFETY: Looks into the current task's own table; any number will do.
    let word = unsafe { ext::fdget(fd as u32) };
    if word == 0 {
        return None;
    }
    let file = (word & !ext::FD_FLAGS) as *mut bindings::file;
    // SAFETY: fdget() has found this file. Either it has taken a reference, or the table, which
    // nobody else uses, has one: then it lasts for as long as the current task closes nothing, which
    // `f` can't do, for there is no function for it. Calls of fdget_pos() are on this thread, or have
    // taken the lock.
    let result = f(unsafe { LocalFile::from_raw_file(file) });
    if word & ext::FD_NEEDS_PUT != 0 {
        // SAFETY: fdget() has taken a reference.
        unsafe { bindings::fput(file) };
    }
    Some(result)
}

/// How many descriptors the current task's table has room for. It grows, and does not shrink.
/// Process context.
pub(crate) fn table_size() -> usize {
    // SAFETY: Only looks at the current task's table.
    unsafe { ext::max_fds() as usize }
}

/// Which descriptors from `64 * word` on are open in the current task: 64 of them, the first one in
/// the lowest bit. Process context.
pub(crate) fn open_fds(word: usize) -> u64 {
    // SAFETY: Only looks at the current task's table, as far as it goes.
    u32::try_from(word).map_or(0, |word| unsafe { ext::open_fds(word) })
}

/// How many files the current task may have open (`RLIMIT_NOFILE`). Process context.
pub(crate) fn limit() -> u64 {
    // SAFETY: Only reads the current task's limit.
    unsafe { ext::nofile_limit() as u64 }
}
