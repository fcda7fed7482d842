// SPDX-License-Identifier: GPL-2.0
//! An ADD that nests: its cost in instructions, beside the C epoll's; tasks that wait for it; a
//! kill.

use crate::cost::{instructions_once, time_to_die};
use crate::prelude::*;
use crate::support::memory_is_countable;
use repoll_testkit::limits;
use repoll_testkit::stall::StallingPage;
use repoll_testkit::watch_limit::WatchLimit;
use std::sync::mpsc;

pub fn tests() -> Vec<Test> {
    let counted = repoll_only!("nesting_cost":
        an_add_below_many_paths_is_linear_in_the_links,
        an_add_between_many_links_is_linear_in_them,
        an_add_above_many_files_is_linear_in_them,
        an_add_above_one_file_under_many_numbers_is_linear_in_them,
        a_file_added_below_many_paths_is_linear_in_the_links,
        a_kill_ends_the_walk,
    );
    let mut tests: Vec<_> = counted.into_iter().map(Test::counted).collect();
    tests.extend(repoll_only!("nesting" within 120:
        a_nested_add_is_not_held_up_by_a_stalled_wait_of_another,
        a_nested_add_goes_on_when_the_stalled_wait_does,
        a_nested_add_that_waits_for_a_stalled_wait_can_be_killed,
        an_instance_with_half_a_million_watches_can_be_nested,
    ));
    tests
}

/// `repoll` is linear between the two sizes, and at most three times the C epoll's at both.
///
/// Each pair is the number of links or files, and the instructions of one ADD.
fn expect_linear(repoll: [(usize, u64); 2], epoll: [(usize, u64); 2]) -> Result<()> {
    println!("repoll {repoll:?}, C epoll {epoll:?}");
    for ((size, ours), (_, theirs)) in repoll.into_iter().zip(epoll) {
        ensure!(
            ours <= 3 * theirs,
            "{size}: {ours} instructions, C {theirs}"
        );
    }
    let [(small, first), (large, second)] = repoll;
    let (growth, cost) = (large as f64 / small as f64, second as f64 / first as f64);
    ensure!(
        cost <= 1.5 * growth,
        "{growth:.1} times the links, {cost:.1} times the cost"
    );
    Ok(())
}

/// Five levels, of `n` instances each but the lowest one, all of which watch all of the level
/// below. `link` makes each link, of an inner to an outer instance.
fn pyramid<M: Multiplexer>(
    n: usize,
    mut link: impl FnMut(&M, &M) -> Result<()>,
) -> Result<Vec<Vec<M>>> {
    limits::allow_files(4096)?;
    let mut levels: Vec<Vec<M>> = vec![vec![M::new()?]];
    for _ in 0..4 {
        levels.push((0..n).map(|_| M::new()).collect::<Result<_, _>>()?);
    }
    // The cheapest order: nothing is above, or nothing below, until the last pair of levels.
    for lower in [0, 1, 3, 2] {
        for inner in &levels[lower] {
            for outer in &levels[lower + 1] {
                link(inner, outer)?;
            }
        }
    }
    Ok(levels)
}

/// The cost of one ADD at the bottom of a [`pyramid`], and the number of its links.
fn add_below<M: Multiplexer>(
    n: usize,
    inner: impl Fn() -> Result<OwnedFd>,
) -> Result<(usize, u64)> {
    let mut links = 0;
    let levels = pyramid::<M>(n, |inner, outer| {
        links += 1;
        Ok(outer.add(inner, EventFlags::IN, 1)?)
    })?;
    let added = inner()?;
    let bottom = &levels[0][0];
    let cost = instructions_once(|| match bottom.add(&added, EventFlags::IN, 1) {
        // Too deep, or too many paths: the walk was made.
        Err(e) if [libc::ELOOP, libc::EINVAL].contains(&e.raw_os_error().unwrap_or(0)) => Ok(()),
        other => other.map_err(Into::into),
    })?;
    Ok((links, cost))
}

fn an_add_below_many_paths_is_linear_in_the_links() -> Result<()> {
    fn costs<M: Multiplexer>() -> Result<[(usize, u64); 2]> {
        let one = || Ok(M::new()?.into_descriptor());
        Ok([add_below::<M>(10, one)?, add_below::<M>(20, one)?])
    }
    expect_linear(costs::<Repoll>()?, costs::<Epoll>()?)
}

/// The cost of the last link of a [`pyramid`], and the number of links below and above it.
fn add_between<M: Multiplexer>(n: usize) -> Result<(usize, u64)> {
    let mut last = 0;
    pyramid::<M>(n, |inner, outer| {
        last = instructions_once(|| Ok(outer.add(inner, EventFlags::IN, 1)?))?;
        Ok(())
    })?;
    Ok((3 * n, last))
}

fn an_add_between_many_links_is_linear_in_them() -> Result<()> {
    fn costs<M: Multiplexer>() -> Result<[(usize, u64); 2]> {
        Ok([add_between::<M>(10)?, add_between::<M>(40)?])
    }
    expect_linear(costs::<Repoll>()?, costs::<Epoll>()?)
}

/// A file that has too many paths: the C epoll gives up at the 501st, here all links are looked at.
fn a_file_added_below_many_paths_is_linear_in_the_links() -> Result<()> {
    fn cost<M: Multiplexer>(n: usize) -> Result<(usize, u64)> {
        add_below::<M>(n, || Ok(files::eventfd()?))
    }
    let [(small, first), (large, second)] = [cost::<Repoll>(10)?, cost::<Repoll>(20)?];
    println!(
        "repoll {small} links {first}, {large} links {second}; C epoll {:?}",
        cost::<Epoll>(20)?
    );
    ensure!(second as f64 / first as f64 <= 1.5 * large as f64 / small as f64);
    // In numbers: no more than a visit of each link and a ready ADD.
    ensure!(second <= 2000 * large as u64, "{second}");
    Ok(())
}

/// The cost of an ADD of an instance that watches `files` files, each under `numbers` numbers.
fn add_above<M: Multiplexer>(files: usize, numbers: usize) -> Result<(usize, u64)> {
    limits::allow_files((files * numbers + 100) as u64)?;
    let inner = M::new()?;
    let mut copies = Vec::new();
    for fd in eventfds(files)? {
        copies.extend(files::copies(&fd, numbers)?);
    }
    inner.add_all(&copies, EventFlags::IN, 1)?;
    let outer = M::new()?;
    let cost = instructions_once(|| Ok(outer.add(&inner, EventFlags::IN, 1)?))?;
    Ok((copies.len(), cost))
}

fn an_add_above_many_files_is_linear_in_them() -> Result<()> {
    fn costs<M: Multiplexer>() -> Result<[(usize, u64); 2]> {
        Ok([add_above::<M>(1000, 1)?, add_above::<M>(8000, 1)?])
    }
    expect_linear(costs::<Repoll>()?, costs::<Epoll>()?)
}

fn an_add_above_one_file_under_many_numbers_is_linear_in_them() -> Result<()> {
    fn costs<M: Multiplexer>() -> Result<[(usize, u64); 2]> {
        Ok([add_above::<M>(20, 50)?, add_above::<M>(20, 400)?])
    }
    expect_linear(costs::<Repoll>()?, costs::<Epoll>()?)
}

/// Runs `body` while a WAIT on `m` is stalled in the copy of its event: with the mutex of `m` held.
fn while_stalled(m: &Repoll, body: impl FnOnce(&StallingPage) -> Result<()>) -> Result<()> {
    let page = StallingPage::new()?;
    let fd = files::eventfd()?;
    m.add(&fd, EventFlags::IN, 9)?;
    signal(&fd)?;
    scope(|threads| {
        let waiter = threads.spawn(|| m.wait_at(page.place(), 1, Some(LONG)));
        page.wait_for_touch(LONG)?;
        let done = body(&page);
        // It may have been let go.
        drop(page.let_go());
        let delivered = join(waiter)??;
        done?;
        ensure!(delivered == 1, "{delivered}");
        Ok(())
    })?;
    m.delete(&fd)?;
    Ok(())
}

fn a_nested_add_is_not_held_up_by_a_stalled_wait_of_another() -> Result<()> {
    let (stalled, outer) = (Repoll::new()?, Repoll::new()?);
    while_stalled(&stalled, |page| {
        let (sender, receiver) = mpsc::channel();
        scope(|threads| {
            let add = threads.spawn(|| outer.add(&stalled, EventFlags::IN, 1));
            // It waits for the instance by now; nothing breaks if not.
            sleep(Duration::from_millis(50));
            threads.spawn(move || {
                let add = || -> Result<()> {
                    let chain = [Repoll::new()?, Repoll::new()?, Repoll::new()?];
                    chain[1].add(&chain[0], EventFlags::IN, 2)?;
                    chain[2].add(&chain[1], EventFlags::IN, 3)?;
                    let fd = files::eventfd()?;
                    chain[0].add(&fd, EventFlags::IN, 1)?;
                    signal(&fd)?;
                    expect_one(&chain[2], 3).map(drop)
                };
                drop(sender.send(add()));
            });
            let unhindered = receiver.recv_timeout(LONG);
            // Else the scope never ends.
            page.let_go()?;
            join(add)??;
            unhindered?
        })
    })
}

fn a_nested_add_goes_on_when_the_stalled_wait_does() -> Result<()> {
    let (stalled, middle, outer) = (Repoll::new()?, Repoll::new()?, Repoll::new()?);
    middle.add(&stalled, EventFlags::IN, 1)?;
    while_stalled(&stalled, |page| {
        scope(|threads| {
            let add = threads.spawn(|| outer.add(&middle, EventFlags::IN, 2));
            sleep(Duration::from_millis(50));
            ensure!(
                !add.is_finished(),
                "the walk did not look at the lowest instance"
            );
            page.let_go()?;
            join(add)?.map_err(Into::into)
        })
    })?;
    expect_error(stalled.add(&outer, EventFlags::IN, 3), libc::ELOOP)
}

fn a_nested_add_that_waits_for_a_stalled_wait_can_be_killed() -> Result<()> {
    let (stalled, outer) = (Repoll::new()?, Repoll::new()?);
    while_stalled(&stalled, |_| {
        let child = processes::fork(|| drop(outer.add(&stalled, EventFlags::IN, 1)))?;
        sleep(Duration::from_millis(50));
        child.kill(libc::SIGKILL)?;
        let pidfd = processes::pidfd(child.0)?;
        ensure!(files::poll_in(&pidfd, LONG)?, "it can't be killed");
        ensure!(child.wait()? == -libc::SIGKILL);
        Ok(())
    })?;
    outer.add(&stalled, EventFlags::IN, 1)?;
    Ok(())
}

/// Watches of `files` files, each under all numbers of a range that has `numbers`.
///
/// The numbers are closed in the end: the process has few descriptors, and ends soon.
fn watch_many(m: &Repoll, files: &[OwnedFd], numbers: usize) -> Result<()> {
    const FIRST: i32 = 2000;
    limits::allow_files(numbers as u64 + FIRST as u64)?;
    let numbers = FIRST..FIRST + i32::try_from(numbers)?;
    for fd in files {
        for number in numbers.clone() {
            files::dup_onto(fd, number)?;
            m.ctl(libc::EPOLL_CTL_ADD, number, EventFlags::IN, 1)?;
        }
    }
    for number in numbers {
        files::close(number)?;
    }
    Ok(())
}

/// No list of the walk is too long for the allocator, which would complain in the kernel's log.
fn an_instance_with_half_a_million_watches_can_be_nested() -> Result<()> {
    // Each file has a path for each number, of which there may be 500.
    const FILES: usize = 1100;
    const NUMBERS: usize = 480;
    memory_is_countable()?;
    let _limit = WatchLimit::set(600_000)?;
    let (inner, outer) = (Repoll::new()?, Repoll::new()?);
    limits::allow_files(FILES as u64 + 100)?;
    let files = eventfds(FILES)?;
    watch_many(&inner, &files, NUMBERS)?;
    outer.add(&inner, EventFlags::IN, 1)?;
    signal(&files[0])?;
    expect_one(&outer, 1).map(drop)
}

fn a_kill_ends_the_walk() -> Result<()> {
    let (inner, outer) = (Repoll::new()?, Repoll::new()?);
    let files = eventfds(200)?;
    watch_many(&inner, &files, 400)?;
    let whole = instructions_once(|| Ok(outer.add(&inner, EventFlags::IN, 1)?))?;
    outer.delete(&inner)?;
    // The clock's interrupt ends the nap; the walk is under way by then.
    let nap = Duration::from_millis(1);
    ensure!(whole > 4_000_000, "{whole}: too short to be interrupted");
    let taken = time_to_die(nap, || drop(outer.add(&inner, EventFlags::IN, 1)))?;
    println!("a walk of {whole} instructions, gone {taken} after it was killed");
    ensure!(taken < whole / 4, "{taken} of {whole}");
    // Nothing of it is left.
    outer.add(&inner, EventFlags::IN, 1)?;
    signal(&files[0])?;
    expect_one(&outer, 1).map(drop)
}
