// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading of the module.

use crate::settings;
use crate::support::eventually;
use anyhow::{ensure, Context, Result};
use repoll::DEVICE;
use repoll_testkit::modules;
use repoll_testkit::skip::skip;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Whether it is loaded.
pub fn is_loaded() -> bool {
    Path::new("/sys/module/repoll/refcnt").exists()
}

/// Loads it from the file that the settings name.
pub fn load() -> Result<()> {
    load_with(c"")
}

/// Loads it with parameters.
pub fn load_with(parameters: &CStr) -> Result<()> {
    modules::load(&module_file()?, parameters).context("finit_module")
}

fn module_file() -> Result<File> {
    let path = &settings::get().module;
    File::open(path)
        .with_context(|| format!("cannot open {} (--module names another)", path.display()))
}

/// Unloads it as soon as nobody uses it any more, which must be soon, at the first attempt.
pub fn unload_when_unused() -> Result<()> {
    let in_use = leaked_reference(0);
    ensure!(in_use.is_none(), "{}", in_use.unwrap_or_default());
    unload().context("delete_module")?;
    ensure!(!is_loaded(), "it is still loaded");
    ensure!(!Path::new(DEVICE).exists(), "its device is still there");
    Ok(())
}

/// Loads the module again as it was, come what may.
pub struct Reload(());

impl Reload {
    /// Makes sure first that it can be loaded again.
    pub fn later() -> Result<Self> {
        module_file()?;
        Ok(Self(()))
    }
}

impl Drop for Reload {
    fn drop(&mut self) {
        // One with other parameters may be loaded.
        let _ = unload_when_unused();
        if !is_loaded() {
            if let Err(error) = load() {
                eprintln!("cannot load the module again: {error:#}");
            }
        }
    }
}

/// A module that holds what repoll needs, while this is there. What the kernel says of that goes to
/// its log, and not to the console.
pub struct Holder {
    name: &'static CStr,
    console_level: String,
}

/// Holds the name of repoll's second device.
pub const NAME_HOLDER: &CStr = c"repoll_name_holder";
/// Holds the direct calls of the functions that repoll's hook may be on.
pub const DIRECT_HOLDER: &CStr = c"repoll_direct_holder";

const PRINTK: &str = "/proc/sys/kernel/printk";

impl Holder {
    /// Loads it.
    pub fn load(name: &'static CStr) -> Result<Self> {
        Self::load_with(name, c"")
    }

    /// Loads it with parameters.
    pub fn load_with(name: &'static CStr, parameters: &CStr) -> Result<Self> {
        let module = &settings::get().module;
        let path = module.with_file_name(format!("tests/{}.ko", name.to_str()?));
        let Ok(file) = File::open(&path) else {
            return skip(format!("no {}", path.display()));
        };
        modules::load(&file, parameters).context("finit_module of the holder")?;
        let console_level = fs::read_to_string(PRINTK)?;
        let this = Self {
            name,
            console_level,
        };
        fs::write(PRINTK, "1")?;
        Ok(this)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let back = fs::write(PRINTK, &self.console_level).and_then(|()| modules::unload(self.name));
        if let Err(error) = back {
            eprintln!("cannot undo the load of {:?}: {error}", self.name);
        }
    }
}

/// A livepatch that is in force while this is there. [`Livepatch::end`] says why it can't end.
pub struct Livepatch(Option<Holder>);

impl Livepatch {
    const NAME: &CStr = c"repoll_livepatch_holder";
    const ROOT: &str = "/sys/kernel/livepatch";

    /// Loads it, and waits until all tasks have it.
    pub fn load() -> Result<Self> {
        if !Path::new(Self::ROOT).exists() {
            return skip("the kernel has no livepatch");
        }
        let this = Self(Some(Holder::load(Self::NAME)?));
        eventually("the livepatch is in force", || {
            Ok(fs::read_to_string(Self::file("transition")?)?.trim() == "0")
        })?;
        Ok(this)
    }

    fn file(name: &str) -> Result<PathBuf> {
        Ok(Path::new(Self::ROOT).join(Self::NAME.to_str()?).join(name))
    }

    /// Waits until no task has it any more, and unloads it.
    pub fn end(mut self) -> Result<()> {
        self.disable()
    }

    fn disable(&mut self) -> Result<()> {
        if let Some(_holder) = self.0.take() {
            let enabled = Self::file("enabled")?;
            fs::write(&enabled, "0")?;
            eventually("the livepatch has ended", || Ok(!enabled.exists()))?;
        }
        Ok(())
    }
}

impl Drop for Livepatch {
    fn drop(&mut self) {
        if let Err(error) = self.disable() {
            eprintln!("the livepatch does not end: {error:#}");
        }
    }
}

/// Unloads it, or says why that is refused. Never waits for its users.
pub fn unload() -> io::Result<()> {
    modules::unload(c"repoll")
}

/// The module's reference count; 0 when it is not loaded.
pub fn references() -> u32 {
    let text = fs::read_to_string("/sys/module/repoll/refcnt").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Something to complain about when the module stays in use while nobody can be using it, except
/// for `known` references.
///
/// Last closes may be deferred for a moment.
pub fn leaked_reference(known: u32) -> Option<String> {
    let deadline = Instant::now() + Duration::from_secs(3);
    loop {
        match references() {
            count if count <= known => return None,
            count if Instant::now() > deadline => {
                return Some(format!("the module is left with {count} references to it"));
            }
            _ => sleep(Duration::from_millis(10)),
        }
    }
}
