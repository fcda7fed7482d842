// SPDX-License-Identifier: GPL-2.0
//! WAIT with a signal mask, as epoll_pwait(2): in force for as long as the wait.

use crate::prelude::*;
use repoll_testkit::signals::{Mask, HANDLED};
use std::sync::atomic::Ordering::SeqCst;

pub fn tests() -> Vec<Test> {
    let mut tests = of::<Epoll>();
    tests.extend(of::<Repoll>());
    tests
}

/// The same on whatever it is.
pub fn of<M: Multiplexer>() -> Vec<Test> {
    each!("masks", M:
        a_pending_signal_that_the_mask_lets_in_ends_the_wait,
        a_blocked_signal_does_not_end_the_wait,
        an_event_comes_before_a_signal,
        the_mask_is_restored_after_a_timeout,
        kill_and_stop_cannot_be_blocked,
        a_mask_of_another_size_is_einval,
        a_bad_pointer_to_the_mask_is_efault,
    )
}

fn instance<M: Multiplexer>() -> Result<(M, OwnedFd)> {
    signals::handle_signal(libc::SIGUSR1, 0)?;
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    Ok((m, fd))
}

fn a_pending_signal_that_the_mask_lets_in_ends_the_wait<M: Multiplexer>() -> Result<()> {
    let (m, _fd) = instance::<M>()?;
    signals::block_signal(libc::SIGUSR1)?;
    for round in 0..3 {
        signals::signal_this_process(libc::SIGUSR1)?;
        ensure!(HANDLED.load(SeqCst) == round, "it is blocked");
        expect_error(m.wait_masked(None, &[]), libc::EINTR)?;
        ensure!(HANDLED.load(SeqCst) == round + 1, "the handler has run");
        ensure!(signals::is_blocked(libc::SIGUSR1), "the mask is as before");
    }
    Ok(())
}

fn a_blocked_signal_does_not_end_the_wait<M: Multiplexer>() -> Result<()> {
    let (m, _fd) = instance::<M>()?;
    let parent = std::process::id() as i32;
    let child = processes::fork(|| {
        sleep(2 * MOMENT);
        processes::kill(parent, libc::SIGUSR1)
    })?;
    let blocked = [libc::SIGUSR1, libc::SIGCHLD];
    let events = m.wait_masked(Some(10 * MOMENT), &blocked)?;
    ensure!(events.is_empty(), "{events:?}");
    ensure!(child.wait()? == 0);
    ensure!(HANDLED.load(SeqCst) == 1, "it comes when the wait is over");
    Ok(())
}

/// And then the signal waits on: the mask that let it in is gone.
fn an_event_comes_before_a_signal<M: Multiplexer>() -> Result<()> {
    let (m, fd) = instance::<M>()?;
    signals::block_signal(libc::SIGUSR1)?;
    signal(&fd)?;
    signals::signal_this_process(libc::SIGUSR1)?;
    let events = m.wait_masked(Some(LONG), &[])?;
    ensure!(events.len() == 1, "{events:?}");
    ensure!(HANDLED.load(SeqCst) == 0, "the handler has run");
    ensure!(signals::is_blocked(libc::SIGUSR1), "the mask is as before");
    Ok(())
}

fn the_mask_is_restored_after_a_timeout<M: Multiplexer>() -> Result<()> {
    let (m, _fd) = instance::<M>()?;
    for timeout in [Duration::ZERO, Duration::from_millis(1)] {
        ensure!(m.wait_masked(Some(timeout), &[libc::SIGUSR1])?.is_empty());
        ensure!(!signals::is_blocked(libc::SIGUSR1));
        signals::signal_this_process(libc::SIGUSR1)?;
    }
    ensure!(HANDLED.load(SeqCst) == 2);
    Ok(())
}

fn kill_and_stop_cannot_be_blocked<M: Multiplexer>() -> Result<()> {
    let (m, _fd) = instance::<M>()?;
    let all: Vec<i32> = (1..=64).collect();
    let child = processes::fork(|| m.wait_masked(None, &all).map(drop))?;
    sleep(2 * MOMENT);
    child.kill(libc::SIGSTOP)?;
    child.wait_stopped()?;
    ensure!(child.kill_and_wait()? == -libc::SIGKILL);
    Ok(())
}

fn a_mask_of_another_size_is_einval<M: Multiplexer>() -> Result<()> {
    let (m, fd) = instance::<M>()?;
    signal(&fd)?;
    let mask = [0u64; 16];
    for size in [0, 1, 4, 7, 9, 16, 128, usize::MAX] {
        let result = m.pwait(1, None, Mask::at(mask.as_ptr() as usize, size));
        expect_error(result, libc::EINVAL)?;
    }
    Ok(())
}

fn a_bad_pointer_to_the_mask_is_efault<M: Multiplexer>() -> Result<()> {
    let (m, fd) = instance::<M>()?;
    signal(&fd)?;
    for address in [1, 4096, usize::MAX - 4095, usize::MAX] {
        let result = m.pwait(1, None, Mask::at(address, 8));
        expect_error(result, libc::EFAULT)?;
    }
    Ok(())
}
