// SPDX-License-Identifier: GPL-2.0
//! One instance, several descriptors or processes.

use crate::both;
use crate::files::signal;
use crate::multiplexer::Multiplexer;
use crate::processes;
use crate::registry::Test;
use crate::support::{eventually, expect_none, expect_one, LONG};
use crate::sys;
use anyhow::{ensure, Result};
use repoll::EventFlags;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
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
    let fd = sys::eventfd()?;
    m.add(&fd, EventFlags::IN, 1)?;
    signal(&fd)?;
    expect_one(&copy, 1)?;
    drop(m);
    expect_one(&copy, 1)?;
    copy.delete(&fd)?;
    expect_none(&copy)
}

fn a_fork_shares_the_instance<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = sys::eventfd()?;
    m.add(&fd, EventFlags::IN | EventFlags::ET, 1)?;
    let child = processes::fork(|| match m.wait(4, Some(LONG)) {
        Ok(events) => events.len() as i32,
        Err(_) => 100,
    })?;
    signal(&fd)?;
    let status = child.wait()?;
    ensure!(status == 1, "{status}");
    // The child has had the edge.
    expect_none(&m)
}

/// The key is the file and the number in the table of whoever added it.
fn a_child_may_add_what_the_parent_then_sees<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let fd = sys::eventfd()?;
    let child = processes::fork(|| i32::from(m.add(&fd, EventFlags::IN, 9).is_err()))?;
    ensure!(child.wait()? == 0);
    signal(&fd)?;
    expect_one(&m, 9)?;
    m.delete(&fd)?;
    expect_none(&m)
}

/// A message that carries a descriptor.
pub fn send_descriptor(socket: &UnixStream, fd: RawFd) -> Result<()> {
    let mut byte = [0u8];
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let mut control = [0u64; 4];
    // SAFETY: the header points to buffers that live through the call; there is room for one
    // control message with one descriptor.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(4) as usize;
        let message = libc::CMSG_FIRSTHDR(&header);
        (*message).cmsg_level = libc::SOL_SOCKET;
        (*message).cmsg_type = libc::SCM_RIGHTS;
        (*message).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(message).cast::<RawFd>().write_unaligned(fd);
        sys::check(libc::sendmsg(socket.as_raw_fd(), &header, 0))?;
    }
    Ok(())
}

/// The descriptor of such a message.
pub fn receive_descriptor(socket: &UnixStream) -> Result<OwnedFd> {
    let mut byte = [0u8];
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let mut control = [0u64; 4];
    // SAFETY: as above; the kernel has made the descriptor that it put into the message.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control);
        sys::check(libc::recvmsg(
            socket.as_raw_fd(),
            &mut header,
            libc::MSG_CMSG_CLOEXEC,
        ))?;
        let message = libc::CMSG_FIRSTHDR(&header);
        ensure!(!message.is_null(), "no descriptor came");
        let fd = libc::CMSG_DATA(message).cast::<RawFd>().read_unaligned();
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn an_instance_can_be_sent_to_another_descriptor_table<M: Multiplexer>() -> Result<()> {
    let (here, there) = UnixStream::pair()?;
    let m = M::new()?;
    let fd = sys::eventfd()?;
    m.add(&fd, EventFlags::IN, 1)?;
    let child = processes::fork(|| {
        let receive = || -> Result<()> {
            let m = M::from(receive_descriptor(&there)?);
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
    send_descriptor(&here, m.as_raw_fd())?;
    send_descriptor(&here, fd.as_raw_fd())?;
    ensure!(child.wait()? == 0);
    Ok(())
}

fn an_instance_in_flight_keeps_its_watches<M: Multiplexer>() -> Result<()> {
    let (here, there) = UnixStream::pair()?;
    let m = M::new()?;
    let fd = sys::eventfd()?;
    m.add(&fd, EventFlags::IN, 1)?;
    send_descriptor(&here, m.as_raw_fd())?;
    drop(m);
    signal(&fd)?;
    let m = M::from(receive_descriptor(&there)?);
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
    let (reader, writer) = sys::pipe()?;
    m.add(&reader, EventFlags::IN, 1)?;
    sys::write(writer.as_raw_fd(), b"x")?;
    expect_one(&m, 1)?;
    let child = child_that_executes()?;
    drop(reader);
    eventually("exec has closed the file", || Ok(m.ready()?.is_empty()))?;
    child.kill(libc::SIGKILL)?;
    child.wait()?;
    Ok(())
}

/// Its watches end with it, those of files that are still open too.
fn exec_closes_an_instance<M: Multiplexer>() -> Result<()> {
    let (m, outer) = (M::new()?, M::new()?);
    let fd = sys::eventfd()?;
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
    child.kill(libc::SIGKILL)?;
    child.wait()?;
    Ok(())
}
