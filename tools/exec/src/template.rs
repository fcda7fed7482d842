// SPDX-License-Identifier: GPL-2.0
//! Opens the template, an instance of repoll, for the program: see [`repoll_preload::template`].

use anyhow::{bail, ensure, Context, Result};
use repoll_preload::template::{nop, out_of_the_way, Limit, DEVICE, VARIABLE};
use std::env;
use std::fs::OpenOptions;
use std::io::Error;
use std::os::fd::AsRawFd;

/// Opens the template, which the program inherits, and sets its number in the environment.
pub fn leave() -> Result<()> {
    let path = DEVICE.to_string_lossy();
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path.as_ref())
        .with_context(|| format!("cannot open {path} (is the module repoll loaded?)"))?;
    match -nop(device.as_raw_fd()) as i32 {
        0 => {}
        libc::EPERM | libc::EACCES | libc::ENOSYS => bail!(
            "{path}: a seccomp filter or Landlock refuses ioctl: allow it, or run repoll-exec outside \
             of the sandbox"
        ),
        _ => bail!("{path} is not the device of repoll"),
    }
    let template = out_of_the_way(device.as_raw_fd(), libc::F_DUPFD, Limit::MayRaise);
    ensure!(
        template >= 0,
        "cannot duplicate a descriptor: {}",
        Error::from_raw_os_error(-template as i32)
    );
    env::set_var(VARIABLE.to_string_lossy().as_ref(), template.to_string());
    Ok(())
}
