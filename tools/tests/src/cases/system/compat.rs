// SPDX-License-Identifier: GPL-2.0
//! 32-bit programs: what holds for the others holds for them.

use crate::cases::multiplexer::{masks, timeouts, triggers};
use crate::cases::select_poll::scan;
use crate::prelude::*;
use repoll::sys::*;
use repoll_testkit::compat::{self, Epoll32, Low, Repoll32};
use repoll_testkit::memory::Place;
use rustix::io::FdFlags;

pub fn tests() -> Vec<Test> {
    let mut tests = of::<Epoll32>();
    tests.extend(of::<Repoll32>());
    tests.extend(scan::of_32_bit_callers());
    tests.extend(repoll_only!("compat":
        every_request_is_known_to_a_32_bit_program,
        a_32_bit_and_a_64_bit_program_share_an_instance,
        the_first_version_of_wait_is_understood_in_32_bits,
        an_unknown_request_is_einval_in_32_bits,
    ));
    tests
        .into_iter()
        .map(|test| test.after(compat::needed))
        .collect()
}

fn of<M: Multiplexer>() -> Vec<Test> {
    let mut tests = triggers::of::<M>();
    tests.extend(masks::of::<M>());
    tests.extend(timeouts::of::<M>());
    tests.extend(each!("compat", M:
        many_events_come_back_with_their_data,
        errors_are_as_for_the_others,
        an_array_that_is_not_mapped_is_efault,
    ));
    tests
}

/// All 64 bits of the data, at the places where a 32-bit program has them.
fn many_events_come_back_with_their_data<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fds = eventfds(40)?;
    let datum = |at: usize| 0x1234_5678_9abc_def0_u64.rotate_left(at as u32);
    for (at, fd) in fds.iter().enumerate() {
        m.add(fd, EventFlags::IN | EventFlags::ET, datum(at))?;
        signal(fd)?;
    }
    let mut data = m.wait(33, Some(LONG))?;
    ensure!(data.len() == 33, "{}", data.len());
    data.extend(m.wait(100, Some(LONG))?);
    let expected = (0..fds.len()).map(datum);
    ensure!(
        data.iter().map(|event| event.data()).eq(expected),
        "{data:?}"
    );
    ensure!(data.iter().all(|event| event.flags() == EventFlags::IN));
    expect_none(&m)
}

fn errors_are_as_for_the_others<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = files::eventfd()?;
    expect_error(m.delete(&fd), libc::ENOENT)?;
    expect_error(m.modify(&fd, EventFlags::IN, 1), libc::ENOENT)?;
    m.add(&fd, EventFlags::IN, 1)?;
    expect_error(m.add(&fd, EventFlags::IN, 1), libc::EEXIST)?;
    expect_error(m.add(&-1, EventFlags::IN, 1), libc::EBADF)?;
    expect_error(m.add(&m, EventFlags::IN, 1), libc::EINVAL)?;
    expect_error(m.ctl(9, fd.as_raw_fd(), EventFlags::IN, 1), libc::EINVAL)?;
    expect_error(m.wait(0, Some(Duration::ZERO)), libc::EINVAL)
}

fn an_array_that_is_not_mapped_is_efault<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN | EventFlags::ET, 1)?;
    signal(&fd)?;
    for address in [0, 4096, 0xffff_f000] {
        // SAFETY: nothing is mapped there.
        let place = unsafe { Place::at(address) };
        let result = m.wait_at(place, 1, Some(Duration::ZERO));
        expect_error(result, libc::EFAULT)?;
    }
    // And the event stays.
    expect_one(&m, 1).map(drop)
}

fn every_request_is_known_to_a_32_bit_program() -> Result<()> {
    let m = Repoll32::new()?;
    // SAFETY: NOP has no argument.
    let nop = |argument| unsafe { compat::ioctl(&m, REPOLL_IOCTL_NOP, argument) };
    ensure!(nop(0)? == 0);
    ensure!(nop(u32::MAX)? == 0);
    // CREATE makes one, and closes it on exec if asked to.
    for (flags, expected) in [(libc::O_CLOEXEC, FdFlags::CLOEXEC), (0, FdFlags::empty())] {
        let made = Repoll32::from_create(&m, flags)?;
        let got = rustix::io::fcntl_getfd(&made)?;
        ensure!(got == expected, "{flags:#x}: {got:?}");
        expect_none(&made)?;
    }
    for request in [REPOLL_IOCTL_CREATE, REPOLL_IOCTL_CTL, REPOLL_IOCTL_WAIT] {
        for address in [0, 4096, 0xffff_f000] {
            // SAFETY: nothing is mapped there.
            let result = unsafe { compat::ioctl(&m, request, address) };
            expect_error(result, libc::EFAULT)?;
        }
    }
    Ok(())
}

fn a_32_bit_and_a_64_bit_program_share_an_instance() -> Result<()> {
    let wide = Repoll::new()?;
    let narrow = Repoll32::from_descriptor(wide.duplicate()?.into_descriptor());
    let fd = files::eventfd()?;
    narrow.add(&fd, EventFlags::IN | EventFlags::ONESHOT, u64::MAX - 1)?;
    expect_error(wide.add(&fd, EventFlags::IN, 1), libc::EEXIST)?;
    signal(&fd)?;
    expect_one(&wide, u64::MAX - 1)?;
    wide.modify(&fd, EventFlags::IN | EventFlags::ONESHOT, 1 << 40)?;
    expect_one(&narrow, 1 << 40)?;
    expect_none(&narrow)?;
    expect_none(&wide)?;
    narrow.delete(&fd)?;
    expect_error(wide.delete(&fd), libc::ENOENT)
}

fn the_first_version_of_wait_is_understood_in_32_bits() -> Result<()> {
    let m = Repoll32::new()?;
    let fd = files::eventfd()?;
    m.add(&fd, EventFlags::IN, 1)?;
    signal(&fd)?;
    let room = Low::new(64)?;
    let argument = Low::with(repoll_wait {
        events: room.address().into(),
        maxevents: 1,
        timeout: -1,
        // Beyond the first version: must not be looked at.
        sigmask: 1,
        sigsetsize: 1,
        ..Default::default()
    })?;
    let size = REPOLL_WAIT_SIZE_VER0 << 16;
    let request = REPOLL_IOCTL_WAIT & !(0x3fff << 16) | size;
    // SAFETY: the request reads the first version of a `repoll_wait`; there is room.
    let count = unsafe { compat::ioctl(&m, request, argument.address()) }?;
    ensure!(count == 1 && room.events(1)[0].data() == 1);
    Ok(())
}

fn an_unknown_request_is_einval_in_32_bits() -> Result<()> {
    let m = Repoll32::new()?;
    let nothing = Low::new(4096)?;
    for request in [0xB463, 0x4008_B463, 0x4008_B501, libc::TCGETS as u32] {
        // SAFETY: nobody reads or writes more than a page.
        let result = unsafe { compat::ioctl(&m, request, nothing.address()) };
        expect_error(result, libc::EINVAL)?;
    }
    Ok(())
}
