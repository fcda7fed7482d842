// SPDX-License-Identifier: GPL-2.0
//! POLL, in what it has of its own; what it shares with SELECT is in [`super::scan`].

use crate::prelude::*;
use crate::registry::sides;
use repoll_testkit::limits;
use repoll_testkit::memory::{Mapping, Place};
use repoll_testkit::scanner::{pollfds, Kernel, Side};
use repoll_testkit::signals::Mask;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;

pub fn tests() -> Vec<Test> {
    let mut tests = sides!("poll":
        a_negative_descriptor_is_passed_over,
        a_closed_descriptor_is_pollnval,
        err_and_hup_need_not_be_asked_for,
        every_event_bit_is_answered_as_the_kernel_does,
        the_answers_are_cleared,
        a_descriptor_may_be_given_often,
        no_descriptors_are_no_error,
        more_than_the_limit_of_open_files_is_einval,
        a_bad_array_is_efault,
        an_array_that_cannot_be_written_is_efault,
        a_file_without_poll_is_always_ready,
        an_array_of_any_length_is_read_and_answered,
        a_count_beyond_what_is_mapped_takes_no_memory,
    );
    tests.extend(within(120, sides!("poll": a_hundred_thousand_descriptors)));
    tests
}

const NOW: Option<Duration> = Some(Duration::ZERO);
const CLOSED: RawFd = 987;

fn revents(fds: &[libc::pollfd]) -> Vec<i16> {
    fds.iter().map(|fd| fd.revents).collect()
}

fn a_negative_descriptor_is_passed_over<S: Side>() -> Result<()> {
    let side = S::new()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    let mut fds = pollfds(&[-1, fd.as_raw_fd(), i32::MIN, -CLOSED], libc::POLLIN);
    fds.iter_mut().for_each(|fd| fd.revents = 0x7fff);
    ensure!(side.poll(&mut fds, NOW)? == 1);
    ensure!(revents(&fds) == [0, libc::POLLIN, 0, 0], "{fds:?}");
    ensure!(side.poll(&mut pollfds(&[-1], -1), NOW)? == 0);
    Ok(())
}

fn a_closed_descriptor_is_pollnval<S: Side>() -> Result<()> {
    let side = S::new()?;
    let fd = files::eventfd()?;
    for (events, closed) in [(0, CLOSED), (libc::POLLIN, i32::MAX), (-1, 1 << 20)] {
        let mut fds = pollfds(&[closed, fd.as_raw_fd()], events & !libc::POLLOUT);
        // It does not wait for the other one.
        ensure!(side.poll(&mut fds, None)? == 1);
        ensure!(revents(&fds) == [libc::POLLNVAL, 0], "{fds:?}");
    }
    Ok(())
}

fn err_and_hup_need_not_be_asked_for<S: Side>() -> Result<()> {
    let side = S::new()?;
    let (reader, writer) = files::pipe()?;
    let (other_reader, other_writer) = files::pipe()?;
    drop((writer, other_reader));
    let mut fds = pollfds(&[reader.as_raw_fd(), other_writer.as_raw_fd()], 0);
    ensure!(side.poll(&mut fds, None)? == 2);
    ensure!(revents(&fds) == [libc::POLLHUP, libc::POLLERR], "{fds:?}");
    Ok(())
}

/// Each bit alone, and all, on files in several states.
fn every_event_bit_is_answered_as_the_kernel_does<S: Side>() -> Result<()> {
    let side = S::new()?;
    let (near, far) = UnixStream::pair()?;
    let (reader, writer) = files::pipe()?;
    let event = files::eventfd()?;
    let numbers = [
        near.as_raw_fd(),
        reader.as_raw_fd(),
        writer.as_raw_fd(),
        event.as_raw_fd(),
        CLOSED,
        -1,
    ];
    let compare = |state: &str| -> Result<()> {
        for events in (0..16).map(|bit| 1 << bit).chain([0, -1, 0x3ff]) {
            let (mut ours, mut theirs) = (pollfds(&numbers, events), pollfds(&numbers, events));
            let results = (side.poll(&mut ours, NOW)?, Kernel.poll(&mut theirs, NOW)?);
            ensure!(
                results.0 == results.1 && revents(&ours) == revents(&theirs),
                "{state}, {events:#x}: {ours:?}, not {theirs:?}"
            );
        }
        Ok(())
    };
    compare("new")?;
    signal(&event)?;
    files::write(&writer, b"x")?;
    files::write(&far, b"x")?;
    compare("written to")?;
    far.shutdown(std::net::Shutdown::Write)?;
    compare("shut down")?;
    drop((far, reader));
    compare("closed")
}

fn the_answers_are_cleared<S: Side>() -> Result<()> {
    let side = S::new()?;
    let fd = files::eventfd()?;
    let mut fds = pollfds(&[fd.as_raw_fd()], libc::POLLIN);
    fds[0].revents = -1;
    ensure!(side.poll(&mut fds, Some(Duration::from_millis(1)))? == 0);
    ensure!(
        fds[0].revents == 0 && fds[0].events == libc::POLLIN,
        "{fds:?}"
    );
    Ok(())
}

fn a_descriptor_may_be_given_often<S: Side>() -> Result<()> {
    let side = S::new()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    let mut fds = pollfds(&[fd.as_raw_fd(); 100], libc::POLLIN);
    for one in &mut fds[50..] {
        one.events = libc::POLLOUT;
    }
    ensure!(side.poll(&mut fds, Some(LONG))? == 100);
    ensure!(fds[49].revents == libc::POLLIN && fds[50].revents == libc::POLLOUT);
    Ok(())
}

fn no_descriptors_are_no_error<S: Side>() -> Result<()> {
    let side = S::new()?;
    let poll =
        |at: usize, timeout| side.poll_at(Place::nowhere(at), 0, &mut { timeout }, Mask::default());
    for timeout in [NOW, Some(Duration::from_millis(2))] {
        for address in [0, 1, 4096] {
            ensure!(poll(address, timeout)? == 0);
        }
        // A kernel that masks addresses does not look at this one; others refuse it.
        let ours = poll(usize::MAX, timeout);
        let nowhere = Place::nowhere(usize::MAX);
        let theirs = Kernel.poll_at(nowhere, 0, &mut { timeout }, Mask::default());
        match theirs {
            Ok(ready) => ensure!(ready == 0 && ours? == 0),
            Err(error) => expect_error(ours, error.raw_os_error().unwrap_or(0))?,
        }
    }
    Ok(())
}

fn more_than_the_limit_of_open_files_is_einval<S: Side>() -> Result<()> {
    let side = S::new()?;
    const LIMIT: u64 = 50;
    limits::limit_files(LIMIT, limits::most_files())?;
    let mut fds = pollfds(&[-1; LIMIT as usize + 1], libc::POLLIN);
    ensure!(side.poll(&mut fds[..LIMIT as usize], NOW)? == 0);
    expect_error(side.poll(&mut fds, NOW), libc::EINVAL)?;
    for count in [LIMIT as u32 + 1, i32::MAX as u32, u32::MAX] {
        // It comes before the address is looked at.
        let result = side.poll_at(Place::nowhere(1), count, &mut { NOW }, Mask::default());
        expect_error(result, libc::EINVAL)?;
    }
    Ok(())
}

fn a_bad_array_is_efault<S: Side>() -> Result<()> {
    let side = S::new()?;
    for address in [0, 1, 4096, usize::MAX - 4095, usize::MAX] {
        for timeout in [NOW, None] {
            let nowhere = Place::nowhere(address);
            let result = side.poll_at(nowhere, 1, &mut { timeout }, Mask::default());
            expect_error(result, libc::EFAULT)?;
        }
    }
    // The first descriptors are there, the last one is not; few ones and many.
    for count in [2, 30, 31, 33, 500, 513] {
        let fds = pollfds(&vec![-1; count - 1], libc::POLLIN);
        let (edge, offset) = Mapping::ending_with(&fds)?;
        let poll = |count| side.poll_at(edge.place(offset), count, &mut { NOW }, Mask::default());
        ensure!(poll(count as u32 - 1)? == 0);
        expect_error(poll(count as u32), libc::EFAULT)?;
    }
    Ok(())
}

/// The kernel would complain in its log about an allocation that no machine has memory for.
fn a_count_beyond_what_is_mapped_takes_no_memory<S: Side>() -> Result<()> {
    const NR_OPEN: &str = "/proc/sys/fs/nr_open";
    const MOST: u32 = 1 << 30;
    let side = S::new()?;
    let (edge, offset) = Mapping::ending_with(&pollfds(&[-1; 5000], libc::POLLIN))?;
    let before = fs::read_to_string(NR_OPEN)?;
    fs::write(NR_OPEN, MOST.to_string())?;
    let limited = limits::limit_files(MOST.into(), MOST.into());
    fs::write(NR_OPEN, before)?;
    limited?;
    for count in [
        5001,
        1 << 20,
        1 << 27,
        1 << 28,
        (1 << 28) + 1,
        1 << 29,
        MOST,
    ] {
        let result = side.poll_at(edge.place(offset), count, &mut { NOW }, Mask::default());
        expect_error(result, libc::EFAULT)?;
    }
    Ok(())
}

fn an_array_that_cannot_be_written_is_efault<S: Side>() -> Result<()> {
    let side = S::new()?;
    let fd = files::eventfd()?;
    for count in [1, 40] {
        let array = Mapping::read_only_with(&pollfds(&vec![fd.as_raw_fd(); count], libc::POLLIN))?;
        let poll = |timeout: &mut Option<Duration>| {
            side.poll_at(array.place(0), count as u32, timeout, Mask::default())
        };
        expect_error(poll(&mut { NOW }), libc::EFAULT)?;
        let mut timeout = Some(LONG);
        signal(&fd)?;
        expect_error(poll(&mut timeout), libc::EFAULT)?;
        ensure!(timeout.is_some_and(|left| left < LONG), "{timeout:?}");
        files::read_all(&fd)?;
    }
    Ok(())
}

fn a_file_without_poll_is_always_ready<S: Side>() -> Result<()> {
    let side = S::new()?;
    let file = std::fs::File::open("/")?;
    let mut fds = pollfds(&[file.as_raw_fd()], libc::POLLIN | libc::POLLOUT);
    ensure!(side.poll(&mut fds, None)? == 1);
    ensure!(
        fds[0].revents == libc::POLLIN | libc::POLLOUT,
        "{}",
        fds[0].revents
    );
    Ok(())
}

/// Lengths around those at which memory is had in another way.
fn an_array_of_any_length_is_read_and_answered<S: Side>() -> Result<()> {
    let side = S::new()?;
    let files = eventfds(700)?;
    let numbers: Vec<_> = files.iter().map(AsRawFd::as_raw_fd).collect();
    for count in [
        1, 8, 9, 10, 29, 30, 31, 32, 33, 71, 72, 73, 134, 135, 542, 700,
    ] {
        for ready in [0, count / 2, count - 1] {
            // First nobody is ready: all are waited for.
            let mut fds = pollfds(&numbers[..count], libc::POLLIN);
            ensure!(side.poll(&mut fds, Some(Duration::from_micros(1)))? == 0);
            signal(&files[ready])?;
            ensure!(side.poll(&mut fds, Some(LONG))? == 1);
            let found: Vec<_> = (0..count).filter(|&n| fds[n].revents != 0).collect();
            ensure!(found == [ready], "of {count}: {found:?}, not {ready}");
            files::read_all(&files[ready])?;
        }
    }
    Ok(())
}

fn a_hundred_thousand_descriptors<S: Side>() -> Result<()> {
    const COUNT: usize = 100_000;
    let side = S::new()?;
    let fd = files::eventfd()?;
    limits::limit_files(COUNT as u64 + 1000, COUNT as u64 + 1000)?;
    let copies = files::copies(&fd, COUNT)?;
    let numbers: Vec<_> = copies.iter().map(AsRawFd::as_raw_fd).collect();
    let mut fds = pollfds(&numbers, libc::POLLIN);
    ensure!(side.poll(&mut fds, Some(Duration::from_millis(1)))? == 0);
    let ready = after(
        Duration::from_millis(300),
        || signal(&fd),
        || side.poll(&mut fds, Some(LONG)),
    )?;
    // It may have come in the midst of a pass.
    ensure!(ready > 0 && ready <= COUNT, "{ready}");
    ensure!(side.poll(&mut fds, None)? == COUNT);
    ensure!(fds.iter().all(|fd| fd.revents == libc::POLLIN));
    Ok(())
}
