// SPDX-License-Identifier: GPL-2.0
//! Watching a file does not keep it open: the other end sees the close.

use crate::prelude::*;
use crate::support::while_waiting;
use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;

pub fn tests() -> Vec<Test> {
    both!("references":
        close_of_a_watched_reader_breaks_the_pipe,
        close_of_a_watched_writer_is_end_of_file,
        close_of_a_watched_unix_socket_is_end_of_file,
        close_of_a_watched_tcp_socket_is_end_of_file,
        close_of_a_watched_listener_frees_its_port,
        close_of_a_watched_udp_socket_frees_its_port,
        close_while_waiting_is_seen_by_the_peer,
        close_of_the_instance_leaves_files_open,
        a_thousand_closed_files_leave_the_instance_usable,
    )
}

const LIMIT: Option<Duration> = Some(Duration::from_secs(20));

fn close_of_a_watched_reader_breaks_the_pipe<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (reader, writer) = files::pipe()?;
    m.add(&reader, EventFlags::IN, 1)?;
    drop(reader);
    expect_error(files::write(&writer, b"x"), libc::EPIPE)?;
    expect_none(&m)
}

fn close_of_a_watched_writer_is_end_of_file<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (reader, writer) = files::pipe()?;
    m.add(&writer, EventFlags::OUT, 1)?;
    drop(writer);
    ensure!(files::read(&reader, &mut [0; 8])? == 0);
    expect_none(&m)
}

fn close_of_a_watched_unix_socket_is_end_of_file<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (near, mut far) = UnixStream::pair()?;
    far.set_read_timeout(LIMIT)?;
    m.add(&near, EventFlags::IN, 1)?;
    drop(near);
    ensure!(far.read(&mut [0; 8])? == 0);
    expect_none(&m)
}

fn tcp_pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let far = TcpStream::connect(listener.local_addr()?)?;
    far.set_read_timeout(LIMIT)?;
    Ok((listener.accept()?.0, far))
}

fn close_of_a_watched_tcp_socket_is_end_of_file<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (near, mut far) = tcp_pair()?;
    m.add(&near, EventFlags::IN, 1)?;
    drop(near);
    ensure!(far.read(&mut [0; 8])? == 0);
    expect_none(&m)
}

fn close_of_a_watched_listener_frees_its_port<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    m.add(&listener, EventFlags::IN, 1)?;
    drop(listener);
    expect_error(TcpStream::connect(address), libc::ECONNREFUSED)?;
    TcpListener::bind(address)?;
    expect_none(&m)
}

fn close_of_a_watched_udp_socket_frees_its_port<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    m.add(&socket, EventFlags::IN, 1)?;
    drop(socket);
    UdpSocket::bind(address)?;
    expect_none(&m)
}

fn close_while_waiting_is_seen_by_the_peer<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (near, mut far) = tcp_pair()?;
    m.add(&near, EventFlags::IN, 1)?;
    let seen = while_waiting(&m, || {
        drop(near);
        ensure!(far.read(&mut [0; 8])? == 0);
        Ok(())
    })?;
    ensure!(seen.is_empty(), "{seen:?}");
    Ok(())
}

fn close_of_the_instance_leaves_files_open<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let (reader, writer) = files::pipe()?;
    m.add(&reader, EventFlags::IN, 1)?;
    m.add(&writer, EventFlags::OUT, 2)?;
    drop(m);
    files::write(&writer, b"x")?;
    ensure!(files::read(&reader, &mut [0; 8])? == 1);
    Ok(())
}

fn a_thousand_closed_files_leave_the_instance_usable<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    for data in 0..1000 {
        let fd = files::eventfd()?;
        // The number recurs, and so may the address of the file.
        m.add(&fd, EventFlags::IN, data)?;
        if data % 2 == 0 {
            repoll_testkit::files::signal(&fd)?;
        }
    }
    expect_none(&m)
}
