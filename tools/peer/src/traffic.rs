// SPDX-License-Identifier: GPL-2.0
//! Sends the packets. Each wait has a time limit.

use crate::command::{Command, Frames, Traffic};
use anyhow::{ensure, Context, Result};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time limit for an echo. An emulated guest with a debug kernel is slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// The destinations of packets.
#[derive(Clone, Copy)]
pub struct Guest {
    /// Address of the ports that QEMU forwards into the guest.
    pub address: IpAddr,
    /// Address where QEMU receives frames.
    pub frames: SocketAddr,
}

/// Executes a command and returns a summary.
pub fn run(command: &Command, guest: Guest) -> Result<String> {
    let address = guest.address;
    match command {
        Command::Ping => Ok("here".to_owned()),
        Command::Udp(traffic) => udp(traffic, address),
        Command::UdpEcho(traffic) => udp_echo(traffic, address),
        Command::Tcp(traffic) => tcp(traffic, address),
        Command::TcpEcho(traffic) => tcp_echo(traffic, address),
        Command::Frames(wanted) => frames(wanted, guest.frames),
    }
}

fn frames(wanted: &Frames, to: SocketAddr) -> Result<String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    for number in 0..wanted.count {
        sleep(wanted.gap);
        let frame = repoll_peer::frame(wanted.ethertype, number, wanted.bytes);
        socket.send_to(&frame, to)?;
    }
    Ok(format!("sent {}", wanted.count))
}

fn udp(traffic: &Traffic, guest: IpAddr) -> Result<String> {
    let socket = udp_socket(traffic, guest)?;
    for number in 0..traffic.count {
        sleep(traffic.gap);
        socket.send(&message(number, traffic.bytes))?;
    }
    Ok(format!("sent {}", traffic.count))
}

fn udp_echo(traffic: &Traffic, guest: IpAddr) -> Result<String> {
    let socket = udp_socket(traffic, guest)?;
    let mut answer = vec![0; 65_536];
    for number in 0..traffic.count {
        sleep(traffic.gap);
        let sent = message(number, traffic.bytes);
        let deadline = Instant::now() + PATIENCE;
        socket.send(&sent)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(
                !left.is_zero(),
                "datagram {number} of {} did not come back in {} s",
                traffic.count,
                PATIENCE.as_secs()
            );
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut answer) {
                Ok(length) if answer[..length] == sent => break,
                Ok(length) => anyhow::bail!(
                    "datagram {number} came back changed ({length} bytes, {} were sent)",
                    sent.len()
                ),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error).context("receiving an echo"),
            }
        }
    }
    Ok(format!("echoed {} of {}", traffic.count, traffic.count))
}

fn tcp(traffic: &Traffic, guest: IpAddr) -> Result<String> {
    let mut stream = tcp_stream(traffic, guest)?;
    for number in 0..traffic.count {
        sleep(traffic.gap);
        stream.write_all(&message(number, traffic.bytes))?;
    }
    Ok(format!("sent {}", traffic.count))
}

fn tcp_echo(traffic: &Traffic, guest: IpAddr) -> Result<String> {
    let mut stream = tcp_stream(traffic, guest)?;
    let mut answer = vec![0; traffic.bytes];
    for number in 0..traffic.count {
        sleep(traffic.gap);
        let sent = message(number, traffic.bytes);
        stream.write_all(&sent)?;
        stream
            .read_exact(&mut answer)
            .with_context(|| format!("message {number} of {} did not come back", traffic.count))?;
        ensure!(answer == sent, "message {number} came back changed");
    }
    // The guest closes its side when we have closed ours.
    stream.shutdown(std::net::Shutdown::Write)?;
    let more = stream.read(&mut answer).context("waiting for the end")?;
    ensure!(more == 0, "{more} extra bytes came back");
    Ok(format!("echoed {} of {}", traffic.count, traffic.count))
}

fn udp_socket(traffic: &Traffic, guest: IpAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket
        .connect((guest, traffic.port))
        .with_context(|| format!("cannot reach port {}", traffic.port))?;
    Ok(socket)
}

fn tcp_stream(traffic: &Traffic, guest: IpAddr) -> Result<TcpStream> {
    let address = SocketAddr::new(guest, traffic.port);
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Makes a message. Each part of it differs from the same part of the messages before and after it.
fn message(number: u32, bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|at| (number as usize).wrapping_mul(31).wrapping_add(at) as u8)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn traffic(port: u16) -> Traffic {
        Traffic {
            port,
            count: 3,
            bytes: 64,
            gap: Duration::ZERO,
        }
    }

    #[test]
    fn an_echoed_datagram_is_verified() -> Result<()> {
        let server = UdpSocket::bind((HERE, 0))?;
        let port = server.local_addr()?.port();
        let thread = std::thread::spawn(move || -> Result<()> {
            let mut buffer = [0; 2048];
            for _ in 0..3 {
                let (length, from) = server.recv_from(&mut buffer)?;
                server.send_to(&buffer[..length], from)?;
            }
            let (length, from) = server.recv_from(&mut buffer)?;
            server.send_to(&buffer[1..length], from)?;
            Ok(())
        });
        assert_eq!(udp_echo(&traffic(port), HERE)?, "echoed 3 of 3");
        let error = udp_echo(&traffic(port), HERE).expect_err("one byte is missing");
        assert!(error.to_string().contains("came back changed"), "{error:#}");
        thread.join().expect("no panic")
    }

    #[test]
    fn an_echoed_stream_is_verified_to_its_end() -> Result<()> {
        let server = TcpListener::bind((HERE, 0))?;
        let port = server.local_addr()?.port();
        let thread = std::thread::spawn(move || -> Result<()> {
            let (mut stream, _) = server.accept()?;
            std::io::copy(&mut stream.try_clone()?, &mut stream)?;
            Ok(())
        });
        assert_eq!(tcp_echo(&traffic(port), HERE)?, "echoed 3 of 3");
        thread.join().expect("no panic")
    }

    #[test]
    fn frames_are_sent_one_to_a_datagram() -> Result<()> {
        let machine = UdpSocket::bind((HERE, 0))?;
        let wanted = Frames {
            ethertype: 0x88b5,
            count: 2,
            bytes: 60,
            gap: Duration::ZERO,
        };
        assert_eq!(frames(&wanted, machine.local_addr()?)?, "sent 2");
        for number in 0..2 {
            let mut buffer = [0; 100];
            let (length, _) = machine.recv_from(&mut buffer)?;
            assert_eq!(buffer[..length], repoll_peer::frame(0x88b5, number, 60));
        }
        Ok(())
    }

    #[test]
    fn a_closed_port_is_an_error() -> Result<()> {
        let port = TcpListener::bind((HERE, 0))?.local_addr()?.port();
        assert!(tcp(&traffic(port), HERE).is_err());
        Ok(())
    }
}
