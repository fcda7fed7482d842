// SPDX-License-Identifier: GPL-2.0
//! The time limit of WAIT, and the effect of a signal on it.

use crate::prelude::*;
use crate::slack;
use repoll_testkit::signals::Thread;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

pub fn tests() -> Vec<Test> {
    let mut tests = of::<Epoll>();
    tests.extend(of::<Repoll>());
    tests.extend(both!("timeouts": a_killed_waiter_hands_its_wake_up_on));
    tests
}

/// The same on whatever it is.
pub fn of<M: Multiplexer>() -> Vec<Test> {
    each!("timeouts", M:
        zero_does_not_wait,
        a_timeout_is_a_lower_bound,
        an_event_ends_a_timed_wait,
        no_timeout_waits_for_the_event,
        a_timeout_of_centuries_does_not_overflow,
        a_wait_for_nothing_times_out,
        a_signal_ends_the_wait_with_eintr,
        a_signal_with_restart_ends_the_wait_with_eintr,
        a_signal_without_handler_does_not_end_the_wait,
        a_stop_and_continue_ends_the_wait_with_eintr,
        kill_ends_a_process_that_waits,
        kill_comes_before_an_event,
        kill_ends_a_process_that_never_runs_out_of_events,
        the_timer_slack_is_the_tasks,
    )
}

fn zero_does_not_wait<M: Multiplexer>() -> Result<()> {
    let (m, _fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    for _ in 0..1000 {
        expect_none(&m)?;
    }
    Ok(())
}

fn a_timeout_is_a_lower_bound<M: Multiplexer>() -> Result<()> {
    let (m, _fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    for nanoseconds in [1, 1_000, 300_000, 1_000_000, 1_500_000, 50_000_000] {
        let timeout = Duration::from_nanos(nanoseconds);
        let begin = Instant::now();
        let events = m.wait(4, Some(timeout))?;
        let waited = begin.elapsed();
        ensure!(events.is_empty(), "{events:?}");
        ensure!(waited >= timeout, "{waited:?} instead of {timeout:?}");
    }
    Ok(())
}

fn wait_until_event<M: Multiplexer>(timeout: Option<Duration>) -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    let events = after(3 * MOMENT, || signal(&fd), || m.wait(4, timeout))?;
    ensure!(events.len() == 1, "{events:?}");
    Ok(())
}

fn an_event_ends_a_timed_wait<M: Multiplexer>() -> Result<()> {
    wait_until_event::<M>(Some(2 * LONG))
}

fn no_timeout_waits_for_the_event<M: Multiplexer>() -> Result<()> {
    wait_until_event::<M>(None)
}

fn a_timeout_of_centuries_does_not_overflow<M: Multiplexer>() -> Result<()> {
    wait_until_event::<M>(Some(Duration::from_nanos(i64::MAX as u64)))
}

/// An empty interest list is no error.
fn a_wait_for_nothing_times_out<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let events = m.wait(4, Some(Duration::from_millis(5)))?;
    ensure!(events.is_empty(), "{events:?}");
    Ok(())
}

fn interrupted<M: Multiplexer>(flags: i32) -> Result<()> {
    signals::handle_signal(libc::SIGUSR1, flags)?;
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    for timeout in [None, Some(2 * LONG)] {
        let over = AtomicBool::new(false);
        let (sender, receiver) = channel();
        let result = scope(|threads| {
            let waiter = threads.spawn(|| {
                let _ = sender.send(Thread::current());
                let result = m.wait(4, timeout);
                over.store(true, Ordering::SeqCst);
                // The signals must find the thread alive until they have stopped.
                while over.load(Ordering::SeqCst) {
                    sleep(Duration::from_millis(1));
                }
                result
            });
            let thread = receiver.recv()?;
            // The first ones may come before the wait has begun.
            let ended = eventually("WAIT returns", || {
                sleep(Duration::from_millis(5));
                let ended = over.load(Ordering::SeqCst);
                if !ended {
                    thread.kill(libc::SIGUSR1);
                }
                Ok(ended)
            });
            over.store(false, Ordering::SeqCst);
            ended?;
            join(waiter)
        })?;
        expect_error(result, libc::EINTR)?;
    }
    // It is as good as before.
    signal(&fd)?;
    ensure!(m.ready_data()? == [1]);
    Ok(())
}

fn a_signal_ends_the_wait_with_eintr<M: Multiplexer>() -> Result<()> {
    interrupted::<M>(0)
}

/// signal(7): epoll_wait is never restarted.
fn a_signal_with_restart_ends_the_wait_with_eintr<M: Multiplexer>() -> Result<()> {
    interrupted::<M>(libc::SA_RESTART)
}

/// SIGURG is ignored unless there is a handler.
fn a_signal_without_handler_does_not_end_the_wait<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    let (sender, receiver) = channel();
    let events = scope(|threads| {
        let waiter = threads.spawn(|| {
            let _ = sender.send(Thread::current());
            m.wait(4, None)
        });
        let thread = receiver.recv()?;
        for _ in 0..5 {
            sleep(Duration::from_millis(5));
            thread.kill(libc::SIGURG);
        }
        signal(&fd)?;
        join(waiter)
    })??;
    ensure!(events.len() == 1, "{events:?}");
    Ok(())
}

fn waiting_child<M: Multiplexer>() -> Result<(M, processes::Process)> {
    let (m, _fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    let child = processes::fork(|| match m.wait(4, None) {
        Err(error) => error.raw_os_error().unwrap_or(0),
        Ok(_) => 0,
    })?;
    // `_fd` stays open in the child, and so does the watch.
    crate::support::eventually_waits(child.0)?;
    Ok((m, child))
}

fn a_stop_and_continue_ends_the_wait_with_eintr<M: Multiplexer>() -> Result<()> {
    let (_m, child) = waiting_child::<M>()?;
    child.kill(libc::SIGSTOP)?;
    child.wait_stopped()?;
    child.kill(libc::SIGCONT)?;
    ensure!(child.wait()? == libc::EINTR);
    Ok(())
}

fn kill_ends_a_process_that_waits<M: Multiplexer>() -> Result<()> {
    let (_m, child) = waiting_child::<M>()?;
    ensure!(child.kill_and_wait()? == -libc::SIGKILL);
    Ok(())
}

/// Who is killed must not take an event with him that somebody else could have had.
fn kill_comes_before_an_event<M: Multiplexer>() -> Result<()> {
    // The child is on our CPU and comes after us, so it wakes to find both.
    threads::run_on(0)?;
    for trigger in [EventFlags::ET, EventFlags::ONESHOT, EventFlags::empty()] {
        let (m, fd) = watching_eventfd::<M>(EventFlags::IN | trigger, 1)?;
        let child = processes::fork(|| m.wait(4, None).map_or(0, |events| events.len() as i32))?;
        crate::support::eventually_waits(child.0)?;
        threads::run_first()?;
        signal(&fd)?;
        ensure!(child.kill_and_wait()? == -libc::SIGKILL);
        ensure!(m.ready_data()? == [1], "the event died with the process");
    }
    Ok(())
}

fn kill_ends_a_process_that_never_runs_out_of_events<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    signal(&fd)?;
    let child = processes::fork(|| loop {
        if m.wait(4, None).is_err() {
            return 1;
        }
    })?;
    sleep(MOMENT);
    ensure!(child.kill_and_wait()? == -libc::SIGKILL);
    ensure!(m.ready_data()? == [1]);
    Ok(())
}

fn the_timer_slack_is_the_tasks<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    slack::is_the_tasks(|limit| {
        let _ = m.wait(1, Some(limit));
    })
}

/// Two tasks wait; one is woken and killed. Returns whether the other one gets the event.
fn the_other_waiter_gets_it<M: Multiplexer>() -> Result<bool> {
    // The children are on our CPU and come after us, so the one that is woken finds the signal too.
    threads::run_on(0)?;
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN | EventFlags::ET, 1)?;
    let wait = || m.wait(4, None).map_or(0, |events| events.len() as i32);
    let other = processes::fork(wait)?;
    crate::support::eventually_waits(other.0)?;
    // The one that came last is woken first.
    let victim = processes::fork(wait)?;
    crate::support::eventually_waits(victim.0)?;
    threads::run_first()?;
    signal(&fd)?;
    ensure!(victim.kill_and_wait()? == -libc::SIGKILL);
    let got = other.ends_within(if M::side() != Side::Kernel {
        LONG
    } else {
        25 * MOMENT
    })?;
    ensure!(other.kill_and_wait()? == if got { 1 } else { -libc::SIGKILL });
    Ok(got)
}

/// Better than the C epoll, where the wake-up dies with the process: nobody is woken for the event.
fn a_killed_waiter_hands_its_wake_up_on<M: Multiplexer>() -> Result<()> {
    const TIMES: usize = 5;
    let mut handed_on = 0;
    for _ in 0..TIMES {
        // In a process of its own, which does not stay one of real time.
        let once = processes::fork(|| the_other_waiter_gets_it::<M>().map_or(2, i32::from))?;
        match once.wait()? {
            status @ (0 | 1) => handed_on += status as usize,
            status => anyhow::bail!("status {status}"),
        }
    }
    if M::side() != Side::Kernel {
        ensure!(handed_on == TIMES, "{handed_on} of {TIMES} handed on");
    } else {
        // It depends on the moment of the kill: one loss shows that differences.rst is right.
        ensure!(handed_on < TIMES, "the C epoll hands it on too");
    }
    Ok(())
}
