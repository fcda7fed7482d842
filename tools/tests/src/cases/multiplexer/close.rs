// SPDX-License-Identifier: GPL-2.0
//! The last close of a watched file ends the watch, from any task, at any moment.

use crate::prelude::*;
use crate::support::{while_waiting, Sleeper};
use repoll_testkit::file_kinds::{Kind, Source, KINDS};
use repoll_testkit::files::send_descriptor;
use std::os::unix::net::UnixStream;

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for kind in KINDS {
        tests.extend(of_kind::<Epoll>(kind));
        tests.extend(of_kind::<Repoll>(kind));
    }
    tests.extend(both!("close":
        the_end_of_the_last_process_ends_the_watch,
        a_message_that_carries_the_file_keeps_the_watch,
        a_lost_message_that_carries_the_file_ends_the_watch,
        dup2_over_a_watched_file_ends_the_watch,
        mod_and_del_after_the_close_are_ebadf,
        several_instances_are_all_told,
        close_of_the_instance_before_its_files,
        close_of_the_instance_while_a_thread_waits,
        pollfree_of_a_signalfd_leaves_the_watch_safe,
        pollfree_reaches_all_watches_of_a_dying_process,
        pollfree_comes_while_watches_are_ended,
    ));
    tests
}

fn of_kind<M: Multiplexer>(kind: Kind) -> [Test; 3] {
    let (name, m) = (kind.name, M::name());
    [
        Test::new(
            format!("close.last_close_of_{name}_ends_the_watch/{m}"),
            move || last_close::<M>(kind),
        ),
        Test::new(
            format!("close.a_duplicate_of_{name}_keeps_the_watch/{m}"),
            move || duplicate::<M>(kind),
        ),
        Test::new(
            format!("close.last_close_of_a_ready_{name}_takes_it_out_of_the_queue/{m}"),
            move || ready_then_closed::<M>(kind),
        ),
    ]
}

/// With WAIT running in another thread.
fn last_close<M: Multiplexer>(kind: Kind) -> Result<()> {
    let m = M::new()?;
    let Source { fd, means } = kind.make()?;
    m.add(&fd, EventFlags::IN, 7)?;
    let number = fd.as_raw_fd();
    let seen = while_waiting(&m, || {
        drop(fd);
        sleep(MOMENT);
        // Most kinds have nothing left to trigger.
        let _ = means.trigger(-1);
        Ok(())
    })?;
    ensure!(seen.is_empty(), "{seen:?}");
    drop(means);

    // The number is free for another file.
    let second = kind.make()?;
    let fd = match second.number() == number {
        true => second.fd,
        false => files::dup_to_free(&second.fd, number)?,
    };
    m.add(&fd, EventFlags::IN, 8)?;
    second.means.trigger(number)?;
    expect_one(&m, 8)?;
    second.means.drain(number)?;
    expect_none(&m)
}

fn duplicate<M: Multiplexer>(kind: Kind) -> Result<()> {
    let m = M::new()?;
    let Source { fd, means } = kind.make()?;
    m.add(&fd, EventFlags::IN, 7)?;
    let copy = fd.try_clone()?;
    let seen = while_waiting(&m, || {
        drop(fd);
        sleep(MOMENT);
        Ok(())
    })?;
    ensure!(seen.is_empty(), "{seen:?}");
    means.trigger(copy.as_raw_fd())?;
    expect_one(&m, 7)?;
    means.drain(copy.as_raw_fd())?;
    expect_none(&m)?;

    let seen = while_waiting(&m, || {
        drop(copy);
        sleep(MOMENT);
        let _ = means.trigger(-1);
        Ok(())
    })?;
    ensure!(seen.is_empty(), "{seen:?}");
    Ok(())
}

fn ready_then_closed<M: Multiplexer>(kind: Kind) -> Result<()> {
    let m = M::new()?;
    let source = kind.make()?;
    m.add(&source.fd, EventFlags::IN, 7)?;
    source.trigger()?;
    expect_one(&m, 7)?;
    drop(source.fd);
    expect_none(&m)?;
    let other = files::eventfd()?;
    m.add(&other, EventFlags::IN, 9)?;
    signal(&other)?;
    expect_one(&m, 9).map(drop)
}

fn the_end_of_the_last_process_ends_the_watch<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (reader, writer) = files::pipe()?;
    m.add(&reader, EventFlags::IN, 1)?;
    // The child holds the file until a byte comes by the pipe.
    let (wait, go) = files::pipe()?;
    let child = processes::fork(|| {
        let wait = std::mem::ManuallyDrop::new(wait);
        files::poll(&*wait, libc::POLLIN, LONG).map(drop)
    })?;
    drop(reader);
    files::write(&writer, b"x")?;
    expect_one(&m, 1)?;
    files::write(&go, b"x")?;
    ensure!(child.wait()? == 0);
    expect_none(&m)?;
    expect_error(files::write(&writer, b"x"), libc::EPIPE)?;
    expect_none(&m)
}

fn a_message_that_carries_the_file_keeps_the_watch<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (here, _there) = UnixStream::pair()?;
    let (reader, writer) = files::pipe()?;
    m.add(&reader, EventFlags::IN, 1)?;
    send_descriptor(&here, &reader)?;
    drop(reader);
    files::write(&writer, b"x")?;
    expect_one(&m, 1).map(drop)
}

fn a_lost_message_that_carries_the_file_ends_the_watch<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (here, there) = UnixStream::pair()?;
    let (reader, writer) = files::pipe()?;
    m.add(&reader, EventFlags::IN, 1)?;
    files::write(&writer, b"x")?;
    send_descriptor(&here, &reader)?;
    drop(reader);
    expect_one(&m, 1)?;
    drop((here, there));
    crate::support::eventually("the file is closed", || Ok(m.ready()?.is_empty()))
}

fn dup2_over_a_watched_file_ends_the_watch<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (fd, other) = (files::eventfd()?, files::eventfd()?);
    m.add(&fd, EventFlags::IN, 1)?;
    signal(&fd)?;
    expect_one(&m, 1)?;
    files::dup_onto(&other, fd.as_raw_fd())?;
    expect_none(&m)?;
    signal(&fd)?;
    expect_none(&m)?;
    expect_error(m.delete(&fd), libc::ENOENT)?;
    m.add(&fd, EventFlags::IN, 2)?;
    expect_one(&m, 2).map(drop)
}

fn mod_and_del_after_the_close_are_ebadf<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = files::eventfd()?;
    let number = fd.as_raw_fd();
    m.add(&fd, EventFlags::IN, 1)?;
    drop(fd);
    expect_error(m.modify(&number, EventFlags::IN, 2), libc::EBADF)?;
    expect_error(m.delete(&number), libc::EBADF)?;
    expect_none(&m)
}

fn several_instances_are_all_told<M: Multiplexer>() -> Result<()> {
    let instances: Vec<M> = (0..20).map(|_| M::new()).collect::<Result<_, _>>()?;
    let fd = files::eventfd()?;
    for m in &instances {
        m.add(&fd, EventFlags::IN, 1)?;
    }
    signal(&fd)?;
    for m in &instances {
        expect_one(m, 1)?;
    }
    drop(fd);
    for m in &instances {
        expect_none(m)?;
    }
    Ok(())
}

fn close_of_the_instance_before_its_files<M: Multiplexer>() -> Result<()> {
    let fds = eventfds(50)?;
    for _ in 0..20 {
        let m = M::new()?;
        for (data, fd) in (0..).zip(&fds) {
            m.add(fd, EventFlags::IN, data)?;
            signal(fd)?;
        }
        ensure!(m.ready()?.len() == 50);
        drop(m);
        signal(&fds[0])?;
    }
    drop(fds);
    Ok(())
}

/// The WAIT that goes on keeps the instance.
fn close_of_the_instance_while_a_thread_waits<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    let number = m.as_raw_fd();
    let sleeper = Sleeper::default();
    let events = scope(|threads| {
        let waiter = threads.spawn(|| {
            sleeper.is_this_thread();
            m.wait(4, None)
        });
        sleeper.eventually_waits()?;
        // The number is owned by `m`, so another file must take its place.
        let other = files::eventfd()?;
        files::dup_onto(&other, number)?;
        signal(&fd)?;
        join(waiter)?.map_err(anyhow::Error::from)
    })?;
    ensure!(events.len() == 1, "{events:?}");
    Ok(())
}

/// The wait queue of a signalfd belongs to the process that added it, and dies with it.
fn pollfree_of_a_signalfd_leaves_the_watch_safe<M: Multiplexer>() -> Result<()> {
    for explicit in [true, false] {
        let m = M::new()?;
        let fd = signals::signalfd(libc::SIGUSR1)?;
        for _ in 0..20 {
            let child = processes::fork(|| m.add(&fd, EventFlags::IN, 1))?;
            ensure!(child.wait()? == 0);
            sleep(MOMENT / 10);
            expect_none(&m)?;
            if explicit {
                m.delete(&fd)?;
            } else {
                expect_error(m.add(&fd, EventFlags::IN, 1), libc::EEXIST)?;
                break;
            }
        }
        drop(fd);
        expect_none(&m)?;
    }
    Ok(())
}

/// All of them at once, those of several instances, those that are ready, and with a WAIT under
/// way.
fn pollfree_reaches_all_watches_of_a_dying_process<M: Multiplexer>() -> Result<()> {
    let instances: Vec<M> = (0..10).map(|_| M::new()).collect::<Result<_, _>>()?;
    let fds = (0..8)
        .map(|_| signals::signalfd(libc::SIGUSR1))
        .collect::<std::io::Result<Vec<_>>>()?;
    let (ours, theirs) = files::pipe()?;
    let child = processes::fork(|| -> Result<()> {
        for (data, fd) in (0..).zip(&fds) {
            for m in &instances {
                m.add(fd, EventFlags::IN, data)?;
            }
        }
        signals::signal_this_process(libc::SIGUSR1)?;
        ensure!(instances[0].ready()?.len() == fds.len());
        files::write(&theirs, b"x")?;
        // Until it is killed: there is always something ready.
        loop {
            instances[1].wait(1, None)?;
        }
    })?;
    let events = files::poll(&ours, libc::POLLIN, LONG)?;
    ensure!(events != 0, "the child does not get there");
    ensure!(child.kill_and_wait()? == -libc::SIGKILL);
    // The signal went with the child, so nothing is ready; the watches are there, and dead.
    for m in &instances {
        expect_none(m)?;
    }
    expect_error(instances[0].add(&fds[0], EventFlags::IN, 1), libc::EEXIST)?;
    instances[0].delete(&fds[0])?;
    instances[0].modify(&fds[1], EventFlags::IN | EventFlags::ET, 1)?;
    expect_none(&instances[0])?;
    // A file that we add is as good as ever.
    instances[0].add(&fds[0], EventFlags::IN, 5)?;
    signals::signal_this_process(libc::SIGUSR1)?;
    ensure!(instances[0].ready_data()?.contains(&5));
    drop(fds);
    for m in &instances {
        expect_none(m)?;
    }
    Ok(())
}

/// The end of the process that added them, against DEL, the last close, and the end of the
/// instance.
fn pollfree_comes_while_watches_are_ended<M: Multiplexer>() -> Result<()> {
    for round in 0..crate::settings::get().loops(30) {
        let m = M::new()?;
        let mut fds = (0..12)
            .map(|_| signals::signalfd(libc::SIGUSR1))
            .collect::<std::io::Result<Vec<_>>>()?;
        let (ours, theirs) = files::pipe()?;
        let child = processes::fork(|| {
            m.add_all(&fds, EventFlags::IN, 1)?;
            files::write(&theirs, b"x").map(drop)
        })?;
        ensure!(files::poll(&ours, libc::POLLIN, crate::support::LONG)? != 0);
        // Now it is on its way out, or will be soon.
        for _ in 0..round % 7 * 100 {
            std::hint::spin_loop();
        }
        for fd in &fds[..4] {
            m.delete(fd)?;
        }
        fds.truncate(8);
        m.modify(&fds[5], EventFlags::IN, 2)?;
        expect_none(&m)?;
        drop(m);
        ensure!(child.wait()? == 0);
    }
    Ok(())
}
