// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading. Each test leaves the module loaded.

use crate::files::{eventfds, signal};
use crate::module::{is_loaded, load, references, unload, unload_when_unused, Reload};
use crate::multiplexer::{Multiplexer, Repoll};
use crate::registry::Test;
use crate::repoll_only;
use crate::support::{expect_error, expect_one};
use crate::sys;
use anyhow::{ensure, Context, Result};
use repoll::{CreateFlags, Events};

pub fn tests() -> Vec<Test> {
    let tests = repoll_only!("module":
        goes_in_and_out_fifty_times,
        stays_while_an_instance_is_open,
        stays_while_a_created_instance_is_open,
        stays_while_a_duplicate_is_open,
        leaves_files_behind_that_were_watched,
        goes_right_after_a_last_close,
        cannot_be_loaded_twice,
    );
    tests.into_iter().map(|test| test.within(240)).collect()
}

fn works() -> Result<()> {
    let m = Repoll::new()?;
    let fd = sys::eventfd()?;
    m.add(&fd, Events::IN, 1)?;
    signal(&fd)?;
    expect_one(&m, 1).map(drop)
}

fn goes_in_and_out_fifty_times() -> Result<()> {
    let _reload = Reload::later()?;
    for time in 0..50 {
        unload_when_unused().with_context(|| format!("the {time}th time"))?;
        load().with_context(|| format!("the {time}th time"))?;
        works().with_context(|| format!("the {time}th time"))?;
    }
    Ok(())
}

fn refused() -> Result<()> {
    ensure!(references() > 0, "it is not in use");
    expect_error(unload(), libc::EWOULDBLOCK)?;
    ensure!(is_loaded(), "it is gone");
    Ok(())
}

fn stays_while_an_instance_is_open() -> Result<()> {
    let _reload = Reload::later()?;
    let m = Repoll::new()?;
    let fd = sys::eventfd()?;
    m.add(&fd, Events::IN, 1)?;
    refused()?;
    signal(&fd)?;
    expect_one(&m, 1)?;
    drop(m);
    unload_when_unused()?;
    load()?;
    works()
}

fn stays_while_a_created_instance_is_open() -> Result<()> {
    let _reload = Reload::later()?;
    let m = Repoll::new()?;
    let created = m.instance().create(CreateFlags::CLOEXEC)?;
    drop(m);
    refused()?;
    created.nop()?;
    drop(created);
    unload_when_unused()?;
    load()?;
    works()
}

fn stays_while_a_duplicate_is_open() -> Result<()> {
    let _reload = Reload::later()?;
    let m = Repoll::new()?;
    let copy = m.duplicate()?;
    drop(m);
    refused()?;
    drop(copy);
    unload_when_unused()
}

fn leaves_files_behind_that_were_watched() -> Result<()> {
    let _reload = Reload::later()?;
    let fds = eventfds(50)?;
    let m = Repoll::new()?;
    for fd in &fds {
        m.add(fd, Events::IN, 1)?;
        signal(fd)?;
    }
    drop(m);
    unload_when_unused()?;
    for fd in &fds {
        signal(fd)?;
    }
    drop(fds);
    load()?;
    works()
}

/// Whatever a last close has put off must be done before the code is gone.
fn goes_right_after_a_last_close() -> Result<()> {
    let _reload = Reload::later()?;
    for _ in 0..5 {
        let m = Repoll::new()?;
        for _ in 0..200 {
            let fd = sys::eventfd()?;
            m.add(&fd, Events::IN, 1)?;
            signal(&fd)?;
        }
        drop(m);
        unload_when_unused()?;
        load()?;
    }
    works()
}

fn cannot_be_loaded_twice() -> Result<()> {
    let error = load().expect_err("it was loaded twice");
    let errno = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<std::io::Error>());
    ensure!(
        errno.and_then(|e| e.raw_os_error()) == Some(libc::EEXIST),
        "{error:#}"
    );
    works()
}
