// SPDX-License-Identifier: GPL-2.0

//! Anonymous files of the same kind as a misc device's.
//!
//! C header: [`include/linux/anon_inodes.h`](srctree/include/linux/anon_inodes.h)
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::{anon_inode, fdget::Files, miscdevice::MiscDevice};
//!
//! /// As opening the device again, with a descriptor that exec(2) closes.
//! fn another<T: MiscDevice>() -> Result<i32> {
//!     let flags = kernel::bindings::O_CLOEXEC;
//!     anon_inode::getfd(&Files::current()?, T::open()?, c"[another]", flags)
//! }
//! ```

use super::{
    bindings as ext,
    fdget::Files,
    miscdevice::{
        self,
        FileOps,
        MiscDevice, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::c_int,
    fs::{
        file::FileDescriptorReservation,
        LocalFile, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
    types::ForeignOwnable, //
};

/// Makes a file descriptor of the current task for an anonymous file. The file is `device`, and
/// `/proc/PID/fd` shows `name`.
///
/// `flags` may have `O_CLOEXEC`. The errors are EMFILE, ENFILE and ENOMEM; `device` is released
/// then.
pub(crate) fn getfd<T: MiscDevice>(
    _files: &Files,
    device: Arc<T>,
    name: &'static CStr,
    flags: u32,
) -> Result<c_int> {
    // Unlike `open`, this does no set-up of streams and signals.
    const { assert!(!FileOps::<T>::IS_STREAM && !T::HAS_FASYNC) };
    let fd = match FileDescriptorReservation::get_unused_fd_flags(flags) {
        Ok(fd) => fd,
        Err(e) => {
            T::release(device);
            return Err(e);
        }
    };
    let private = device.into_foreign();
    // SAFETY: The name and the operations are static; the operations expect `private`.
    let file = from_err_ptr(unsafe {
        ext::anon_inode_getfile(
            name.as_char_ptr(),
            FileOps::<T>::build(),
            private,
            (bindings::O_RDWR | flags) as c_int,
        )
    })
    .and_then(|file| NonNull::new(file).ok_or(ENOMEM));
    match file {
        Ok(file) => {
            let number = fd.reserved_fd() as c_int;
            // SAFETY: The reference is ours, and the file is new: nobody has called fdget_pos().
            fd.fd_install(unsafe { ARef::from_raw(file.cast()) });
            Ok(number)
        }
        Err(e) => {
            // SAFETY: No file took `private` over.
            T::release(unsafe { <Arc<T> as ForeignOwnable>::from_foreign(private) });
            Err(e)
        }
    }
}

/// Whether `file` is an instance of the kernel's epoll. Files of the kind `T` may have the same
/// name, but are none.
pub(crate) fn is_epoll<T: MiscDevice>(file: &LocalFile) -> bool {
    // SAFETY: The file is alive.
    miscdevice::get::<T>(file).is_none() && unsafe { ext::file_is_epoll(file.as_ptr()) }
}
