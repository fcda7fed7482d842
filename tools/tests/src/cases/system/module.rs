// SPDX-License-Identifier: GPL-2.0
//! Loading and unloading. Each test leaves the module loaded.

use crate::kmsg::Kmsg;
use crate::module::{
    is_loaded, load, load_with, references, unload, unload_when_unused, Holder, Reload,
    DIRECT_HOLDER, NAME_HOLDER,
};
use crate::prelude::*;
use crate::support::{has_kasan, is_realtime};
use repoll::{CreateFlags, DEVICE};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

pub fn tests() -> Vec<Test> {
    repoll_only!("module" within 240:
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
        a_kernel_without_the_functions_is_refused,
        the_hook_is_a_direct_call_where_it_must_be,
        a_direct_call_may_be_asked_for,
        a_direct_call_that_another_has_is_refused,
    )
}

pub fn works() -> Result<()> {
    let (m, fd) = watching_eventfd::<Repoll>(EventFlags::IN, 1)?;
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
    let (m, fd) = watching_eventfd::<Repoll>(EventFlags::IN, 1)?;
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
        m.add(fd, EventFlags::IN, 1)?;
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
            let fd = files::eventfd()?;
            m.add(&fd, EventFlags::IN, 1)?;
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
    // With KASAN and lockdep a load takes as long as some ten others. With PREEMPT_RT each waits
    // for grace periods of Tasks RCU, which the threads below delay.
    let loads = if has_kasan() || is_realtime()? { 4 } else { 20 };
    let _reload = Reload::later()?;
    unload_when_unused()?;
    let holder = Holder::load(NAME_HOLDER)?;
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
    let (functions, _) = hooks()?;
    Ok(functions)
}

/// The same, and whether one of the hooks is a direct call.
fn hooks() -> Result<(Vec<String>, bool)> {
    let text = fs::read_to_string("/sys/kernel/tracing/enabled_functions")?;
    // More about a function follows in lines that begin with a tab.
    let text = text.replace("\n\t", "\t");
    let ours: Vec<_> = text
        .lines()
        .filter(|line| line.contains("[repoll]"))
        .collect();
    let name = |line: &&str| {
        line.split([' ', '\t'])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let direct = ours.iter().any(|line| line.contains("direct-->"));
    Ok((ours.iter().map(name).collect(), direct))
}

/// The function that the hook is on by default: without CONFIG_SECURITY there is only one.
fn default_function() -> Result<&'static str> {
    let known = fs::read_to_string("/proc/kallsyms")?;
    Ok(match known.contains(" security_file_release\n") {
        true => "security_file_release",
        false => "locks_remove_file",
    })
}

/// Whether this kernel has direct calls.
fn needs_direct_calls() -> Result<()> {
    let known = fs::read_to_string("/proc/kallsyms")?;
    if !known.contains(" register_ftrace_direct\n") {
        return skip("this kernel has no direct calls");
    }
    Ok(())
}

/// That a last close is noticed: the watch ends, and its place is free again.
pub fn notices_last_closes() -> Result<()> {
    let m = Repoll::new()?;
    for _ in 0..100 {
        let fd = files::eventfd()?;
        signal(&fd)?;
        m.add(&fd, EventFlags::IN, 1)?;
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
    ensure!(functions == [default_function()?], "{functions:?}");
    notices_last_closes()
}

/// The parameter selects a function that there is not.
fn a_kernel_without_the_functions_is_refused() -> Result<()> {
    let _reload = Reload::later()?;
    unload_when_unused()?;
    let mut log = Kmsg::open();
    fails_with(libc::EINVAL, load_with(c"last_close_functions=16"))?;
    log.expect("repoll: can't trace the last close of files: this kernel lacks")?;
    ensure!(!is_loaded(), "it is loaded");
    load()?;
    works()
}

/// With PREEMPT_RT the hook sleeps, which an `ftrace_ops` must not. Elsewhere the place for a
/// direct call is left to others.
fn the_hook_is_a_direct_call_where_it_must_be() -> Result<()> {
    let (functions, direct) = hooks()?;
    ensure!(functions == [default_function()?], "{functions:?}");
    ensure!(direct == is_realtime()?, "direct: {direct}");
    notices_last_closes()
}

fn a_direct_call_may_be_asked_for() -> Result<()> {
    needs_direct_calls()?;
    let _reload = Reload::later()?;
    for (parameters, function) in [
        (c"last_close_functions=8", default_function()?),
        (c"last_close_functions=13", "locks_remove_file"),
    ] {
        unload_when_unused()?;
        load_with(parameters)?;
        let hooks = hooks()?;
        ensure!(hooks == (vec![function.to_owned()], true), "{hooks:?}");
        notices_last_closes()?;
    }
    // Others are in the hook when it goes.
    let over = AtomicBool::new(false);
    scope(|threads| {
        threads.spawn(|| {
            while !over.load(SeqCst) {
                drop(files::eventfd());
            }
        });
        let again = (0..3).try_for_each(|_| {
            unload_when_unused()?;
            load_with(c"last_close_functions=8")?;
            notices_last_closes()
        });
        over.store(true, SeqCst);
        again
    })?;
    unload_when_unused()?;
    ensure!(hooked()?.is_empty(), "the hook is still there");
    load()?;
    works()
}

/// A function has one place for a direct call. An `ftrace_ops` does not need it.
fn a_direct_call_that_another_has_is_refused() -> Result<()> {
    needs_direct_calls()?;
    let _reload = Reload::later()?;
    unload_when_unused()?;
    let holder = Holder::load(DIRECT_HOLDER)?;
    let mut log = Kmsg::open();
    fails_with(libc::EBUSY, load_with(c"last_close_functions=8"))?;
    log.expect("repoll: can't call from security_file_release() and locks_remove_file(): detach")?;
    ensure!(!is_loaded(), "it is loaded");
    if is_realtime()? {
        fails_with(libc::EBUSY, load())?;
    } else {
        load()?;
        notices_last_closes()?;
        unload_when_unused()?;
    }
    drop(holder);
    load()?;
    works()
}
