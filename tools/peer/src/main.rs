// SPDX-License-Identifier: GPL-2.0
//! Sends packets into a guest from outside, on request of the guest.
//!
//! The program runs on the host, in the same network namespace as QEMU. The guest connects to it
//! through QEMU's user network, sends one line per command, and reads one line of answer: `ok …` or
//! `error …`. [`command::Command`] lists the commands.

mod command;
mod traffic;

use anyhow::{Context, Result};
use clap::Parser;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Sends TCP and UDP packets and Ethernet frames into a guest, on request of the guest.
#[derive(Parser)]
#[command(name = "repoll-peer", version)]
struct Options {
    /// Loopback address to listen on; the guest reaches the host's loopback as 10.0.2.2.
    #[arg(long, default_value = "127.0.0.1:7000", value_parser = loopback)]
    listen: SocketAddr,
    /// Address of the ports that QEMU forwards into the guest.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    guest: IpAddr,
    /// Address where QEMU receives frames for the guest's second interface, one per datagram.
    #[arg(long, default_value = "127.0.0.1:7101", value_parser = loopback)]
    frames: SocketAddr,
    /// Exit when the parent process ends.
    #[arg(long)]
    die_with_parent: bool,
}

/// A connection is closed after this time without a command.
const IDLE: Duration = Duration::from_secs(3600);
/// The longest line that is accepted as a command.
const LONGEST_LINE: u64 = 256;

fn main() -> Result<()> {
    let options = Options::parse();
    if options.die_with_parent {
        // SAFETY: the call takes numbers only.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
    }
    let listener = TcpListener::bind(options.listen)
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    println!("repoll-peer: listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().context("cannot accept")?;
        let guest = traffic::Guest {
            address: options.guest,
            frames: options.frames,
        };
        std::thread::spawn(move || {
            if let Err(error) = serve(stream, guest) {
                eprintln!("repoll-peer: {error:#}");
            }
        });
    }
}

/// Executes the commands of one connection until it is closed.
fn serve(stream: TcpStream, guest: traffic::Guest) -> Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut answers = stream;
    loop {
        let mut line = String::new();
        let mut limited = lines.by_ref().take(LONGEST_LINE);
        if limited.read_line(&mut line).context("reading a command")? == 0 {
            return Ok(());
        }
        let answer = match line.parse::<command::Command>() {
            Ok(command) => traffic::run(&command, guest),
            Err(error) => Err(error),
        };
        let answer = match answer {
            Ok(done) => format!("ok {done}\n"),
            Err(error) => format!("error {error:#}\n"),
        };
        answers.write_all(answer.as_bytes())?;
    }
}

/// Parses an address that only this machine can reach.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|error| format!("{error}"))?;
    if !address.ip().is_loopback() {
        return Err("not a loopback address".to_owned());
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_listened_on() {
        assert!(loopback("127.0.0.1:0").is_ok());
        assert!(loopback("0.0.0.0:7000").is_err());
        assert!(loopback("nonsense").is_err());
    }

    #[test]
    fn answers_each_line_with_one_line() -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        let guest = traffic::Guest {
            address: Ipv4Addr::LOCALHOST.into(),
            frames: (Ipv4Addr::LOCALHOST, 9).into(),
        };
        let thread = std::thread::spawn(move || serve(server, guest));
        (&client).write_all(b"ping\nfly 1 2 3\n")?;
        let mut answers = BufReader::new(&client).lines();
        assert_eq!(answers.next().transpose()?.as_deref(), Some("ok here"));
        let refusal = answers.next().transpose()?.unwrap_or_default();
        assert!(refusal.starts_with("error "), "{refusal}");
        client.shutdown(std::net::Shutdown::Both)?;
        thread.join().expect("no panic")
    }
}
