// SPDX-License-Identifier: GPL-2.0
//! The behaviour that SELECT and POLL share: the wait, and its end.

use crate::prelude::*;
use crate::registry::{scanners, scanners_32};
use crate::slack;
use repoll::SignalSet;
use repoll_testkit::compat_scan::{Poll32, Select32};
use repoll_testkit::descriptor::Number;
use repoll_testkit::file_kinds::KINDS;
use repoll_testkit::scanner::{Kernel, Ours, Poll, Scanner, Select};
use repoll_testkit::signals::{Mask, Thread, HANDLED};
use std::os::fd::{IntoRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;

/// All that holds for each scanner, as tests that the macro `$tests` makes.
macro_rules! of_each {
    ($tests:ident) => {
        $tests!("scan":
            zero_does_not_wait,
            a_timeout_is_a_lower_bound,
            what_is_left_of_the_timeout_is_written_back,
            a_timeout_of_centuries_does_not_overflow,
            a_signal_ends_the_call_with_eintr,
            a_signal_with_restart_ends_the_call_with_eintr,
            a_signal_without_handler_does_not_end_the_call,
            a_stop_and_continue_does_not_end_the_call,
            a_stop_and_continue_leaves_the_time_limit,
            a_stop_and_continue_keeps_the_mask,
            kill_ends_a_process_that_waits,
            a_pending_signal_that_the_mask_lets_in_ends_the_call,
            a_blocked_signal_does_not_end_the_call,
            an_event_comes_before_a_signal,
            the_mask_is_restored_after_a_timeout,
            kill_and_stop_cannot_be_blocked,
            a_mask_of_another_size_is_einval,
            a_bad_pointer_to_the_mask_is_efault,
            an_event_for_others_does_not_end_the_call,
            instances_can_be_watched,
            all_who_wait_are_woken,
            a_file_that_is_closed_meanwhile_is_held,
            the_timer_slack_is_the_tasks,
        )
    };
}

/// The tests of 32-bit callers.
pub fn of_32_bit_callers() -> Vec<Test> {
    let mut tests = of_each!(scanners_32);
    for kind in KINDS {
        tests.extend([
            wakes_test::<Poll32>(kind, "poll-32bit"),
            wakes_test::<Select32>(kind, "select-32bit"),
        ]);
    }
    tests
}

fn wakes_test<S: Scanner>(kind: repoll_testkit::file_kinds::Kind, name: &str) -> Test {
    Test::new(format!("scan.{}_wakes/{name}", kind.name), move || {
        wakes::<S>(&kind)
    })
}

pub fn tests() -> Vec<Test> {
    let mut tests = of_each!(scanners);
    // Maps memory for each call of a 32-bit program: too slow there to race.
    tests.extend(scanners!("scan": events_are_not_missed));
    for test in repoll_only!("scan": many_threads_wait_for_files_that_close) {
        tests.push(test.within(120));
    }
    for kind in KINDS {
        tests.push(wakes_test::<Poll<Kernel>>(kind, "kernel-poll"));
        tests.push(wakes_test::<Poll<Ours>>(kind, "poll"));
        tests.push(wakes_test::<Select<Kernel>>(kind, "kernel-select"));
        tests.push(wakes_test::<Select<Ours>>(kind, "select"));
    }
    tests
}

const NOW: Option<Duration> = Some(Duration::ZERO);

fn raw(fd: &impl AsRawFd) -> RawFd {
    fd.as_raw_fd()
}

/// Found when it is ready before the call, when it becomes so during it, and not else.
fn wakes<S: Scanner>(kind: &repoll_testkit::file_kinds::Kind) -> Result<()> {
    let scanner = S::new()?;
    let source = kind.make()?;
    let others = eventfds(3)?;
    let fds = [
        raw(&others[0]),
        source.number(),
        raw(&others[1]),
        raw(&others[2]),
    ];
    let soon = Some(Duration::from_millis(1));
    for _ in 0..3 {
        ensure!(scanner.readable(&fds, soon)?.is_empty());
        source.trigger()?;
        ensure!(scanner.readable(&fds, None)? == [source.number()]);
        source.drain()?;
        ensure!(scanner.readable(&fds, NOW)?.is_empty());
        let number = source.number();
        let means = &source.means;
        let found = if kind.name == "signalfd" {
            // It reports the signals of the task that polls it, so the signal must be for this
            // thread's process: it is. But a thread that does not block it would take it.
            let child = processes::fork(|| {
                sleep(MOMENT);
                processes::kill(processes::parent(), libc::SIGUSR2)
            })?;
            let found = scanner.readable(&fds, Some(LONG));
            child.wait()?;
            found
        } else {
            after(
                MOMENT,
                || means.trigger(number),
                || scanner.readable(&fds, Some(LONG)),
            )
        }?;
        ensure!(found == [number], "{found:?}");
        source.drain()?;
    }
    Ok(())
}

fn zero_does_not_wait<S: Scanner>() -> Result<()> {
    let scanner = S::new()?;
    let fd = files::eventfd()?;
    for _ in 0..1000 {
        ensure!(scanner.readable(&[raw(&fd)], NOW)?.is_empty());
    }
    ensure!(scanner.readable(&[], NOW)?.is_empty());
    Ok(())
}

fn a_timeout_is_a_lower_bound<S: Scanner>() -> Result<()> {
    let scanner = S::new()?;
    let fd = files::eventfd()?;
    for nanoseconds in [1, 1_000, 300_000, 1_000_000, 1_500_000, 50_000_000] {
        for fds in [&[raw(&fd)][..], &[]] {
            let mut left = Some(Duration::from_nanos(nanoseconds));
            let begin = Instant::now();
            let found = scanner.readable_masked(fds, &mut left, Mask::default())?;
            let waited = begin.elapsed();
            ensure!(found.is_empty(), "{found:?}");
            ensure!(waited.as_nanos() >= nanoseconds.into(), "{waited:?}");
            ensure!(left == NOW, "{left:?} is left");
        }
    }
    Ok(())
}

fn what_is_left_of_the_timeout_is_written_back<S: Scanner>() -> Result<()> {
    let scanner = S::new()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    let call = |mut timeout: Option<Duration>| -> io::Result<Option<Duration>> {
        let found = scanner.readable_masked(&[raw(&fd)], &mut timeout, Mask::default())?;
        assert_eq!(found, [raw(&fd)]);
        Ok(timeout)
    };
    ensure!(call(None)?.is_none());
    ensure!(call(NOW)? == NOW);
    let left = call(Some(LONG))?.unwrap_or_default();
    ensure!(left < LONG && left > LONG / 2, "{left:?}");
    // And on an error.
    signals::handle_signal(libc::SIGUSR1, 0)?;
    signals::block_signal(libc::SIGUSR1)?;
    read_all(&fd)?;
    signals::signal_this_process(libc::SIGUSR1)?;
    let mut left = Some(LONG);
    let result = scanner.readable_masked(&[raw(&fd)], &mut left, Mask::of(&SignalSet::empty()));
    expect_error(result, libc::EINTR)?;
    ensure!(
        left.is_some_and(|left| left < LONG && left > LONG / 2),
        "{left:?}"
    );
    Ok(())
}

fn a_timeout_of_centuries_does_not_overflow<S: Scanner>() -> Result<()> {
    let scanner = S::new()?;
    let fd = files::eventfd()?;
    let found = after(
        3 * MOMENT,
        || signal(&fd),
        || scanner.readable(&[raw(&fd)], Some(Duration::from_nanos(i64::MAX as u64))),
    )?;
    ensure!(found == [raw(&fd)]);
    Ok(())
}

/// Sends signals to a thread in the call, at any of its stages, until it is over.
fn interrupted<S: Scanner>(flags: i32) -> Result<()> {
    signals::handle_signal(libc::SIGUSR1, flags)?;
    let scanner = S::new()?;
    let files = eventfds(200)?;
    let fds: Vec<_> = files.iter().map(raw).collect();
    // The signals come during the wait; then, with less and less time between them and its begin,
    // while entries are added, files polled, arrays copied.
    for delay in [5_000, 1_000, 300, 100, 50, 20, 10, 5, 2, 1, 0] {
        for timeout in [None, Some(2 * LONG)] {
            let over = AtomicBool::new(false);
            let (sender, receiver) = channel();
            let result = scope(|threads| {
                let waiter = threads.spawn(|| {
                    let _ = sender.send(Thread::current());
                    let result = scanner.readable(&fds, timeout);
                    over.store(true, SeqCst);
                    // The signals must find the thread alive until they have stopped.
                    while over.load(SeqCst) {
                        sleep(Duration::from_millis(1));
                    }
                    result
                });
                let thread = receiver.recv()?;
                // The first ones may come before the call has begun.
                let ended = eventually("the call returns", || {
                    let until = Instant::now() + Duration::from_micros(delay);
                    while Instant::now() < until {
                        std::hint::spin_loop();
                    }
                    let ended = over.load(SeqCst);
                    if !ended {
                        thread.kill(libc::SIGUSR1);
                    }
                    Ok(ended)
                });
                over.store(false, SeqCst);
                ended?;
                join(waiter)
            })?;
            expect_error(result, libc::EINTR)?;
        }
    }
    // All is as good as before.
    signal(&files[199])?;
    ensure!(scanner.readable(&fds, None)? == [fds[199]]);
    Ok(())
}

fn a_signal_ends_the_call_with_eintr<S: Scanner>() -> Result<()> {
    interrupted::<S>(0)
}

/// signal(7): select and poll are never restarted after a handler.
fn a_signal_with_restart_ends_the_call_with_eintr<S: Scanner>() -> Result<()> {
    interrupted::<S>(libc::SA_RESTART)
}

/// SIGURG is ignored unless there is a handler.
fn a_signal_without_handler_does_not_end_the_call<S: Scanner>() -> Result<()> {
    let scanner = S::new()?;
    let fd = files::eventfd()?;
    let (sender, receiver) = channel();
    let found = scope(|threads| {
        let waiter = threads.spawn(|| {
            let _ = sender.send(Thread::current());
            scanner.readable(&[raw(&fd)], None)
        });
        let thread = receiver.recv()?;
        for _ in 0..5 {
            sleep(Duration::from_millis(5));
            thread.kill(libc::SIGURG);
        }
        signal(&fd)?;
        join(waiter)
    })??;
    ensure!(found == [raw(&fd)]);
    Ok(())
}

/// A child that waits for one eventfd, and ends with 0 if that is found, 1 if the time is up, else
/// an errno.
fn waiting_child<S: Scanner>(
    timeout: Option<Duration>,
    mask: Option<SignalSet>,
) -> Result<(OwnedFd, processes::Process)> {
    let scanner = S::new()?;
    let fd = files::eventfd()?;
    let child = processes::fork(|| {
        let mask = mask.as_ref().map(Mask::of).unwrap_or_default();
        match scanner.readable_masked(&[raw(&fd)], &mut { timeout }, mask) {
            Ok(found) => i32::from(found.is_empty()),
            Err(error) => error.raw_os_error().unwrap_or(77),
        }
    })?;
    sleep(3 * MOMENT);
    Ok((fd, child))
}

fn stop_and_continue(child: &processes::Process) -> Result<()> {
    child.kill(libc::SIGSTOP)?;
    child.wait_stopped()?;
    child.kill(libc::SIGCONT)?;
    Ok(())
}

/// Unlike epoll_wait(2): the kernel makes the call again.
fn a_stop_and_continue_does_not_end_the_call<S: Scanner>() -> Result<()> {
    for timeout in [None, Some(LONG)] {
        let (fd, child) = waiting_child::<S>(timeout, None)?;
        for _ in 0..3 {
            stop_and_continue(&child)?;
            sleep(MOMENT);
        }
        signal(&fd)?;
        ensure!(child.wait()? == 0);
    }
    Ok(())
}

/// And does not begin anew to wait: with a stop each 100 ms a limit of a second would else never
/// end.
fn a_stop_and_continue_leaves_the_time_limit<S: Scanner>() -> Result<()> {
    let (_fd, child) = waiting_child::<S>(Some(Duration::from_secs(1)), None)?;
    let pidfd = processes::pidfd(child.0)?;
    eventually("the call times out", || {
        let over = files::poll(&pidfd, libc::POLLIN, Duration::from_millis(100))? != 0;
        if !over {
            child.kill(libc::SIGSTOP)?;
            child.kill(libc::SIGCONT)?;
        }
        Ok(over)
    })?;
    ensure!(child.wait()? == 1);
    Ok(())
}

/// The mask of the call is in force again when it is made again.
fn a_stop_and_continue_keeps_the_mask<S: Scanner>() -> Result<()> {
    let mask = signals::set_of(&[libc::SIGUSR1]);
    let (fd, child) = waiting_child::<S>(Some(LONG), Some(mask))?;
    stop_and_continue(&child)?;
    sleep(MOMENT);
    // Blocked, it does not end the call; nor the child, until the mask is back.
    child.kill(libc::SIGUSR1)?;
    sleep(2 * MOMENT);
    signal(&fd)?;
    ensure!(child.wait()? == -libc::SIGUSR1);
    Ok(())
}

fn kill_ends_a_process_that_waits<S: Scanner>() -> Result<()> {
    let (_fd, child) = waiting_child::<S>(None, None)?;
    ensure!(child.kill_and_wait()? == -libc::SIGKILL);
    Ok(())
}

fn a_pending_signal_that_the_mask_lets_in_ends_the_call<S: Scanner>() -> Result<()> {
    signals::handle_signal(libc::SIGUSR1, 0)?;
    signals::block_signal(libc::SIGUSR1)?;
    let scanner = S::new()?;
    let fd = files::eventfd()?;
    for round in 0..3 {
        for timeout in [None, NOW, Some(LONG)] {
            let before = HANDLED.load(SeqCst);
            signals::signal_this_process(libc::SIGUSR1)?;
            ensure!(HANDLED.load(SeqCst) == before, "it is blocked");
            let result = scanner.readable_masked(
                &[raw(&fd)],
                &mut { timeout },
                Mask::of(&SignalSet::empty()),
            );
            expect_error(result, libc::EINTR)?;
            ensure!(HANDLED.load(SeqCst) == before + 1, "round {round}");
            ensure!(signals::is_blocked(libc::SIGUSR1), "the mask is as before");
        }
    }
    Ok(())
}

fn a_blocked_signal_does_not_end_the_call<S: Scanner>() -> Result<()> {
    signals::handle_signal(libc::SIGUSR1, 0)?;
    let scanner = S::new()?;
    let fd = files::eventfd()?;
    let parent = std::process::id() as i32;
    let child = processes::fork(|| {
        sleep(2 * MOMENT);
        processes::kill(parent, libc::SIGUSR1)
    })?;
    let mask = signals::set_of(&[libc::SIGUSR1, libc::SIGCHLD]);
    let mut timeout = Some(10 * MOMENT);
    let found = scanner.readable_masked(&[raw(&fd)], &mut timeout, Mask::of(&mask))?;
    ensure!(found.is_empty(), "{found:?}");
    ensure!(child.wait()? == 0);
    ensure!(HANDLED.load(SeqCst) == 1, "it comes when the call is over");
    Ok(())
}

/// And then the signal waits on: the mask that let it in is gone.
fn an_event_comes_before_a_signal<S: Scanner>() -> Result<()> {
    signals::handle_signal(libc::SIGUSR1, 0)?;
    signals::block_signal(libc::SIGUSR1)?;
    let scanner = S::new()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    signals::signal_this_process(libc::SIGUSR1)?;
    let found =
        scanner.readable_masked(&[raw(&fd)], &mut Some(LONG), Mask::of(&SignalSet::empty()))?;
    ensure!(found == [raw(&fd)]);
    ensure!(HANDLED.load(SeqCst) == 0, "the handler has run");
    ensure!(signals::is_blocked(libc::SIGUSR1), "the mask is as before");
    Ok(())
}

fn the_mask_is_restored_after_a_timeout<S: Scanner>() -> Result<()> {
    signals::handle_signal(libc::SIGUSR1, 0)?;
    let scanner = S::new()?;
    let fd = files::eventfd()?;
    let mask = signals::set_of(&[libc::SIGUSR1]);
    for timeout in [Duration::ZERO, Duration::from_millis(1)] {
        let mut timeout = Some(timeout);
        let found = scanner.readable_masked(&[raw(&fd)], &mut timeout, Mask::of(&mask))?;
        ensure!(found.is_empty());
        ensure!(!signals::is_blocked(libc::SIGUSR1));
        signals::signal_this_process(libc::SIGUSR1)?;
    }
    ensure!(HANDLED.load(SeqCst) == 2);
    Ok(())
}

fn kill_and_stop_cannot_be_blocked<S: Scanner>() -> Result<()> {
    let (_fd, child) = waiting_child::<S>(None, Some((1..=64).collect()))?;
    child.kill(libc::SIGSTOP)?;
    child.wait_stopped()?;
    ensure!(child.kill_and_wait()? == -libc::SIGKILL);
    Ok(())
}

fn a_mask_of_another_size_is_einval<S: Scanner>() -> Result<()> {
    let scanner = S::new()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    let mask = [0u64; 16];
    for size in [0, 1, 4, 7, 9, 16, 128, usize::MAX] {
        let mask = Mask::at(mask.as_ptr() as usize, size);
        let result = scanner.readable_masked(&[raw(&fd)], &mut { None }, mask);
        expect_error(result, libc::EINVAL)?;
    }
    Ok(())
}

fn a_bad_pointer_to_the_mask_is_efault<S: Scanner>() -> Result<()> {
    let scanner = S::new()?;
    let fd = files::eventfd()?;
    signal(&fd)?;
    for address in [1, 4096, usize::MAX - 4095, usize::MAX] {
        let result = scanner.readable_masked(&[raw(&fd)], &mut { None }, Mask::at(address, 8));
        expect_error(result, libc::EFAULT)?;
    }
    Ok(())
}

/// A wake-up of a file's queue for what nobody asked for.
fn an_event_for_others_does_not_end_the_call<S: Scanner>() -> Result<()> {
    let scanner = S::new()?;
    let (reader, writer) = files::pipe()?;
    let (other_reader, other_writer) = files::pipe()?;
    while files::write(&other_writer, &[0; 4096]).is_ok() {}
    let fds = [raw(&other_writer), raw(&reader)];
    let found = scope(|threads| {
        threads.spawn(|| {
            for _ in 0..10 {
                sleep(Duration::from_millis(5));
                let _ = files::read(&other_reader, &mut [0; 4096]);
            }
            files::write(&writer, b"x")
        });
        scanner.readable(&fds, Some(LONG))
    })?;
    ensure!(found == [raw(&reader)], "{found:?}");
    Ok(())
}

/// Instances of either make, which have wait queues of their own.
fn instances_can_be_watched<S: Scanner>() -> Result<()> {
    let scanner = S::new()?;
    let (ours, epoll, outer) = (Repoll::new()?, Epoll::new()?, Repoll::new()?);
    let fd = files::eventfd()?;
    ours.add(&fd, EventFlags::IN, 1)?;
    epoll.add(&fd, EventFlags::IN, 1)?;
    outer.add(&ours, EventFlags::IN, 1)?;
    let fds = [raw(&ours), raw(&epoll), raw(&outer)];
    for round in 0..20 {
        ensure!(scanner.readable(&fds, NOW)?.is_empty(), "round {round}");
        for fds in [&fds[..1], &fds[1..2], &fds[2..], &fds[..]] {
            let found = after(
                Duration::from_millis(3),
                || signal(&fd),
                || scanner.readable(fds, Some(LONG)),
            )?;
            // The call may find the first one of those that are being woken.
            ensure!(!found.is_empty());
            ensure!(scanner.readable(fds, NOW)? == fds);
            read_all(&fd)?;
        }
    }
    Ok(())
}

/// Unlike the multiplexer with EXCLUSIVE: the herd thunders.
fn all_who_wait_are_woken<S: Scanner>() -> Result<()> {
    const WAITERS: usize = 8;
    let scanner = S::new()?;
    let fd = files::eventfd()?;
    let woken = AtomicUsize::new(0);
    scope(|threads| {
        for _ in 0..WAITERS {
            threads.spawn(|| {
                if let Ok(found) = scanner.readable(&[raw(&fd)], Some(LONG)) {
                    woken.fetch_add(found.len(), SeqCst);
                }
            });
        }
        sleep(2 * MOMENT);
        signal(&fd)
    })?;
    ensure!(woken.load(SeqCst) == WAITERS, "{woken:?}");
    Ok(())
}

/// The call holds the file; its descriptor it looks up again at each pass.
fn a_file_that_is_closed_meanwhile_is_held<S: Scanner>() -> Result<()> {
    let scanner = S::new()?;
    for _ in 0..10 {
        let (reader, writer) = files::pipe()?;
        let (stays, _far) = files::pipe()?;
        let number = reader.into_raw_fd();
        let found = scope(|threads| {
            threads.spawn(|| -> io::Result<()> {
                sleep(MOMENT);
                files::close(number)?;
                sleep(Duration::from_millis(2));
                // To a pipe that has a reader: none but the call.
                files::write(&writer, b"x").map(drop)
            });
            scanner.readable(&[raw(&stays), number], Some(LONG))
        })?;
        // It is woken by the file, and finds no descriptor: POLLNVAL.
        ensure!(found == [number], "{found:?}");
        expect_error(files::write(&writer, b"x"), libc::EPIPE)?;
    }
    Ok(())
}

/// Two threads pass a token through pipes, without time limits: a wake-up that was missed would
/// hang.
fn events_are_not_missed<S: Scanner>() -> Result<()> {
    let rounds = settings::get().loops(3000);
    let scanner = S::new()?;
    let (here, to_here) = files::pipe()?;
    let (there, to_there) = files::pipe()?;
    let others = eventfds(12)?;
    let mut fds: Vec<_> = others.iter().map(raw).collect();
    let pass = |from: &OwnedFd, to: &OwnedFd, fds: &[RawFd]| -> Result<()> {
        let found = scanner.readable(fds, None)?;
        ensure!(found == [raw(from)], "{found:?}");
        files::read(from, &mut [0; 1])?;
        files::write(to, b"x")?;
        Ok(())
    };
    fds.push(-1);
    let with = |fd: &OwnedFd| {
        let mut fds = fds.clone();
        fds[12] = raw(fd);
        fds
    };
    let (first, second) = (with(&here), with(&there));
    scope(|threads| {
        let other = threads.spawn(|| {
            (0..rounds).try_for_each(|round| {
                // Sometimes the other one is asleep, sometimes not.
                (0..round % 64 * 16).for_each(|_| std::hint::spin_loop());
                pass(&there, &to_here, &second)
            })
        });
        files::write(&to_there, b"x")?;
        for _ in 0..rounds {
            pass(&here, &to_there, &first)?;
        }
        join(other)?
    })
}

/// 64 threads in POLL and SELECT on the same numbers, while what they stand for is closed, replaced
/// and written to, and signals come.
fn many_threads_wait_for_files_that_close() -> Result<()> {
    const THREADS: usize = 64;
    const FIRST: RawFd = 150;
    const FILES: RawFd = 12;
    let (poll, select) = (Poll::<Ours>::new()?, Select::<Ours>::new()?);
    signals::handle_signal(libc::SIGUSR1, 0)?;
    let over = AtomicBool::new(false);
    let (pipes, calls) = (std::sync::Mutex::new(Vec::new()), AtomicUsize::new(0));
    let (sender, receiver) = channel();
    // A number that is in use at the end is closed: each may be closed twice.
    let replace = |round: usize| -> io::Result<()> {
        let number = FIRST + (round * 7 % FILES as usize) as RawFd;
        match round % 4 {
            0 => drop(files::close(number)),
            1 => files::dup_onto(files::eventfd()?, number)?,
            2 => {
                let (reader, writer) = files::pipe()?;
                files::dup_onto(&reader, number)?;
                if let Ok(mut pipes) = pipes.lock() {
                    if pipes.len() >= 64 {
                        pipes.remove(round % 64);
                    }
                    pipes.push(writer);
                }
            }
            _ => {
                let timer = files::timerfd()?;
                files::arm(&timer, Duration::from_micros(300), Duration::from_millis(1))?;
                files::dup_onto(&timer, number)?;
            }
        }
        Ok(())
    };
    scope(|threads| -> Result<()> {
        for thread in 0..THREADS {
            let sender = sender.clone();
            let (poll, select, over, calls) = (&poll, &select, &over, &calls);
            threads.spawn(move || {
                let _ = sender.send(Thread::current());
                let fds: Vec<_> = (FIRST..FIRST + FILES)
                    .cycle()
                    .skip(thread)
                    .take(1 + thread % 15)
                    .collect();
                while !over.load(SeqCst) {
                    // EBADF and EINTR are as good as any.
                    let timeout = Some(Duration::from_millis(1 + thread as u64 % 9));
                    let _ = match thread % 2 {
                        0 => poll.readable(&fds, timeout),
                        _ => select.readable(&fds, timeout),
                    };
                    calls.fetch_add(1, SeqCst);
                }
                // The signals have stopped when this is joined, by the scope.
                sleep(10 * MOMENT);
            });
        }
        let targets: Vec<_> = receiver.iter().take(THREADS).collect();
        let end = Instant::now() + settings::get().stress();
        let mut result = Ok(());
        for round in 0.. {
            if Instant::now() >= end || result.is_err() {
                break;
            }
            result = replace(round);
            let _ = files::write(Number(FIRST + round as RawFd % FILES), &1u64.to_ne_bytes());
            if let (Ok(pipes), 0) = (pipes.lock(), round % 3) {
                if let Some(pipe) = pipes.get(round % 64) {
                    let _ = files::write(pipe, b"x");
                }
            }
            if round % 5 == 0 {
                targets[round / 5 % THREADS].kill(libc::SIGUSR1);
            }
        }
        over.store(true, SeqCst);
        Ok(result?)
    })?;
    ensure!(calls.load(SeqCst) > THREADS, "{calls:?}");
    // Nobody holds a file any more.
    for number in FIRST..FIRST + FILES {
        drop(files::close(number));
    }
    let pipes = pipes.into_inner().map_err(|_| anyhow::anyhow!("panic"))?;
    ensure!(!pipes.is_empty());
    for writer in pipes {
        expect_error(files::write(&writer, b"x"), libc::EPIPE)?;
    }
    Ok(())
}

fn the_timer_slack_is_the_tasks<S: Scanner>() -> Result<()> {
    let scanner = S::new()?;
    slack::is_the_tasks(|limit| {
        let _ = scanner.readable(&[], Some(limit));
    })
}
