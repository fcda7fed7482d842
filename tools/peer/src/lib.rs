// SPDX-License-Identifier: GPL-2.0
//! The guest's side of repoll-peer: asks for traffic, and waits until it is done.

use anyhow::{bail, Context, Result};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection to repoll-peer.
#[derive(Debug)]
pub struct Peer(TcpStream);

/// How long the peer may take for one command; it has limits of its own.
const PATIENCE: Duration = Duration::from_secs(60);

impl Peer {
    /// Connects to the peer.
    ///
    /// # Errors
    ///
    /// Those of connect(2).
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .with_context(|| format!("cannot reach repoll-peer at {address}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Sends a command, waits until it is done, and returns what follows the `ok`.
    ///
    /// # Errors
    ///
    /// When the peer could not do it, or does not answer.
    pub fn ask(&self, command: &str) -> Result<String> {
        let mut stream = &self.0;
        stream.write_all(format!("{command}\n").as_bytes())?;
        let mut answer = String::new();
        BufReader::new(stream)
            .read_line(&mut answer)
            .context("waiting for repoll-peer")?;
        match answer.trim_end().strip_prefix("ok") {
            Some(done) => Ok(done.trim_start().to_owned()),
            None => bail!("repoll-peer: {command}: {}", answer.trim_end()),
        }
    }
}
