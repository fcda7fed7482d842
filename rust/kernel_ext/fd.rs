// SPDX-License-Identifier: GPL-2.0

//! The file of a descriptor, for the time of a system call.
//!
//! C header: [`include/linux/file.h`](srctree/include/linux/file.h)

use core::ops::Deref;
use kernel::{
    bindings,
    ffi::c_ulong,
    fs::LocalFile,
    prelude::*,
    types::NotThreadSafe, //
};

/// The file that a descriptor of the current process refers to, as `fdget()` holds it: without a
/// reference, if no other thread could close the descriptor.
///
/// # Invariants
///
/// `fd` is what `fdget()` returned to the current task, with a file, and has not been put.
pub(crate) struct HeldFile {
    fd: bindings::fd,
    _task: NotThreadSafe,
}

impl HeldFile {
    /// The file of `fd`; EBADF if there is none. Process context.
    ///
    /// To be dropped before the system call returns, and before anything closes a descriptor of the
    /// current process: nothing in this module does.
    #[inline]
    pub(crate) fn get(fd: i32) -> Result<Self> {
        // SAFETY: Process context. A negative descriptor becomes one that nobody has.
        let fd = unsafe { bindings::fdget(fd as u32) };
        if fd.word == 0 {
            return Err(EBADF);
        }
        // INVARIANT: There is a file.
        Ok(Self {
            fd,
            _task: NotThreadSafe,
        })
    }

    fn file(&self) -> *mut bindings::file {
        let flags = (bindings::FDPUT_FPUT | bindings::FDPUT_POS_UNLOCK) as c_ulong;
        (self.fd.word & !flags) as *mut bindings::file
    }
}

impl Deref for HeldFile {
    type Target = LocalFile;

    #[inline]
    fn deref(&self) -> &LocalFile {
        // SAFETY: The file is alive until the descriptor is put: there is a reference to it, ours, or
        // that of the descriptor table, which nobody else can change. It was not fdget_pos().
        unsafe { LocalFile::from_raw_file(self.file()) }
    }
}

impl Drop for HeldFile {
    #[inline]
    fn drop(&mut self) {
        if self.fd.word & bindings::FDPUT_FPUT as c_ulong != 0 {
            // SAFETY: `fdget()` took a reference, as it says by this flag.
            unsafe { bindings::fput(self.file()) };
        }
    }
}
