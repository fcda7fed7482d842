// SPDX-License-Identifier: GPL-2.0

//! The current task's open files, by descriptor.
//!
//! C headers: [`include/linux/file.h`](srctree/include/linux/file.h),
//! [`include/linux/fdtable.h`](srctree/include/linux/fdtable.h)
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::fdget::Files;
//!
//! /// Whether two descriptors of the current task refer to one open file.
//! fn same_file(a: i32, b: i32) -> Result<bool> {
//!     let files = Files::current()?;
//!     Ok(core::ptr::eq(files.get(a)?.as_ptr(), files.get(b)?.as_ptr()))
//! }
//! ```

use super::bindings as ext;
use core::ops::Deref;
use kernel::{
    bindings,
    ffi::c_ulong,
    fs::LocalFile,
    prelude::*,
    types::NotThreadSafe, //
};

/// The current task's table of open files.
///
/// # Invariants
///
/// The current task has a table, and keeps one while this exists. It is not `Send`, so it stays in
/// the call that made it. Only the task itself puts its table, when it exits, which is not in the
/// middle of a call.
pub(crate) struct Files(NotThreadSafe);

impl Files {
    /// The current task's table. ESRCH in an exiting task that has put its table already; a file's
    /// last close may run in such a task. Process context.
    #[inline]
    pub(crate) fn current() -> Result<Self> {
        // SAFETY: Only reads fields of the current task.
        if unsafe { ext::has_files() } {
            // INVARIANT: It has a table.
            Ok(Self(NotThreadSafe))
        } else {
            Err(ESRCH)
        }
    }

    /// The current task's table, without the check.
    ///
    /// # Safety
    ///
    /// The task is in a system call of its own, so it has not put its table.
    #[inline]
    pub(crate) unsafe fn current_unchecked() -> Self {
        // INVARIANT: By the contract.
        Self(NotThreadSafe)
    }

    /// The file of `fd`; EBADF if there is none. Process context.
    ///
    /// The result must be dropped before the system call returns, and before the caller closes a
    /// descriptor of the current process.
    #[inline]
    pub(crate) fn get(&self, fd: i32) -> Result<FdGuard> {
        // SAFETY: Process context, and the task has a table, by the type's invariants. A negative
        // descriptor becomes one that is never open.
        let fd = unsafe { bindings::fdget(fd as u32) };
        if fd.word == 0 {
            return Err(EBADF);
        }
        // INVARIANT: There is a file.
        Ok(FdGuard {
            fd,
            _task: NotThreadSafe,
        })
    }

    /// The number of descriptors that the table has room for. It never shrinks. Process context.
    pub(crate) fn size(&self) -> usize {
        // SAFETY: There is a table, by the type's invariants.
        unsafe { ext::max_fds() as usize }
    }

    /// A bit for each of the 64 descriptors from `64 * word` on, set if it is open. The lowest bit
    /// is the first one. Process context.
    pub(crate) fn open(&self, word: usize) -> u64 {
        // SAFETY: There is a table, by the type's invariants; a word that it does not have is zero.
        u32::try_from(word).map_or(0, |word| unsafe { ext::open_fds(word) })
    }
}

/// The file that a descriptor of the current process refers to, as `fdget()` holds it: without a
/// reference, if no other thread could close the descriptor.
///
/// # Invariants
///
/// `fd` is what `fdget()` returned to the current task, with a file, and has not been put.
pub(crate) struct FdGuard {
    fd: bindings::fd,
    _task: NotThreadSafe,
}

impl FdGuard {
    fn file(&self) -> *mut bindings::file {
        let flags = (bindings::FDPUT_FPUT | bindings::FDPUT_POS_UNLOCK) as c_ulong;
        (self.fd.word & !flags) as *mut bindings::file
    }
}

impl Deref for FdGuard {
    type Target = LocalFile;

    #[inline]
    fn deref(&self) -> &LocalFile {
        // SAFETY: The file is alive until the descriptor is put: there is a reference to it, ours,
        // or that of the descriptor table, which no other task can change. It was not fdget_pos().
        unsafe { LocalFile::from_raw_file(self.file()) }
    }
}

impl Drop for FdGuard {
    #[inline]
    fn drop(&mut self) {
        if self.fd.word & bindings::FDPUT_FPUT as c_ulong != 0 {
            // SAFETY: `fdget()` took a reference: the flag is set.
            unsafe { bindings::fput(self.file()) };
        }
    }
}

/// The most files that the current task may have open (`RLIMIT_NOFILE`). Process context.
pub(crate) fn limit() -> u64 {
    // SAFETY: Only reads the current task's limit.
    unsafe { ext::nofile_limit() as u64 }
}
