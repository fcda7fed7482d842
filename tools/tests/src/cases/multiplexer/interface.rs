// SPDX-License-Identifier: GPL-2.0
//! The ioctl interface of repoll itself: versions by size, flags, NOP, CREATE.

use crate::prelude::*;
use crate::support::open_descriptors;
use repoll::sys::*;
use repoll::{CreateFlags, Event};
use repoll_testkit::file_kinds::Scratch;
use repoll_testkit::raw;
use rustix::io::FdFlags;

pub fn tests() -> Vec<Test> {
    repoll_only!("interface":
        nop_does_nothing,
        create_makes_an_independent_instance,
        create_sets_close_on_exec_when_asked,
        unknown_flags_are_einval,
        a_bad_pointer_to_the_argument_is_efault,
        a_longer_argument_is_taken_when_the_rest_is_zero,
        a_longer_argument_with_more_in_it_is_e2big,
        the_first_version_of_wait_is_understood,
        an_argument_shorter_than_the_first_version_is_einval,
        poll_and_select_are_versioned_too,
        an_unknown_request_is_einval,
        read_and_write_are_refused,
        an_instance_that_is_opened_again_is_a_new_one,
        an_instance_that_was_created_cannot_be_opened_again,
        create_needs_no_device,
        busy_polling_is_not_supported,
        an_instance_that_was_created_has_the_c_epolls_name,
    )
}

/// The number of `request` for another size of its structure.
fn resized(request: u32, size: usize) -> u32 {
    (request & !(0x3fff << 16)) | ((size as u32) << 16)
}

fn ioctl<T>(m: &Repoll, request: u32, argument: &T) -> io::Result<usize> {
    let address = std::ptr::from_ref(argument) as usize;
    // SAFETY: our callers give as much as the request reads; what WAIT writes is a buffer.
    unsafe { raw::ioctl(m, request, address) }
}

fn nop_does_nothing() -> Result<()> {
    let m = Repoll::new()?;
    for _ in 0..100 {
        m.instance().nop()?;
    }
    expect_none(&m)
}

fn create_makes_an_independent_instance() -> Result<()> {
    let first = Repoll::new()?;
    let fd = files::eventfd()?;
    first.add(&fd, EventFlags::IN, 1)?;
    let second = first.create(CreateFlags::CLOEXEC)?;
    signal(&fd)?;
    expect_none(&second)?;
    second.add(&fd, EventFlags::IN, 2)?;
    expect_one(&second, 2)?;
    drop(first);
    expect_one(&second, 2)?;
    let third = second.instance().create(CreateFlags::empty())?;
    third.nop()?;
    Ok(())
}

fn create_sets_close_on_exec_when_asked() -> Result<()> {
    let m = Repoll::new()?;
    for (flags, expected) in [
        (CreateFlags::CLOEXEC, FdFlags::CLOEXEC),
        (CreateFlags::empty(), FdFlags::empty()),
    ] {
        let made = m.instance().create(flags)?;
        let got = rustix::io::fcntl_getfd(&made)?;
        ensure!(got == expected, "{flags:?}: {got:?}");
    }
    Ok(())
}

fn unknown_flags_are_einval() -> Result<()> {
    let m = Repoll::new()?;
    let fd = files::eventfd()?;
    let before = open_descriptors()?;
    for flags in [1, 1 << 31, u32::MAX, libc::O_NONBLOCK as u32] {
        let create = repoll_create {
            flags,
            ..Default::default()
        };
        expect_error(ioctl(&m, REPOLL_IOCTL_CREATE, &create), libc::EINVAL)?;
        let ctl = repoll_ctl {
            op: libc::EPOLL_CTL_ADD,
            fd: fd.as_raw_fd(),
            flags,
            ..Default::default()
        };
        expect_error(m.ctl_raw(&ctl), libc::EINVAL)?;
        let mut event = Event::default();
        let wait = repoll_wait {
            events: std::ptr::from_mut(&mut event) as u64,
            maxevents: 1,
            flags,
            ..Default::default()
        };
        expect_error(ioctl(&m, REPOLL_IOCTL_WAIT, &wait), libc::EINVAL)?;
    }
    let padded = repoll_create { flags: 0, __pad: 1 };
    expect_error(ioctl(&m, REPOLL_IOCTL_CREATE, &padded), libc::EINVAL)?;
    ensure!(open_descriptors()? == before);
    m.add(&fd, EventFlags::IN, 1)?;
    Ok(())
}

fn a_bad_pointer_to_the_argument_is_efault() -> Result<()> {
    let m = Repoll::new()?;
    for request in [
        REPOLL_IOCTL_CREATE,
        REPOLL_IOCTL_CTL,
        REPOLL_IOCTL_WAIT,
        REPOLL_IOCTL_POLL,
        REPOLL_IOCTL_SELECT,
    ] {
        for address in [0, 1, 4096, usize::MAX - 4095, usize::MAX] {
            let result = raw::ioctl_nowhere(&m, request, address);
            expect_error(result, libc::EFAULT)?;
        }
    }
    Ok(())
}

/// An argument of a later version: what we know, and more.
#[repr(C)]
#[derive(Default)]
struct Later<T> {
    known: T,
    more: [u64; 2],
}

fn a_longer_argument_is_taken_when_the_rest_is_zero() -> Result<()> {
    let m = Repoll::new()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    let ctl = Later {
        known: repoll_ctl {
            op: libc::EPOLL_CTL_ADD,
            fd: fd.as_raw_fd(),
            events: EventFlags::IN.bits(),
            flags: 0,
            data: 5,
        },
        more: [0; 2],
    };
    ioctl(&m, resized(REPOLL_IOCTL_CTL, size_of_val(&ctl)), &ctl)?;
    let mut event = Event::default();
    let wait = Later {
        known: repoll_wait {
            events: std::ptr::from_mut(&mut event) as u64,
            maxevents: 1,
            ..Default::default()
        },
        more: [0; 2],
    };
    let count = ioctl(&m, resized(REPOLL_IOCTL_WAIT, size_of_val(&wait)), &wait)?;
    ensure!(count == 1 && event.data() == 5, "{count}, {event:?}");
    let create = Later::<repoll_create>::default();
    let made = ioctl(
        &m,
        resized(REPOLL_IOCTL_CREATE, size_of_val(&create)),
        &create,
    )?;
    files::close(made as i32)?;
    Ok(())
}

fn a_longer_argument_with_more_in_it_is_e2big() -> Result<()> {
    let m = Repoll::new()?;
    let fd = files::eventfd()?;
    for more in [[1, 0], [0, 1 << 63]] {
        let ctl = Later {
            known: repoll_ctl {
                op: libc::EPOLL_CTL_ADD,
                fd: fd.as_raw_fd(),
                ..Default::default()
            },
            more,
        };
        let request = resized(REPOLL_IOCTL_CTL, size_of_val(&ctl));
        expect_error(ioctl(&m, request, &ctl), libc::E2BIG)?;
        let mut event = Event::default();
        let wait = Later {
            known: repoll_wait {
                events: std::ptr::from_mut(&mut event) as u64,
                maxevents: 1,
                ..Default::default()
            },
            more,
        };
        let request = resized(REPOLL_IOCTL_WAIT, size_of_val(&wait));
        expect_error(ioctl(&m, request, &wait), libc::E2BIG)?;
        let create = Later {
            known: repoll_create::default(),
            more,
        };
        let request = resized(REPOLL_IOCTL_CREATE, size_of_val(&create));
        expect_error(ioctl(&m, request, &create), libc::E2BIG)?;
    }
    // It was not added.
    m.add(&fd, EventFlags::IN, 1)?;
    Ok(())
}

fn the_first_version_of_wait_is_understood() -> Result<()> {
    let (m, fd) = watching_eventfd::<Repoll>(EventFlags::IN, 1)?;
    signal(&fd)?;
    let mut event = Event::default();
    let wait = repoll_wait {
        events: std::ptr::from_mut(&mut event) as u64,
        maxevents: 1,
        // Beyond the first version: must not be looked at.
        sigmask: 1,
        sigsetsize: 1,
        ..Default::default()
    };
    let request = resized(REPOLL_IOCTL_WAIT, REPOLL_WAIT_SIZE_VER0 as usize);
    let count = ioctl(&m, request, &wait)?;
    ensure!(count == 1 && event.data() == 1, "{count}, {event:?}");
    Ok(())
}

fn an_argument_shorter_than_the_first_version_is_einval() -> Result<()> {
    let m = Repoll::new()?;
    let nothing = [0u64; 8];
    for size in [0, 1, 16, REPOLL_WAIT_SIZE_VER0 as usize - 1] {
        expect_error(
            ioctl(&m, resized(REPOLL_IOCTL_WAIT, size), &nothing),
            libc::EINVAL,
        )?;
    }
    for size in [0, size_of::<repoll_ctl>() - 1] {
        expect_error(
            ioctl(&m, resized(REPOLL_IOCTL_CTL, size), &nothing),
            libc::EINVAL,
        )?;
    }
    expect_error(
        ioctl(&m, resized(REPOLL_IOCTL_CREATE, 4), &nothing),
        libc::EINVAL,
    )
}

fn poll_and_select_are_versioned_too() -> Result<()> {
    fn check<T: Default>(m: &Repoll, request: u32) -> Result<()> {
        let mut argument = Later::<T>::default();
        let size = size_of::<T>();
        let call = |argument: &Later<T>, size| ioctl(m, resized(request, size), argument);
        ensure!(call(&argument, size + 16)? == 0);
        for shorter in [0, 8, size - 8, size - 1] {
            expect_error(call(&argument, shorter), libc::EINVAL)?;
        }
        for more in [[1, 0], [0, 1 << 63]] {
            argument.more = more;
            ensure!(call(&argument, size)? == 0);
            expect_error(call(&argument, size + 16), libc::E2BIG)?;
        }
        Ok(())
    }
    let m = Repoll::new()?;
    check::<repoll_poll>(&m, REPOLL_IOCTL_POLL)?;
    check::<repoll_select>(&m, REPOLL_IOCTL_SELECT)
}

fn an_unknown_request_is_einval() -> Result<()> {
    let m = Repoll::new()?;
    let nothing = [0u64; 8];
    let c_epoll = Epoll::new()?;
    let direction = 1 << 30;
    for request in [
        0xB463,
        direction | (8 << 16) | 0xB463,
        direction | (8 << 16) | 0xB501,
        // The number of a call of ours, with another direction.
        (2 << 30) | (8 << 16) | 0xB401,
        libc::TCGETS as u32,
    ] {
        expect_error(ioctl(&m, request, &nothing), libc::EINVAL)?;
        let address = nothing.as_ptr() as usize;
        // SAFETY: nobody reads or writes more than there is.
        let of_c = unsafe { raw::ioctl(&c_epoll, request, address) };
        expect_error(of_c, libc::EINVAL)?;
    }
    Ok(())
}

/// The requests of <linux/eventpoll.h> for busy polling.
pub const EPIOCSPARAMS: u32 = (1 << 30) | (8 << 16) | 0x8a01;
pub const EPIOCGPARAMS: u32 = (2 << 30) | (8 << 16) | 0x8a02;

/// As the C epoll of a kernel that has no busy polling.
fn busy_polling_is_not_supported() -> Result<()> {
    let m = Repoll::new()?;
    for request in [EPIOCSPARAMS, EPIOCGPARAMS] {
        expect_error(ioctl(&m, request, &0u64), libc::EOPNOTSUPP)?;
    }
    Ok(())
}

/// By it lsof, CRIU and others know what it is. Only the name is the same: nesting still works.
fn an_instance_that_was_created_has_the_c_epolls_name() -> Result<()> {
    let link = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}"));
    let outer = Repoll::new()?;
    let inner = outer.create(CreateFlags::CLOEXEC)?;
    let c_epoll = Epoll::new()?;
    let name = link(inner.as_raw_fd())?;
    ensure!(name == link(c_epoll.as_raw_fd())?, "{}", name.display());
    ensure!(link(outer.as_raw_fd())?.as_os_str() == "/dev/repoll");
    let fd = files::eventfd()?;
    inner.add(&fd, EventFlags::IN, 1)?;
    outer.add(&inner, EventFlags::IN, 2)?;
    signal(&fd)?;
    expect_one(&outer, 2)?;
    expect_error(outer.add(&c_epoll, EventFlags::IN, 3), libc::ELOOP)
}

fn read_and_write_are_refused() -> Result<()> {
    let m = Repoll::new()?;
    ensure!(files::read(&m, &mut [0; 8]).is_err());
    ensure!(files::write(&m, &[0; 8]).is_err());
    Ok(())
}

/// Through /proc, the device is opened once more.
fn an_instance_that_is_opened_again_is_a_new_one() -> Result<()> {
    let first = Repoll::new()?;
    let fd = files::eventfd()?;
    first.add(&fd, EventFlags::IN, 1)?;
    signal(&fd)?;
    let path = format!("/proc/self/fd/{}", first.as_raw_fd());
    let file = std::fs::File::options().read(true).write(true).open(path)?;
    let second = Repoll::from_descriptor(file.into());
    expect_none(&second)?;
    second.add(&fd, EventFlags::IN, 2)?;
    expect_one(&second, 2)?;
    expect_one(&first, 1).map(drop)
}

/// As one of the C epoll.
fn an_instance_that_was_created_cannot_be_opened_again() -> Result<()> {
    let made = Repoll::new()?.instance().create(CreateFlags::CLOEXEC)?;
    for instance in [OwnedFd::from(made), Epoll::new()?.into_descriptor()] {
        let path = format!("/proc/self/fd/{}", instance.as_raw_fd());
        expect_error(std::fs::File::open(path), libc::ENXIO)?;
    }
    Ok(())
}

/// A program that has left the device behind makes instances all the same.
fn create_needs_no_device() -> Result<()> {
    let m = Repoll::new()?;
    let empty = Scratch::new();
    std::fs::create_dir(empty.path())?;
    let child = processes::fork(|| {
        let body = || -> Result<()> {
            std::os::unix::fs::chroot(empty.path())?;
            expect_error(Repoll::new(), libc::ENOENT)?;
            let made = m.create(CreateFlags::CLOEXEC)?;
            let fd = files::eventfd()?;
            made.add(&fd, EventFlags::IN, 1)?;
            signal(&fd)?;
            expect_one(&made, 1).map(drop)
        };
        body().map_or_else(
            |error| {
                eprintln!("in the chroot: {error:#}");
                1
            },
            |()| 0,
        )
    })?;
    let status = child.wait();
    std::fs::remove_dir(empty.path())?;
    ensure!(status? == 0);
    Ok(())
}
