// SPDX-License-Identifier: GPL-2.0
//! One instance, several descriptors or processes.

use crate::prelude::*;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;

pub fn tests() -> Vec<Test> {
    both!("sharing":
        a_duplicate_is_the_same_instance,
        a_fork_shares_the_instance,
        a_child_may_add_what_the_parent_then_sees,
        an_instance_can_be_sent_to_another_descriptor_table,
        an_instance_in_flight_keeps_its_watches,
        exec_closes_a_watched_file,
        exec_closes_an_instance,
    )
}

fn a_duplicate_is_the_same_instance<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let copy = m.duplicate()?;
    let fd = files::eventfd()?;
    m.add(&fd, EventFlags::IN, 1)?;
    signal(&fd)?;
    expect_one(&copy, 1)?;
    drop(m);
    expect_one(&copy, 1)?;
    copy.delete(&fd)?;
    expect_none(&copy)
}

fn a_fork_shares_the_instance<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN | EventFlags::ET, 1)?;
    let child = processes::fork(|| m.wait(4, Some(LONG)).map(|events| events.len() as i32))?;
    signal(&fd)?;
    ensure!(child.wait()? == 1);
    // The child has had the edge.
    expect_none(&m)
}

/// The key is the file and the number in the table of the process that added it.
fn a_child_may_add_what_the_parent_then_sees<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = files::eventfd()?;
    let child = processes::fork(|| m.add(&fd, EventFlags::IN, 9))?;
    ensure!(child.wait()? == 0);
    signal(&fd)?;
    expect_one(&m, 9)?;
    m.delete(&fd)?;
    expect_none(&m)
}

/// The descriptor that a message carries.
fn receive_descriptor(socket: &UnixStream) -> Result<OwnedFd> {
    files::receive_descriptor(socket)?.context("no descriptor came")
}

fn an_instance_can_be_sent_to_another_descriptor_table<M: Multiplexer>() -> Result<()> {
    let (here, there) = UnixStream::pair()?;
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    let child = processes::fork(|| {
        let receive = || -> Result<()> {
            let m = M::from_descriptor(receive_descriptor(&there)?);
            let fd = receive_descriptor(&there)?;
            m.add(&fd, EventFlags::IN, 2)?;
            signal(&fd)?;
            let mut data = m.ready_data()?;
            data.sort_unstable();
            ensure!(data == [1, 2], "{data:?}");
            Ok(())
        };
        receive().map_or_else(
            |error| {
                eprintln!("child: {error:#}");
                1
            },
            |()| 0,
        )
    })?;
    files::send_descriptor(&here, &m)?;
    files::send_descriptor(&here, &fd)?;
    ensure!(child.wait()? == 0);
    Ok(())
}

fn an_instance_in_flight_keeps_its_watches<M: Multiplexer>() -> Result<()> {
    let (here, there) = UnixStream::pair()?;
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    files::send_descriptor(&here, &m)?;
    drop(m);
    signal(&fd)?;
    let m = M::from_descriptor(receive_descriptor(&there)?);
    expect_one(&m, 1).map(drop)
}

/// A process that runs another program, with nothing of ours but what is not closed on exec.
fn child_that_executes() -> Result<processes::Process> {
    Ok(processes::fork(|| {
        let error = std::process::Command::new("sleep").arg("1000").exec();
        eprintln!("sleep: {error}");
        1
    })?)
}

/// The last close may be an exec.
fn exec_closes_a_watched_file<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (reader, writer) = files::pipe()?;
    m.add(&reader, EventFlags::IN, 1)?;
    files::write(&writer, b"x")?;
    expect_one(&m, 1)?;
    let child = child_that_executes()?;
    drop(reader);
    eventually("exec has closed the file", || Ok(m.ready()?.is_empty()))?;
    child.kill_and_wait()?;
    Ok(())
}

/// Its watches end with it, those of files that are still open too.
fn exec_closes_an_instance<M: Multiplexer>() -> Result<()> {
    let (m, outer) = (M::new()?, M::new()?);
    let fd = files::eventfd()?;
    m.add(&fd, EventFlags::IN, 1)?;
    outer.add(&m, EventFlags::IN, 2)?;
    signal(&fd)?;
    expect_one(&outer, 2)?;
    let child = child_that_executes()?;
    drop(m);
    eventually("exec has closed the instance", || {
        Ok(outer.ready()?.is_empty())
    })?;
    signal(&fd)?;
    expect_none(&outer)?;
    child.kill_and_wait()?;
    Ok(())
}
