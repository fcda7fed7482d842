// SPDX-License-Identifier: GPL-2.0
//! SELECT, in what it has of its own; what it shares with POLL is in [`super::scan`].

use crate::prelude::*;
use crate::registry::sides;
use repoll::SignalSet;
use repoll_testkit::limits;
use repoll_testkit::memory::{Mapping, Place};
use repoll_testkit::scanner::{is_in, set_of, Side};
use repoll_testkit::signals::Mask;
use rustix::net::SendFlags;
use std::net::{TcpListener, TcpStream};
use std::os::fd::RawFd;

pub fn tests() -> Vec<Test> {
    let mut tests = sides!("select":
        each_set_has_its_own_answer,
        a_descriptor_in_several_sets_counts_in_each,
        urgent_data_is_exceptional,
        a_descriptor_beyond_fd_setsize_is_as_any_other,
        a_closed_descriptor_is_ebadf,
        what_is_not_below_nfds_is_not_looked_at,
        more_than_the_table_holds_is_taken_as_that_many,
        a_negative_nfds_is_einval,
        no_sets_only_wait,
        sets_are_written_on_success_only,
        a_timeout_clears_the_sets,
        a_bad_set_is_efault,
        a_set_that_cannot_be_written_is_efault,
        a_file_without_poll_is_always_ready,
        sets_of_any_length_are_read_and_answered,
    );
    tests.extend(within(
        120,
        sides!("select": a_hundred_thousand_descriptors),
    ));
    tests
}

const NOW: Option<Duration> = Some(Duration::ZERO);
const NONE: [Option<&mut [u64]>; 3] = [None, None, None];
const CLOSED: RawFd = 987;

fn each_set_has_its_own_answer<S: Side>() -> Result<()> {
    let side = S::new()?;
    let fds = eventfds(4)?;
    let numbers: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let nfds = numbers[3] + 1;
    signal(&fds[0])?;
    signal(&fds[2])?;
    let mut read = set_of(&numbers[..2], nfds);
    let mut write = set_of(&numbers[1..3], nfds);
    let mut except = set_of(&numbers, nfds);
    let ready = side.select(
        nfds,
        [Some(&mut read), Some(&mut write), Some(&mut except)],
        None,
    )?;
    ensure!(ready == 3, "{ready}");
    ensure!(read == set_of(&numbers[..1], nfds), "{read:x?}");
    ensure!(write == set_of(&numbers[1..3], nfds), "{write:x?}");
    ensure!(except == set_of(&[], nfds), "{except:x?}");
    Ok(())
}

fn a_descriptor_in_several_sets_counts_in_each<S: Side>() -> Result<()> {
    let side = S::new()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    let nfds = fd.as_raw_fd() + 1;
    let mut read = set_of(&[fd.as_raw_fd()], nfds);
    let mut write = read.clone();
    let mut except = read.clone();
    let sets = [
        Some(&mut read[..]),
        Some(&mut write[..]),
        Some(&mut except[..]),
    ];
    ensure!(side.select(nfds, sets, None)? == 2);
    ensure!(is_in(fd.as_raw_fd(), &read) && is_in(fd.as_raw_fd(), &write));
    ensure!(!is_in(fd.as_raw_fd(), &except));
    Ok(())
}

fn urgent_data_is_exceptional<S: Side>() -> Result<()> {
    let side = S::new()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let far = TcpStream::connect(listener.local_addr()?)?;
    let (near, _) = listener.accept()?;
    let nfds = near.as_raw_fd() + 1;
    let mut except = set_of(&[near.as_raw_fd()], nfds);
    ensure!(side.select(nfds, [None, None, Some(&mut except)], NOW)? == 0);
    rustix::net::send(&far, b"!", SendFlags::OOB)?;
    let mut except = set_of(&[near.as_raw_fd()], nfds);
    ensure!(side.select(nfds, [None, None, Some(&mut except)], Some(LONG))? == 1);
    ensure!(is_in(near.as_raw_fd(), &except));
    Ok(())
}

fn a_descriptor_beyond_fd_setsize_is_as_any_other<S: Side>() -> Result<()> {
    let side = S::new()?;
    limits::limit_files(5000, limits::most_files().max(5000))?;
    let fd = files::eventfd()?;
    for number in [1023, 1024, 1025, 4095, 4999] {
        let copy = files::dup_to_free(&fd, number)?;
        let nfds = number + 1;
        let mut set = set_of(&[fd.as_raw_fd(), number], nfds);
        let waits = Some(Duration::from_millis(1));
        ensure!(side.select(nfds, [Some(&mut set.clone()), None, None], waits)? == 0);
        signal(&fd)?;
        ensure!(side.select(nfds, [Some(&mut set), None, None], None)? == 2);
        ensure!(is_in(number, &set) && is_in(fd.as_raw_fd(), &set));
        read_all(&fd)?;
        drop(copy);
    }
    Ok(())
}

fn a_closed_descriptor_is_ebadf<S: Side>() -> Result<()> {
    let side = S::new()?;
    let fd = files::eventfd()?;
    // The table has room for it.
    drop(files::dup_to_free(&fd, CLOSED)?);
    signal(&fd)?;
    let nfds = CLOSED + 1;
    let good = set_of(&[fd.as_raw_fd()], nfds);
    let bad = set_of(&[fd.as_raw_fd(), CLOSED], nfds);
    for which in 0..3 {
        let mut sets = [good.clone(), good.clone(), good.clone()];
        sets[which] = bad.clone();
        let [read, write, except] = &mut sets;
        let result = side.select(nfds, [Some(read), Some(write), Some(except)], None);
        expect_error(result, libc::EBADF)?;
        ensure!(sets[which] == bad, "the set was changed");
    }
    Ok(())
}

/// The bits of the last word that are not below nfds may be of descriptors that are not open.
fn what_is_not_below_nfds_is_not_looked_at<S: Side>() -> Result<()> {
    let side = S::new()?;
    let fd = files::eventfd()?;
    drop(files::dup_to_free(&fd, CLOSED)?);
    signal(&fd)?;
    let number = fd.as_raw_fd();
    let mut set = vec![u64::MAX; 16];
    set[number as usize / 64] = u64::MAX << (number % 64);
    if number >= 64 {
        return repoll_testkit::skip::skip("the descriptor is not among the first");
    }
    let ready = side.select(number + 1, [Some(&mut set), None, None], None)?;
    ensure!(ready == 1, "{ready}");
    ensure!(set[0] == 1 << number, "{:x}", set[0]);
    ensure!(set[1..].iter().all(|word| *word == u64::MAX), "{set:x?}");
    Ok(())
}

fn more_than_the_table_holds_is_taken_as_that_many<S: Side>() -> Result<()> {
    let side = S::new()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    const BITS: usize = 1 << 20;
    for nfds in [100_000, BITS as i32, i32::MAX] {
        let mut set = set_of(&[fd.as_raw_fd()], BITS as i32);
        // No process has that many files open.
        set[BITS / 64 - 1] = u64::MAX;
        // It is as long as the table, which is less than nfds.
        let (memory, offset) = Mapping::ending_with(&set)?;
        let sets = [memory.place(offset), Place::NULL, Place::NULL];
        let ready = side.select_at(nfds, sets, &mut { None }, Mask::default())?;
        let set = memory.values::<u64>(offset, BITS / 64);
        ensure!(ready == 1, "{ready}");
        ensure!(set[BITS / 64 - 1] == u64::MAX, "what is beyond was written");
    }
    Ok(())
}

fn a_negative_nfds_is_einval<S: Side>() -> Result<()> {
    let side = S::new()?;
    for nfds in [-1, i32::MIN] {
        for address in [0, 1] {
            let sets = [Place::nowhere(address); 3];
            let result = side.select_at(nfds, sets, &mut { None }, Mask::default());
            expect_error(result, libc::EINVAL)?;
        }
    }
    Ok(())
}

fn no_sets_only_wait<S: Side>() -> Result<()> {
    let side = S::new()?;
    for nfds in [0, 1, 64, 1024, i32::MAX] {
        ensure!(side.select(nfds, NONE, NOW)? == 0);
        ensure!(side.select(nfds, NONE, Some(Duration::from_millis(2)))? == 0);
    }
    // With no bits to read an address is not looked at.
    let nowhere = [Place::nowhere(1); 3];
    let ready = side.select_at(0, nowhere, &mut { NOW }, Mask::default())?;
    ensure!(ready == 0);
    Ok(())
}

fn sets_are_written_on_success_only<S: Side>() -> Result<()> {
    let side = S::new()?;
    let fd = files::eventfd()?;
    let nfds = fd.as_raw_fd() + 1;
    let all = set_of(&[fd.as_raw_fd()], nfds);
    // EINTR.
    signals::handle_signal(libc::SIGUSR1, 0)?;
    signals::block_signal(libc::SIGUSR1)?;
    signals::signal_this_process(libc::SIGUSR1)?;
    let mut set = all.clone();
    let sets = [Place::of(&mut set), Place::NULL, Place::NULL];
    let open = SignalSet::empty();
    let result = side.select_at(nfds, sets, &mut Some(LONG), Mask::of(&open));
    expect_error(result, libc::EINTR)?;
    ensure!(set == all, "{set:x?}");
    // EFAULT by another set.
    let sets = [Place::of(&mut set), Place::nowhere(1), Place::NULL];
    let result = side.select_at(nfds, sets, &mut { NOW }, Mask::default());
    expect_error(result, libc::EFAULT)?;
    ensure!(set == all, "{set:x?}");
    Ok(())
}

fn a_timeout_clears_the_sets<S: Side>() -> Result<()> {
    let side = S::new()?;
    let fd = files::eventfd()?;
    let nfds = fd.as_raw_fd() + 1;
    for timeout in [Duration::ZERO, Duration::from_millis(1)] {
        let mut read = set_of(&[fd.as_raw_fd()], nfds);
        let mut except = read.clone();
        let sets = [Some(&mut read[..]), None, Some(&mut except[..])];
        ensure!(side.select(nfds, sets, Some(timeout))? == 0);
        ensure!(read == [0] && except == [0], "{read:x?} {except:x?}");
    }
    Ok(())
}

fn a_bad_set_is_efault<S: Side>() -> Result<()> {
    let side = S::new()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    let nfds = fd.as_raw_fd() + 1;
    for address in [1, 4096, usize::MAX - 4095, usize::MAX] {
        for which in 0..3 {
            let mut good = set_of(&[fd.as_raw_fd()], nfds);
            let mut sets = [Place::of(&mut good); 3];
            sets[which] = Place::nowhere(address);
            for timeout in [NOW, None] {
                let result = side.select_at(nfds, sets, &mut { timeout }, Mask::default());
                expect_error(result, libc::EFAULT)?;
            }
        }
    }
    // The table has room for 1024 at least; a set that is cut short.
    drop(files::dup_to_free(&fd, 1000)?);
    for words in [1, 5, 8, 15] {
        let (edge, offset) = Mapping::ending_with(&vec![0u64; words])?;
        for which in 0..3 {
            let mut sets = [Place::NULL; 3];
            sets[which] = edge.place(offset);
            let most = words as i32 * 64;
            let select = |nfds| side.select_at(nfds, sets, &mut { NOW }, Mask::default());
            ensure!(select(most)? == 0);
            expect_error(select(most + 1), libc::EFAULT)?;
        }
    }
    Ok(())
}

fn a_set_that_cannot_be_written_is_efault<S: Side>() -> Result<()> {
    let side = S::new()?;
    let fd = files::eventfd()?;
    let nfds = fd.as_raw_fd() + 1;
    let set = Mapping::read_only_with(&set_of(&[fd.as_raw_fd()], nfds))?;
    for which in 0..3 {
        let mut sets = [Place::NULL; 3];
        sets[which] = set.place(0);
        let result = side.select_at(nfds, sets, &mut { NOW }, Mask::default());
        expect_error(result, libc::EFAULT)?;
    }
    Ok(())
}

fn a_file_without_poll_is_always_ready<S: Side>() -> Result<()> {
    let side = S::new()?;
    let file = std::fs::File::open("/")?;
    let nfds = file.as_raw_fd() + 1;
    let mut read = set_of(&[file.as_raw_fd()], nfds);
    let mut write = read.clone();
    let mut except = read.clone();
    let sets = [
        Some(&mut read[..]),
        Some(&mut write[..]),
        Some(&mut except[..]),
    ];
    ensure!(side.select(nfds, sets, None)? == 2);
    ensure!(except == [0], "{except:x?}");
    Ok(())
}

/// Lengths around those at which memory is had in another way.
fn sets_of_any_length_are_read_and_answered<S: Side>() -> Result<()> {
    let side = S::new()?;
    let files = eventfds(700)?;
    let numbers: Vec<_> = files.iter().map(AsRawFd::as_raw_fd).collect();
    for count in [1, 8, 9, 10, 11, 60, 72, 135, 300, 310, 320, 330, 700] {
        for ready in [0, count / 2, count - 1] {
            let nfds = numbers[count - 1] + 1;
            let all = set_of(&numbers[..count], nfds);
            let mut set = all.clone();
            let soon = Some(Duration::from_micros(1));
            ensure!(side.select(nfds, [Some(&mut set), None, None], soon)? == 0);
            signal(&files[ready])?;
            set.copy_from_slice(&all);
            ensure!(side.select(nfds, [Some(&mut set), None, None], Some(LONG))? == 1);
            ensure!(
                set == set_of(&[numbers[ready]], nfds),
                "of {count}, not {ready}"
            );
            read_all(&files[ready])?;
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
    let nfds = numbers[COUNT - 1] + 1;
    let all = set_of(&numbers, nfds);
    let mut set = all.clone();
    let soon = Some(Duration::from_millis(1));
    ensure!(side.select(nfds, [Some(&mut set), None, None], soon)? == 0);
    set.copy_from_slice(&all);
    let ready = after(
        Duration::from_millis(300),
        || signal(&fd),
        || side.select(nfds, [Some(&mut set), None, None], Some(LONG)),
    )?;
    // It may have come in the midst of a pass.
    ensure!(ready > 0 && ready <= COUNT, "{ready}");
    set.copy_from_slice(&all);
    ensure!(side.select(nfds, [Some(&mut set), None, None], None)? == COUNT);
    ensure!(set == all);
    Ok(())
}
