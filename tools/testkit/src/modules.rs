// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading of kernel modules.

use std::ffi::CStr;
use std::fs::File;
use std::io;

/// finit_module(2) with module parameters, `name=value name=value`.
pub fn load(file: &File, parameters: &CStr) -> io::Result<()> {
    Ok(rustix::system::finit_module(file, parameters, 0)?)
}

/// delete_module(2). Fails with EWOULDBLOCK while the module is in use: it never waits.
pub fn unload(name: &CStr) -> io::Result<()> {
    Ok(rustix::system::delete_module(name, libc::O_NONBLOCK)?)
}
