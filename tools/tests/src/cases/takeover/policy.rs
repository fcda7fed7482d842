// SPDX-License-Identifier: GPL-2.0
//! The policy: who may set it, which requests are refused, and whom it concerns.

use super::setup::{eventually_hooked, instance_of, on, OF_INSTANCES};
use crate::kmsg::Kmsg;
use crate::module::{Holder, DIRECT_HOLDER};
use crate::prelude::*;
use repoll::sys::{self, repoll_takeover, REPOLL_TAKEOVER_ALL, REPOLL_TAKEOVER_CGROUP};
use repoll::{
    Hooks, Policy, Takeover, TakeoverCalls, TakeoverCause, TakeoverMeans, TakeoverMode,
    TAKEOVER_DEVICE,
};
use repoll_testkit::cgroup::{self, Group};
use repoll_testkit::takeover::SwitchedOn;
use std::fs::File;
use std::os::fd::{AsFd, RawFd};

pub fn tests() -> Vec<Test> {
    repoll_only!("takeover":
        only_root_opens_the_device,
        only_an_administrator_makes_requests,
        requests_that_make_no_sense_are_einval,
        a_descriptor_that_is_no_cgroup_is_refused,
        each_call_has_its_functions,
        a_function_that_another_has_is_refused,
        another_gets_no_function_that_is_replaced,
        a_policy_for_all_concerns_new_instances,
        a_policy_of_a_cgroup_concerns_its_tasks,
        a_cgroup_that_is_gone_has_no_tasks,
        a_refused_policy_leaves_the_former_one,
    )
}

/// Runs `body` in a child, which ends with its errno, 0 for none.
fn errno_in_child(body: impl FnOnce() -> io::Result<()>) -> Result<i32> {
    let child = processes::fork(|| match body() {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(200),
    })?;
    Ok(child.wait()?)
}

const OTHER: u32 = 4711;

fn only_root_opens_the_device() -> Result<()> {
    let errno = errno_in_child(|| {
        processes::become_user(OTHER)?;
        File::open(TAKEOVER_DEVICE).map(drop)
    })?;
    ensure!(errno == libc::EACCES, "{errno}");
    Ok(())
}

fn only_an_administrator_makes_requests() -> Result<()> {
    let off = SwitchedOn::with(Policy::Off)?;
    let takeover = off.device();
    let requests: [&dyn Fn() -> io::Result<()>; 3] = [
        &|| takeover.set(Policy::All(TakeoverCalls::EPOLL)),
        &|| takeover.set(Policy::Off),
        &|| takeover.status().map(drop),
    ];
    for request in requests {
        let of_user = errno_in_child(|| {
            processes::become_user(OTHER)?;
            request()
        })?;
        ensure!(of_user == libc::EPERM, "{of_user}");
        // It has all capabilities, but in a user namespace of its own.
        let in_namespace = errno_in_child(|| {
            processes::unshare(libc::CLONE_NEWUSER)?;
            request()
        })?;
        ensure!(in_namespace == libc::EPERM, "{in_namespace}");
    }
    ensure!(takeover.status()?.mode == TakeoverMode::Off);
    Ok(())
}

fn set(takeover: &Takeover, mode: u32, calls: u32, cgroup_fd: RawFd, flags: u32) -> io::Result<()> {
    let mut argument = repoll_takeover {
        mode,
        calls,
        cgroup_fd,
        flags,
    };
    // SAFETY: there are no addresses in the argument.
    unsafe { sys::ioctl(takeover, &mut argument) }.map(drop)
}

fn requests_that_make_no_sense_are_einval() -> Result<()> {
    let off = SwitchedOn::with(Policy::Off)?;
    let takeover = off.device();
    for (mode, calls, cgroup, flags) in [
        (3, 1, -1, 0),
        (u32::MAX, 1, -1, 0),
        (REPOLL_TAKEOVER_ALL, 0, -1, 0),
        (REPOLL_TAKEOVER_ALL, 8, -1, 0),
        (REPOLL_TAKEOVER_ALL, 9, -1, 0),
        (REPOLL_TAKEOVER_ALL, 1, 0, 0),
        (REPOLL_TAKEOVER_ALL, 1, -1, 1),
        (REPOLL_TAKEOVER_CGROUP, 0, -1, 0),
        (0, 1, -1, 0),
        (0, 0, 0, 0),
        (0, 0, -1, 1),
    ] {
        let result = set(takeover, mode, calls, cgroup, flags);
        expect_error(result, libc::EINVAL)?;
    }
    let status = takeover.status()?;
    ensure!(
        status.mode == TakeoverMode::Off && status.hooked.is_empty(),
        "{status:?}"
    );
    Ok(())
}

fn a_descriptor_that_is_no_cgroup_is_refused() -> Result<()> {
    let off = SwitchedOn::with(Policy::Off)?;
    let takeover = off.device();
    let epoll = TakeoverCalls::EPOLL.bits();
    let (eventfd, folder) = (files::eventfd()?, File::open("/tmp")?);
    for fd in [-1, 900, eventfd.as_raw_fd(), folder.as_raw_fd()] {
        expect_error(
            set(takeover, REPOLL_TAKEOVER_CGROUP, epoll, fd, 0),
            libc::EBADF,
        )?;
    }
    ensure!(takeover.status()?.hooked.is_empty());
    Ok(())
}

fn each_call_has_its_functions() -> Result<()> {
    let takeover = Takeover::open()?;
    ensure!(
        takeover.status()?.hooked.is_empty(),
        "something is replaced before"
    );
    for (calls, hooks) in [
        (TakeoverCalls::EPOLL, OF_INSTANCES | Hooks::EPOLL_CREATE),
        (TakeoverCalls::SELECT, Hooks::SELECT),
        (TakeoverCalls::POLL, Hooks::POLL),
        (TakeoverCalls::all(), Hooks::all()),
    ] {
        let _on = on(calls)?;
        let status = takeover.status()?;
        ensure!(
            status.calls == calls && status.hooked == hooks,
            "{calls:?}: {status:?}"
        );
        ensure!(status.mode == TakeoverMode::All, "{status:?}");
        ensure!(status.means != TakeoverMeans::Unavailable, "{status:?}");
    }
    eventually_hooked(&takeover, Hooks::empty())
}

fn a_function_that_another_has_is_refused() -> Result<()> {
    let takeover = Takeover::open()?;
    for (function, parameter) in [
        ("do_epoll_create", c"function=do_epoll_create"),
        ("do_epoll_wait", c"function=do_epoll_wait"),
    ] {
        let holder = Holder::load_with(DIRECT_HOLDER, parameter)?;
        let mut log = Kmsg::open();
        expect_error(takeover.set(Policy::All(TakeoverCalls::EPOLL)), libc::EBUSY)?;
        log.expect(&format!("takeover: {}: ", function))?;
        let status = takeover.status()?;
        ensure!(
            status.hooked.is_empty() && status.mode == TakeoverMode::Off,
            "{status:?}"
        );
        instance_of(Side::Kernel)?;
        drop(holder);
        let _on = on(TakeoverCalls::EPOLL)?;
        instance_of(Side::Repoll)?;
    }
    Ok(())
}

fn another_gets_no_function_that_is_replaced() -> Result<()> {
    let on = on(TakeoverCalls::EPOLL)?;
    if on.device().status()?.means != TakeoverMeans::Jump {
        return repoll_testkit::skip::skip("the holder holds jumps, and this kernel has none");
    }
    ensure!(
        Holder::load_with(DIRECT_HOLDER, c"function=do_epoll_wait").is_err(),
        "it has the function"
    );
    let m = instance_of(Side::Repoll)?;
    let fd = files::eventfd()?;
    m.add(&fd, EventFlags::IN, 1)?;
    signal(&fd)?;
    expect_one(&m, 1).map(drop)
}

fn a_policy_for_all_concerns_new_instances() -> Result<()> {
    let before = instance_of(Side::Kernel)?;
    let on = on(TakeoverCalls::EPOLL)?;
    let made = on.device().status()?.created;
    let during = instance_of(Side::Repoll)?;
    let status = on.device().status()?;
    ensure!(
        status.instances == 1 && status.created == made + 1,
        "{status:?}"
    );
    on.device().set(Policy::Off)?;
    let after = instance_of(Side::Kernel)?;
    // All three watch one file, and each tells its own datum.
    let fd = files::eventfd()?;
    let all = [&before, &during, &after];
    for (datum, m) in all.iter().enumerate() {
        m.add(&fd, EventFlags::IN, datum as u64)?;
        expect_error(m.add(&fd, EventFlags::IN, 9), libc::EEXIST)?;
    }
    signal(&fd)?;
    for (datum, m) in all.iter().enumerate() {
        expect_one(*m, datum as u64)?;
        m.modify(&fd, EventFlags::OUT, datum as u64 + 10)?;
        expect_one(*m, datum as u64 + 10)?;
        m.delete(&fd)?;
        expect_error(m.delete(&fd), libc::ENOENT)?;
    }
    ensure!(Side::Kernel.has_made(&before) && Side::Repoll.has_made(&during));
    Ok(())
}

/// 1 if a new instance of this process is the module's, 0 if it is the kernel's.
fn is_taken_over() -> io::Result<i32> {
    Ok(Side::Repoll.has_made(&Epoll::of_any_side()?).into())
}

/// The answer of [`is_taken_over`] in a child that does `first`.
fn child_is_taken_over(first: impl FnOnce() -> io::Result<()>) -> Result<bool> {
    let child = processes::fork(|| first().and_then(|()| is_taken_over()))?;
    match child.wait()? {
        status @ (0 | 1) => Ok(status == 1),
        status => anyhow::bail!("the child failed: {status}"),
    }
}

fn a_policy_of_a_cgroup_concerns_its_tasks() -> Result<()> {
    let group = Group::new(&[])?;
    let (below, other) = (group.child()?, Group::new(&[])?);
    let on = SwitchedOn::with(Policy::Cgroup(group.as_fd(), TakeoverCalls::EPOLL))?;
    let inode = rustix::fs::fstat(&group)?.st_ino;
    let status = on.device().status()?;
    ensure!(status.mode == TakeoverMode::Cgroup(inode), "{status:?}");
    instance_of(Side::Kernel)?;
    ensure!(!child_is_taken_over(|| Ok(()))?, "a child outside");
    ensure!(
        !child_is_taken_over(|| other.enter(0))?,
        "a child in another group"
    );
    ensure!(
        child_is_taken_over(|| group.enter(0))?,
        "a child in the group"
    );
    ensure!(
        child_is_taken_over(|| below.enter(0))?,
        "a child in a group below"
    );
    let inherits = processes::fork(|| {
        let grandchild = || child_is_taken_over(|| Ok(())).map_or(2, i32::from);
        group.enter(0).map_or(3, |()| grandchild())
    })?;
    ensure!(inherits.wait()? == 1, "a child of a child in the group");
    let moves = child_is_taken_over(|| {
        group.enter(0)?;
        let kept = Epoll::of_any_side()?;
        cgroup::enter_root(0)?;
        // The instance stays the module's.
        match Side::Repoll.has_made(&kept) {
            true => Ok(()),
            false => Err(io::Error::other("it has changed sides")),
        }
    })?;
    ensure!(!moves, "a child that has left the group");
    Ok(())
}

fn a_cgroup_that_is_gone_has_no_tasks() -> Result<()> {
    let group = Group::new(&[])?;
    let on = SwitchedOn::with(Policy::Cgroup(group.as_fd(), TakeoverCalls::all()))?;
    drop(group);
    instance_of(Side::Kernel)?;
    let status = on.device().status()?;
    ensure!(
        status.mode == TakeoverMode::Off && status.cause == TakeoverCause::Removed,
        "{status:?}"
    );
    // A group of the same name is another group.
    let again = Group::new(&[])?;
    ensure!(!child_is_taken_over(|| again.enter(0))?);
    on.device().set(Policy::Off)?;
    eventually_hooked(on.device(), Hooks::empty())
}

fn a_refused_policy_leaves_the_former_one() -> Result<()> {
    let on = on(TakeoverCalls::EPOLL)?;
    let before = on.device().status()?;
    expect_error(set(on.device(), 7, 1, -1, 0), libc::EINVAL)?;
    let result = set(on.device(), REPOLL_TAKEOVER_CGROUP, 1, -1, 0);
    expect_error(result, libc::EBADF)?;
    ensure!(on.device().status()? == before);
    instance_of(Side::Repoll).map(drop)
}
