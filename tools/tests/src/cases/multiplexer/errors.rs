// SPDX-License-Identifier: GPL-2.0
//! Errors that the C epoll has too, in its order. None of them changes anything.

use crate::prelude::*;
use crate::support::open_descriptors;
use repoll_testkit::memory::{self, Mapping, Place};
use repoll_testkit::user_space::end_of_user_space;
use std::fs::File;
use std::os::fd::RawFd;

pub fn tests() -> Vec<Test> {
    both!("errors":
        a_wrong_descriptor_is_ebadf,
        a_wrong_operation_is_einval,
        a_file_that_cannot_be_polled_is_eperm,
        eperm_comes_before_einval,
        the_instance_itself_is_einval,
        a_second_add_is_eexist,
        mod_and_del_of_an_unwatched_file_are_enoent,
        a_wrong_maxevents_is_einval,
        a_wrong_maxevents_comes_before_a_bad_pointer,
        a_kernel_address_for_the_events_is_efault,
        an_unmapped_address_for_the_events_is_efault_when_ready,
        unknown_event_bits_are_ignored,
        a_failed_add_leaves_nothing_behind,
    )
}

const CLOSED: RawFd = 987;

fn a_wrong_descriptor_is_ebadf<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    for op in [
        libc::EPOLL_CTL_ADD,
        libc::EPOLL_CTL_MOD,
        libc::EPOLL_CTL_DEL,
        77,
    ] {
        for fd in [-1, CLOSED, i32::MAX, i32::MIN] {
            expect_error(m.ctl(op, fd, EventFlags::IN, 0), libc::EBADF)?;
        }
    }
    Ok(())
}

fn a_wrong_operation_is_einval<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    for op in [0, 4, -1, 77, i32::MAX] {
        expect_error(m.ctl(op, fd.as_raw_fd(), EventFlags::IN, 2), libc::EINVAL)?;
    }
    signal(&fd)?;
    expect_one(&m, 1).map(drop)
}

fn a_file_that_cannot_be_polled_is_eperm<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let files = [File::open("/")?, File::from(files::memfd("x")?)];
    for file in files {
        expect_error(m.add(&file, EventFlags::IN, 1), libc::EPERM)?;
        expect_error(m.modify(&file, EventFlags::IN, 1), libc::EPERM)?;
        expect_error(m.delete(&file), libc::EPERM)?;
    }
    Ok(())
}

fn eperm_comes_before_einval<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let file = File::open("/")?;
    expect_error(m.ctl(77, file.as_raw_fd(), EventFlags::IN, 1), libc::EPERM)
}

fn the_instance_itself_is_einval<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let copy = m.duplicate()?;
    for op in [
        libc::EPOLL_CTL_ADD,
        libc::EPOLL_CTL_MOD,
        libc::EPOLL_CTL_DEL,
    ] {
        expect_error(m.ctl(op, m.as_raw_fd(), EventFlags::IN, 1), libc::EINVAL)?;
        expect_error(m.ctl(op, copy.as_raw_fd(), EventFlags::IN, 1), libc::EINVAL)?;
    }
    expect_none(&m)
}

fn a_second_add_is_eexist<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    expect_error(m.add(&fd, EventFlags::OUT, 2), libc::EEXIST)?;
    expect_none(&m)?;
    signal(&fd)?;
    expect_one(&m, 1).map(drop)
}

fn mod_and_del_of_an_unwatched_file_are_enoent<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = files::eventfd()?;
    expect_error(m.modify(&fd, EventFlags::IN, 1), libc::ENOENT)?;
    expect_error(m.delete(&fd), libc::ENOENT)?;
    m.add(&fd, EventFlags::IN, 1)?;
    // Another number of the same file is another key.
    let copy = fd.try_clone()?;
    expect_error(m.modify(&copy, EventFlags::IN, 1), libc::ENOENT)?;
    expect_error(m.delete(&copy), libc::ENOENT)?;
    m.delete(&fd)?;
    expect_error(m.delete(&fd), libc::ENOENT)
}

fn wait_at<M: Multiplexer>(m: &M, place: Place<'_>, max: i32) -> std::io::Result<usize> {
    m.wait_at(place, max, Some(Duration::ZERO))
}

fn a_wrong_maxevents_is_einval<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    signal(&fd)?;
    // The array must end below the end of user space, however little of it is mapped.
    let page = Mapping::at(0x1000_0000_0000, memory::page_size())?;
    let most = i32::MAX / size_of::<repoll::Event>() as i32;
    for max in [0, -1, i32::MIN, most + 1, i32::MAX] {
        expect_error(wait_at(&m, page.place(0), max), libc::EINVAL)?;
    }
    ensure!(wait_at(&m, page.place(0), most)? == 1);
    Ok(())
}

fn a_wrong_maxevents_comes_before_a_bad_pointer<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    expect_error(
        wait_at(&m, Place::nowhere(usize::MAX - 4095), 0),
        libc::EINVAL,
    )
}

/// Even with nothing ready.
fn a_kernel_address_for_the_events_is_efault<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    for address in [usize::MAX - 4095, 0xffff_8880_0000_0000] {
        expect_error(wait_at(&m, Place::nowhere(address), 1), libc::EFAULT)?;
    }
    // The end of the array counts, not its begin alone.
    let most = i32::MAX / size_of::<repoll::Event>() as i32;
    let address = end_of_user_space()? - 0x1_0000;
    // SAFETY: nothing is written, as nothing is watched.
    let place = unsafe { Place::at(address) };
    expect_error(wait_at(&m, place, most), libc::EFAULT)
}

fn an_unmapped_address_for_the_events_is_efault_when_ready<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    ensure!(wait_at(&m, Place::nowhere(4096), 1)? == 0);
    signal(&fd)?;
    expect_error(wait_at(&m, Place::nowhere(4096), 1), libc::EFAULT)?;
    expect_error(wait_at(&m, Place::NULL, 1), libc::EFAULT)?;
    expect_one(&m, 1).map(drop)
}

fn unknown_event_bits_are_ignored<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = files::eventfd()?;
    m.add(
        &fd,
        EventFlags::IN | EventFlags::from_bits_retain(1 << 20),
        1,
    )?;
    signal(&fd)?;
    ensure!(expect_one(&m, 1)? == EventFlags::IN);
    Ok(())
}

fn a_failed_add_leaves_nothing_behind<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let directory = File::open("/")?;
    let fd = files::eventfd()?;
    m.add(&fd, EventFlags::IN, 1)?;
    let before = open_descriptors()?;
    for _ in 0..1000 {
        expect_error(m.add(&directory, EventFlags::IN, 1), libc::EPERM)?;
        expect_error(m.add(&fd, EventFlags::IN, 1), libc::EEXIST)?;
        expect_error(m.add(&CLOSED, EventFlags::IN, 1), libc::EBADF)?;
        expect_error(m.add(&m, EventFlags::IN, 1), libc::EINVAL)?;
    }
    ensure!(open_descriptors()? == before);
    m.delete(&fd)?;
    m.add(&fd, EventFlags::IN, 2)?;
    signal(&fd)?;
    expect_one(&m, 2).map(drop)
}
