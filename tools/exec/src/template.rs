// SPDX-License-Identifier: GPL-2.0
//! Leaves the template, an instance of repoll, to the program: see [`repoll_preload::template`].

use anyhow::{bail, ensure, Context, Result};
use repoll_preload::template::{nop, out_of_the_way, Limit, DEVICE, VARIABLE};
use std::env;
use std::fs::OpenOptions;
use std::io::Error;
use std::os::fd::AsRawFd;

/// Opens the template, for the program to inherit, and names it in the environment.
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
            "{path}: ioctl is refused here, by a filter of system calls or by Landlock: allow ioctl, \
             or run repoll-exec outside"
        ),
        _ => bail!("{path} is something else than repoll"),
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
