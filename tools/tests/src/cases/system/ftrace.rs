// SPDX-License-Identifier: GPL-2.0
//! ftrace switched off as a whole (`kernel.ftrace_enabled`): the module's hook would get no notice.
//! Newer kernels refuse to; older ones do it while nobody is registered who must not miss anything.

use super::module::{fails_with, hooked, notices_last_closes, works};
use crate::module::{is_loaded, load, unload_when_unused, Reload};
use crate::prelude::*;
use std::{fs, io};

pub fn tests() -> Vec<Test> {
    repoll_only!("ftrace" within 240:
        is_not_switched_off_under_the_hook,
        must_be_on_when_the_module_is_loaded,
    )
}

const SWITCH: &str = "/proc/sys/kernel/ftrace_enabled";

/// Switches ftrace off while it is there.
struct Off;

impl Off {
    fn new() -> io::Result<Self> {
        fs::write(SWITCH, "0")?;
        Ok(Self)
    }
}

impl Drop for Off {
    fn drop(&mut self) {
        if let Err(error) = fs::write(SWITCH, "1") {
            eprintln!("cannot switch ftrace on again: {error}");
        }
    }
}

fn is_not_switched_off_under_the_hook() -> Result<()> {
    ensure!(Off::new().is_err(), "it was switched off");
    ensure!(fs::read_to_string(SWITCH)?.trim() == "1", "it is off");
    notices_last_closes()
}

fn must_be_on_when_the_module_is_loaded() -> Result<()> {
    let _reload = Reload::later()?;
    unload_when_unused()?;
    let Ok(off) = Off::new() else {
        return skip("this kernel's ftrace can't be switched off");
    };
    fails_with(libc::EBUSY, load())?;
    ensure!(!is_loaded(), "it is loaded");
    ensure!(hooked()?.is_empty(), "the hook is still there");
    drop(off);
    load()?;
    works()?;
    notices_last_closes()
}
