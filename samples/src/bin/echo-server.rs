// SPDX-License-Identifier: MIT OR Apache-2.0
//! An echo server for UDP and TCP on one port: one thread, one event loop on `/dev/repoll`.
//!
//! Usage: `echo-server [PORT]` (7007). All is level-triggered: a socket that still has data
//! is reported again, so each turn may do as little as it likes.

use repoll::{Event, Events, Instance, DEVICE};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

/// What the data of an event mean; from [`FIRST_CONNECTION`] on it is a connection.
const UDP: u64 = 0;
const LISTENER: u64 = 1;
const FIRST_CONNECTION: u64 = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args()
        .nth(1)
        .map_or(Ok(7007), |port| port.parse::<u16>())?;
    let address = (Ipv4Addr::UNSPECIFIED, port);
    let udp = UdpSocket::bind(address)?;
    let listener = TcpListener::bind(address)?;
    udp.set_nonblocking(true)?;
    listener.set_nonblocking(true)?;

    let instance = Instance::open().map_err(|error| format!("{DEVICE}: {error}"))?;
    instance.add(&udp, Events::IN, UDP)?;
    instance.add(&listener, Events::IN, LISTENER)?;
    println!("echo-server: listening on port {port}");

    let mut connections = HashMap::new();
    let mut next = FIRST_CONNECTION;
    let mut buffer = [Event::default(); 64];
    loop {
        let ready = match instance.wait(&mut buffer, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            ready => ready?,
        };
        for event in ready {
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
                        // The last close also ends the watching: there is nothing to delete.
                        Err(_) => drop(connections.remove(&id)),
                    }
                }
            }
        }
    }
}

/// Sends one datagram back to where it came from.
fn echo_datagram(udp: &UdpSocket) -> io::Result<()> {
    let mut datagram = [0; 65536];
    match udp.recv_from(&mut datagram) {
        // Datagrams may get lost; a full send buffer loses this one.
        Ok((length, from)) => drop(udp.send_to(&datagram[..length], from)),
        Err(error) if transient(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Accepts one connection, if there still is one.
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

/// Errors after which a socket of ours is as good as before.
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

/// A connection, and what was read from it and not yet written back.
struct Connection {
    stream: TcpStream,
    pending: Vec<u8>,
    end_of_file: bool,
    /// What to wait for next: nothing is the end.
    interest: Events,
}

impl Connection {
    /// As long as this much waits to be written, nothing more is read.
    const ENOUGH: usize = 64 * 1024;

    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            pending: Vec::new(),
            end_of_file: false,
            interest: Events::IN,
        }
    }

    /// Reads once, writes once, and decides what to wait for next.
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
        self.interest = Events::empty();
        let room = self.pending.len() < Self::ENOUGH;
        self.interest.set(Events::OUT, !self.pending.is_empty());
        self.interest.set(Events::IN, !self.end_of_file && room);
        Ok(())
    }
}

/// On a connection, a reset is the end of it.
fn transient_stream(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
