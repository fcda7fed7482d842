// SPDX-License-Identifier: GPL-2.0
//! The end of takeover, and the instances that outlive it.

use super::setup::{eventually_hooked, instance_of, on, OF_INSTANCES};
use crate::module::{self, unload_when_unused, Reload};
use crate::prelude::*;
use crate::support::Sleeper;
use repoll::{Hooks, Policy, Takeover, TakeoverCalls, TakeoverCause, TakeoverMode};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

pub fn tests() -> Vec<Test> {
    repoll_only!("takeover" within 120:
        off_keeps_serving_what_is_open,
        any_kind_of_copy_keeps_an_instance_open,
        an_instance_may_outlive_its_maker_in_another_program,
        a_killed_holder_ends_its_instances,
        the_module_stays_while_an_instance_is_open,
        the_end_of_the_module_switches_takeover_off,
        a_wait_on_a_c_epoll_outlives_the_module,
        the_parameter_switches_it_on_at_load,
        sysrq_switches_it_off,
    )
}

/// An instance that was taken over, while nothing is any more.
fn left_over() -> Result<(Takeover, Epoll)> {
    let on = on(TakeoverCalls::EPOLL)?;
    let m = instance_of(Side::Repoll)?;
    drop(on);
    Ok((Takeover::open()?, m))
}

fn works(m: &Epoll) -> Result<()> {
    let fd = files::eventfd()?;
    m.add(&fd, EventFlags::IN, 5)?;
    expect_none(m)?;
    signal(&fd)?;
    expect_one(m, 5)?;
    m.delete(&fd)?;
    Ok(())
}

fn off_keeps_serving_what_is_open() -> Result<()> {
    let (takeover, m) = left_over()?;
    let other = instance_of(Side::Kernel)?;
    let status = takeover.status()?;
    ensure!(
        status.mode == TakeoverMode::Off && status.instances == 1,
        "{status:?}"
    );
    ensure!(status.hooked == OF_INSTANCES, "{status:?}");
    works(&m)?;
    works(&other)?;
    drop(m);
    eventually_hooked(&takeover, Hooks::empty())?;
    ensure!(takeover.status()?.instances == 0);
    works(&other)
}

fn any_kind_of_copy_keeps_an_instance_open() -> Result<()> {
    let (takeover, m) = left_over()?;
    let number = m.as_raw_fd();
    // dup(2).
    let copy = m.duplicate()?;
    drop(m);
    works(&copy)?;
    // dup2(2), over a C epoll.
    let c = instance_of(Side::Kernel)?;
    files::dup_onto(copy.into_descriptor(), c.as_raw_fd())?;
    works(&c)?;
    ensure!(Side::Repoll.has_made(&c), "it is not the copy");
    // A message.
    let (near, far) = UnixStream::pair()?;
    files::send_descriptor(&near, &c)?;
    drop(c);
    ensure!(takeover.status()?.hooked == OF_INSTANCES);
    let m = files::receive_descriptor(&far)?.context("a descriptor")?;
    let m = Epoll::from_descriptor(m);
    works(&m)?;
    // fork(2).
    let (stay, end) = (files::eventfd()?, files::eventfd()?);
    let child = processes::fork(|| {
        let _ = files::poll_in(&stay, LONG);
        works(&m)
    })?;
    drop((m, end));
    ensure!(takeover.status()?.instances == 1, "the child has it still");
    signal(&stay)?;
    let status = child.wait()?;
    ensure!(status == 0, "the child: {status}, descriptor {number}");
    eventually_hooked(&takeover, Hooks::empty())
}

fn an_instance_may_outlive_its_maker_in_another_program() -> Result<()> {
    let (takeover, m) = left_over()?;
    // dup2(2) clears close-on-exec: as standard input the program gets it.
    let mut program = Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::from(m.into_descriptor()))
        .spawn()?;
    let status = takeover.status()?;
    ensure!(
        status.instances == 1 && status.hooked == OF_INSTANCES,
        "{status:?}"
    );
    program.kill()?;
    program.wait()?;
    eventually_hooked(&takeover, Hooks::empty())
}

fn a_killed_holder_ends_its_instances() -> Result<()> {
    let on = on(TakeoverCalls::EPOLL)?;
    let child = processes::fork(|| -> Result<()> {
        let all = [instance_of(Side::Repoll)?, instance_of(Side::Repoll)?];
        all[0].wait(1, None)?;
        Ok(())
    })?;
    crate::support::eventually_waits(child.0)?;
    ensure!(on.device().status()?.instances == 2);
    on.device().set(Policy::Off)?;
    ensure!(child.kill_and_wait()? == -libc::SIGKILL);
    eventually_hooked(on.device(), Hooks::empty())
}

fn the_module_stays_while_an_instance_is_open() -> Result<()> {
    let _reload = Reload::later()?;
    let (takeover, m) = left_over()?;
    drop(takeover);
    for errno in [module::unload().err(), module::unload().err()] {
        let errno = errno.and_then(|error| error.raw_os_error());
        ensure!(errno == Some(libc::EWOULDBLOCK), "{errno:?}");
    }
    works(&m)?;
    drop(m);
    unload_when_unused()
}

fn the_end_of_the_module_switches_takeover_off() -> Result<()> {
    let _reload = Reload::later()?;
    let takeover = Takeover::open()?;
    takeover.set(Policy::All(TakeoverCalls::EPOLL))?;
    drop(takeover);
    drop(instance_of(Side::Repoll)?);
    unload_when_unused()?;
    works(&instance_of(Side::Kernel)?)?;
    module::load()?;
    let status = Takeover::open()?.status()?;
    ensure!(
        status.mode == TakeoverMode::Off && status.created == 0,
        "{status:?}"
    );
    Ok(())
}

/// The kernel's own function never has a frame of the module below it, so the text of the module
/// may go while a task sleeps there.
fn a_wait_on_a_c_epoll_outlives_the_module() -> Result<()> {
    let _reload = Reload::later()?;
    let old = instance_of(Side::Kernel)?;
    let fd = files::eventfd()?;
    old.add(&fd, EventFlags::IN, 3)?;
    let (before, during) = (Sleeper::default(), Sleeper::default());
    let wait = |sleeper: &Sleeper| -> Result<()> {
        sleeper.is_this_thread();
        expect_one(&old, 3).map(drop)
    };
    scope(|threads| {
        let first = threads.spawn(|| wait(&before));
        before.eventually_waits()?;
        let on = on(TakeoverCalls::all())?;
        let second = threads.spawn(|| wait(&during));
        during.eventually_waits()?;
        drop(on);
        let unloaded = unload_when_unused();
        signal(&fd)?;
        for waiter in [first, second] {
            join(waiter)??;
        }
        unloaded
    })
}

fn the_parameter_switches_it_on_at_load() -> Result<()> {
    let _reload = Reload::later()?;
    unload_when_unused()?;
    module::load_with(c"takeover=1")?;
    drop(instance_of(Side::Repoll)?);
    let status = Takeover::open()?.status()?;
    ensure!(
        status.mode == TakeoverMode::All && status.calls == TakeoverCalls::EPOLL,
        "{status:?}"
    );
    unload_when_unused()?;
    // Nonsense is logged, and the module works without.
    module::load_with(c"takeover=8")?;
    ensure!(Takeover::open()?.status()?.mode == TakeoverMode::Off);
    drop(instance_of(Side::Kernel)?);
    Ok(())
}

fn sysrq_switches_it_off() -> Result<()> {
    const TRIGGER: &str = "/proc/sysrq-trigger";
    if fs::metadata(TRIGGER).is_err() {
        return skip("the kernel has no SysRq");
    }
    let on = on(TakeoverCalls::all())?;
    let m = instance_of(Side::Repoll)?;
    fs::write(TRIGGER, "E")?;
    instance_of(Side::Kernel)?;
    let status = on.device().status()?;
    ensure!(status.mode == TakeoverMode::Off, "{status:?}");
    ensure!(status.cause == TakeoverCause::SysRq, "{status:?}");
    eventually_hooked(on.device(), OF_INSTANCES)?;
    works(&m)?;
    drop(m);
    eventually_hooked(on.device(), Hooks::empty())?;
    // It can be switched on again.
    on.device().set(Policy::All(TakeoverCalls::EPOLL))?;
    instance_of(Side::Repoll)?;
    let cause = on.device().status()?.cause;
    ensure!(cause == TakeoverCause::Request, "{cause:?}");
    expect_error(Epoll::of_any_side()?.delete(&-1), libc::EBADF)
}
