// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading. Each test leaves the module loaded.

use crate::files::{eventfds, signal};
use crate::module::{
    is_loaded, load, load_with, references, unload, unload_when_unused, NameHolder, Reload,
};
use crate::multiplexer::{Multiplexer, Repoll};
use crate::registry::Test;
use crate::repoll_only;
use crate::support::{expect_error, expect_none, expect_one, has_kasan};
use crate::sys;
use anyhow::{ensure, Context, Result};
use repoll::{CreateFlags, Events, DEVICE};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::scope;

pub fn tests() -> Vec<Test> {
    let tests = repoll_only!("module":
        goes_in_and_out_fifty_times,
        stays_while_an_instance_is_open,
        stays_while_a_created_instance_is_open,
        stays_while_a_duplicate_is_open,
        leaves_files_behind_that_were_watched,
        goes_right_after_a_last_close,
        cannot_be_loaded_twice,
        a_load_that_fails_half_way_leaves_nothing,
        a_hook_that_gives_no_notice_is_refused,
        another_hook_is_taken_if_the_first_gives_no_notice,
    );
    tests.into_iter().map(|test| test.within(240)).collect()
}

pub fn works() -> Result<()> {
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
    fails_with(libc::EEXIST, load())?;
    works()
}

pub fn fails_with(errno: i32, result: Result<()>) -> Result<()> {
    let Err(error) = result else {
        anyhow::bail!("it was loaded");
    };
    let got = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<std::io::Error>())
        .and_then(std::io::Error::raw_os_error);
    ensure!(got == Some(errno), "{error:#}");
    Ok(())
}

/// The second device can't be registered when the first one is there, while others try to open
/// that: nobody gets a file whose code then goes away.
fn a_load_that_fails_half_way_leaves_nothing() -> Result<()> {
    // With KASAN and lockdep a load takes as long as some ten others.
    let loads = if has_kasan() { 4 } else { 20 };
    let _reload = Reload::later()?;
    unload_when_unused()?;
    let holder = NameHolder::load()?;
    let over = AtomicBool::new(false);
    let opened = AtomicUsize::new(0);
    scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                while !over.load(SeqCst) {
                    let file = fs::File::open(DEVICE);
                    opened.fetch_add(usize::from(file.is_ok()), SeqCst);
                }
            });
        }
        let failed = (0..loads).try_for_each(|_| {
            // The kernel makes EBUSY of EEXIST.
            fails_with(libc::EBUSY, load())?;
            ensure!(!is_loaded(), "it is loaded");
            Ok(())
        });
        over.store(true, SeqCst);
        failed
    })?;
    let opened = opened.into_inner();
    ensure!(
        opened == 0,
        "{opened} files were opened of a module that is gone"
    );
    ensure!(hooked()?.is_empty(), "the hook is still there");
    drop(holder);
    load()?;
    works()
}

/// The functions that the module's hook is on.
pub fn hooked() -> Result<Vec<String>> {
    let functions = fs::read_to_string("/sys/kernel/tracing/enabled_functions")?;
    let ours = functions.lines().filter(|line| line.contains("[repoll]"));
    Ok(ours
        .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
        .collect())
}

/// That a last close is noticed: the watch ends, and its place is free again.
pub fn notices_last_closes() -> Result<()> {
    let m = Repoll::new()?;
    for _ in 0..100 {
        let fd = sys::eventfd()?;
        signal(&fd)?;
        m.add(&fd, Events::IN, 1)?;
        drop(fd);
        expect_none(&m)?;
    }
    Ok(())
}

/// As in a kernel that calls an inlined copy of the function, which the hook is not on. The
/// parameter selects the functions to try: 1 is a function that no last close calls.
fn a_hook_that_gives_no_notice_is_refused() -> Result<()> {
    let _reload = Reload::later()?;
    unload_when_unused()?;
    fails_with(libc::EOPNOTSUPP, load_with(c"last_close_functions=1"))?;
    ensure!(!is_loaded(), "it is loaded");
    ensure!(hooked()?.is_empty(), "the hook is still there");
    load()?;
    works()
}

fn another_hook_is_taken_if_the_first_gives_no_notice() -> Result<()> {
    let _reload = Reload::later()?;
    unload_when_unused()?;
    load_with(c"last_close_functions=5")?;
    let functions = hooked()?;
    ensure!(functions == ["locks_remove_file"], "{functions:?}");
    notices_last_closes()?;
    unload_when_unused()?;
    load()?;
    let functions = hooked()?;
    // Without CONFIG_SECURITY there is only the other one.
    let known = fs::read_to_string("/proc/kallsyms")?;
    let expected = match known.contains(" security_file_release\n") {
        true => "security_file_release",
        false => "locks_remove_file",
    };
    ensure!(functions == [expected], "{functions:?}");
    notices_last_closes()
}
