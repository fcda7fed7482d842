// SPDX-License-Identifier: GPL-2.0
//! The demo of `make run`: packets from outside the guest wake a process through `/dev/repoll`.
//!
//! It starts the sample echo server, has the peer on the host send UDP and TCP traffic to it, and
//! prints the story of one packet. It runs in a guest, as root, with the module loaded.

use anyhow::{ensure, Context, Result};
use clap::Parser;
use repoll_peer::Peer;
use repoll_trace::record::Trace;
use repoll_trace::render::{self, Color};
use repoll_trace::story::{self, Packets, Protocol};
use repoll_trace::{recorder, signals, tracefs};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Prints the story of a packet from outside the guest that wakes an echo server through
/// /dev/repoll.
#[derive(Parser)]
#[command(name = "repoll-demo", version)]
struct Options {
    /// The address of repoll-peer, as seen from the guest.
    #[arg(long, env = "REPOLL_PEER", default_value = "10.0.2.2:7000")]
    peer: SocketAddr,
    /// The port of the echo server; the host must forward it into the guest.
    #[arg(long, default_value_t = 7007)]
    port: u16,
    /// The number of messages to echo over each protocol.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// The length of each message, in bytes.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1400))]
    bytes: u16,
    /// Whether to print in colour.
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

/// The pause between two messages, in milliseconds: long enough for the server to sleep.
const GAP: u32 = 10;

fn main() -> Result<()> {
    let options = Options::parse();
    signals::on_end(tracefs::remove_all);
    let _server = Server::start(options.port)?;
    let peer = Peer::connect(options.peer)?;

    let udp = traffic(&options, &peer, "udp-echo")?;
    println!(
        "UDP: {} datagrams of {} bytes came from outside the guest and were echoed.",
        options.count, options.bytes
    );
    let tcp = traffic(&options, &peer, "tcp-echo")?;
    println!(
        "TCP: {} messages of {} bytes came from outside the guest and were echoed.\n",
        options.count, options.bytes
    );

    let udp_stories = story::all(&udp.records);
    let tcp_stories = story::all(&tcp.records);
    let udp_packets = Packets::among(&udp_stories, Protocol::Udp);
    let tcp_packets = Packets::among(&tcp_stories, Protocol::Tcp);
    let color = options.color.enabled();
    print!("{}", render::packet(&udp_packets, Protocol::Udp, color));
    if let Some(summary) = render::summary(&tcp_packets, Protocol::Tcp) {
        println!("  {summary}");
    }
    eprint!("{}", render::trouble(&udp_packets, Protocol::Udp));
    eprint!("{}", render::trouble(&tcp_packets, Protocol::Tcp));
    eprint!("{}", render::lost(udp.lost + tcp.lost));
    ensure!(
        !udp_packets.whole.is_empty() && !tcp_packets.whole.is_empty(),
        "no packet could be followed from the interrupt to the echo"
    );
    Ok(())
}

/// Records while the peer sends traffic of one kind.
fn traffic(options: &Options, peer: &Peer, command: &str) -> Result<Trace> {
    let Options {
        port, count, bytes, ..
    } = options;
    // Warm up address resolution and caches by one message.
    peer.ask(&format!("{command} {port} 1 {bytes}"))?;
    let mut session = recorder::story()?;
    peer.ask(&format!("{command} {port} {count} {bytes} {GAP}"))?;
    session.stop()
}

/// The echo server; killed when dropped.
struct Server(Child);

impl Server {
    fn start(port: u16) -> Result<Self> {
        let beside = std::env::current_exe()?.with_file_name("echo-server");
        let program = if beside.exists() {
            beside
        } else {
            PathBuf::from("echo-server")
        };
        let mut command = Command::new(&program);
        command.arg(port.to_string()).stdout(Stdio::piped());
        let child = signals::unmasked(&mut command)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Self(child);
        let mut line = String::new();
        if let Some(stdout) = server.0.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        ensure!(
            line.contains("listening"),
            "{} did not start",
            program.display()
        );
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error means that the server has exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
