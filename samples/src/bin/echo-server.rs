// SPDX-License-Identifier: MIT OR Apache-2.0
//! An echo server for UDP and TCP on one port: one thread, one event loop on `/dev/repoll`.
//!
//! Usage: `echo-server [PORT]` (7007). Everything is level-triggered: a socket that still has data
//! is reported again, so each turn of the loop reads once and writes once.

use anyhow::Result;
use repoll::{EventFlags, Events, Instance};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

/// The data of the events: the two sockets, and connections from [`FIRST_CONNECTION`] on.
const UDP: u64 = 0;
const LISTENER: u64 = 1;
const FIRST_CONNECTION: u64 = 2;

fn main() -> Result<()> {
    let port = std::env::args()
        .nth(1)
        .map_or(Ok(7007), |port| port.parse::<u16>())?;
    let address = (Ipv4Addr::UNSPECIFIED, port);
    let udp = UdpSocket::bind(address)?;
    let listener = TcpListener::bind(address)?;
    udp.set_nonblocking(true)?;
    listener.set_nonblocking(true)?;

    let instance = Instance::open()?;
    instance.add(&udp, EventFlags::IN, UDP)?;
    instance.add(&listener, EventFlags::IN, LISTENER)?;
    println!("echo-server: listening on port {port}");

    let mut connections = HashMap::new();
    let mut next = FIRST_CONNECTION;
    let mut events = Events::with_capacity(64);
    loop {
        match instance.wait(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            count => count?,
        };
        for event in &events {
            match event.data() {
                UDP => echo_datagram(&udp)?,
                LISTENER => {
                    if let Some(stream) = accept(&listener)? {
                        let connection = Connection::new(stream);
                        instance.add(&connection.stream, connection.interest, next)?;
                        connections.insert(next, connection);
                        next += 1;
                    }
                }
                id => {
                    let Some(connection) = connections.get_mut(&id) else {
                        continue;
                    };
                    let before = connection.interest;
                    match connection.turn() {
                        Ok(()) if connection.interest.is_empty() => drop(connections.remove(&id)),
                        Ok(()) if connection.interest == before => {}
                        Ok(()) => instance.modify(&connection.stream, connection.interest, id)?,
                        // The last close also removes the file from the interest list.
                        Err(_) => drop(connections.remove(&id)),
                    }
                }
            }
        }
    }
}

/// Sends one datagram back to its sender.
fn echo_datagram(udp: &UdpSocket) -> io::Result<()> {
    let mut datagram = [0; 65536];
    match udp.recv_from(&mut datagram) {
        // Datagrams can get lost: if the send buffer is full, this one does.
        Ok((length, from)) => drop(udp.send_to(&datagram[..length], from)),
        Err(error) if transient(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Accepts one connection, unless it is already gone.
fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            Ok(Some(stream))
        }
        Err(error) if transient(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the socket is still usable after this error.
fn transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock
            | ErrorKind::Interrupted
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
    )
}

/// A connection, with the bytes that were read from it and not yet written back.
struct Connection {
    stream: TcpStream,
    pending: Vec<u8>,
    end_of_file: bool,
    /// The events to wait for next; empty at the end of the connection.
    interest: EventFlags,
}

impl Connection {
    /// While this many bytes wait to be written, nothing more is read.
    const ENOUGH: usize = 64 * 1024;

    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            pending: Vec::new(),
            end_of_file: false,
            interest: EventFlags::IN,
        }
    }

    /// Reads once, writes once, and sets the events to wait for next.
    fn turn(&mut self) -> io::Result<()> {
        if !self.end_of_file && self.pending.len() < Self::ENOUGH {
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => self.end_of_file = true,
                Ok(length) => self.pending.extend_from_slice(&chunk[..length]),
                Err(error) if transient_stream(&error) => {}
                Err(error) => return Err(error),
            }
        }
        if !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(length) => drop(self.pending.drain(..length)),
                Err(error) if transient_stream(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.interest = EventFlags::empty();
        let room = self.pending.len() < Self::ENOUGH;
        self.interest.set(EventFlags::OUT, !self.pending.is_empty());
        self.interest.set(EventFlags::IN, !self.end_of_file && room);
        Ok(())
    }
}

/// Whether a connection is still usable after this error. A reset ends it.
fn transient_stream(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
