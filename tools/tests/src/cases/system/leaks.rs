// SPDX-License-Identifier: GPL-2.0
//! Ten thousand calls, failed or not, leave no memory and no descriptor behind.

use crate::prelude::*;
use crate::support::{memory_is_countable, open_descriptors};
use repoll::sys::repoll_ctl;
use repoll::CreateFlags;
use repoll_testkit::memory::Place;
use repoll_testkit::raw;
use std::fs::File;

pub fn tests() -> Vec<Test> {
    repoll_only!("leaks" within 120:
        open_and_close_leave_nothing,
        create_and_close_leave_nothing,
        add_and_del_leave_nothing,
        add_and_close_of_the_file_leave_nothing,
        add_and_close_of_the_instance_leave_nothing,
        errors_leave_nothing,
        waits_leave_nothing,
    )
}

/// The number of rounds; a leak of one object each time stands out of the noise.
const TIMES: usize = 5000;

/// The number of slab objects in use in the whole kernel.
///
/// Caches are merged at the kernel's will, so none can be looked at alone.
fn objects() -> Result<i64> {
    let text = fs::read_to_string("/proc/slabinfo").context("reading /proc/slabinfo")?;
    let active = |line: &str| line.split_ascii_whitespace().nth(1)?.parse::<i64>().ok();
    Ok(text.lines().skip(2).filter_map(active).sum())
}

/// Does something many times; neither objects nor descriptors may have grown with it.
fn leaves_nothing(mut something: impl FnMut() -> Result<()>) -> Result<()> {
    memory_is_countable()?;
    let times = settings::get().loops(TIMES);
    // Whatever is made once and kept.
    for _ in 0..200 {
        something()?;
    }
    let descriptors = open_descriptors()?;
    std::thread::sleep(Duration::from_millis(200));
    let before = objects()?;
    for _ in 0..times {
        something()?;
    }
    ensure!(
        open_descriptors()? == descriptors,
        "descriptors are left open"
    );
    // RCU and work queues free memory a moment later.
    let mut grown = 0;
    let settled = eventually("memory is freed", || {
        grown = objects()? - before;
        Ok(grown < times as i64 / 4)
    });
    ensure!(settled.is_ok(), "{grown} objects more after {times} times");
    Ok(())
}

fn open_and_close_leave_nothing() -> Result<()> {
    leaves_nothing(|| {
        Repoll::new()?;
        Ok(())
    })
}

fn create_and_close_leave_nothing() -> Result<()> {
    let m = Repoll::new()?;
    leaves_nothing(|| {
        m.instance().create(CreateFlags::CLOEXEC)?;
        Ok(())
    })
}

fn add_and_del_leave_nothing() -> Result<()> {
    let m = Repoll::new()?;
    let fd = files::eventfd()?;
    leaves_nothing(|| {
        m.add(&fd, EventFlags::IN, 1)?;
        signal(&fd)?;
        m.delete(&fd)?;
        Ok(())
    })
}

fn add_and_close_of_the_file_leave_nothing() -> Result<()> {
    let m = Repoll::new()?;
    leaves_nothing(|| {
        let (reader, writer) = files::pipe()?;
        m.add(&reader, EventFlags::IN, 1)?;
        m.add(&writer, EventFlags::OUT, 2)?;
        Ok(())
    })
}

fn add_and_close_of_the_instance_leave_nothing() -> Result<()> {
    let fds = eventfds(3)?;
    leaves_nothing(|| {
        let m = Repoll::new()?;
        m.add_all(&fds, EventFlags::IN, 1)?;
        signal(&fds[0])?;
        Ok(())
    })
}

fn errors_leave_nothing() -> Result<()> {
    let m = Repoll::new()?;
    let directory = File::open("/")?;
    let epoll = repoll_testkit::multiplexer::Epoll::new()?;
    let fd = files::eventfd()?;
    m.add(&fd, EventFlags::IN, 1)?;
    let unknown_flag = repoll_ctl {
        op: libc::EPOLL_CTL_ADD,
        fd: fd.as_raw_fd(),
        flags: 1,
        ..Default::default()
    };
    leaves_nothing(|| {
        expect_error(m.add(&directory, EventFlags::IN, 1), libc::EPERM)?;
        expect_error(m.add(&epoll, EventFlags::IN, 1), libc::ELOOP)?;
        expect_error(m.add(&m, EventFlags::IN, 1), libc::EINVAL)?;
        expect_error(m.add(&fd, EventFlags::IN, 1), libc::EEXIST)?;
        expect_error(m.add(&-1, EventFlags::IN, 1), libc::EBADF)?;
        expect_error(m.ctl(77, fd.as_raw_fd(), EventFlags::IN, 1), libc::EINVAL)?;
        expect_error(m.ctl_raw(&unknown_flag), libc::EINVAL)?;
        expect_error(m.wait_at(Place::nowhere(4096), 0, None), libc::EINVAL)?;
        let bad = raw::ioctl_nowhere(&m, repoll::sys::REPOLL_IOCTL_CTL, 4096);
        expect_error(bad, libc::EFAULT)?;
        Ok(())
    })
}

fn waits_leave_nothing() -> Result<()> {
    let m = Repoll::new()?;
    let fds = eventfds(4)?;
    for fd in &fds {
        m.add(fd, EventFlags::IN, 1)?;
        signal(fd)?;
    }
    leaves_nothing(|| {
        ensure!(m.ready()?.len() == 4);
        ensure!(m.wait(2, Some(Duration::ZERO))?.len() == 2);
        Ok(())
    })
}
