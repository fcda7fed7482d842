// SPDX-License-Identifier: GPL-2.0
//! The guest's side of repoll-peer: requests traffic and waits for its end.

use anyhow::{bail, Context, Result};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection to repoll-peer.
#[derive(Debug)]
pub struct Peer(TcpStream);

/// Time limit for one command. The peer has its own, shorter limits.
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

    /// Sends a command, waits for its end, and returns the text after `ok`.
    ///
    /// # Errors
    ///
    /// If the peer reports an error or does not answer.
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

/// The broadcast Ethernet frame that repoll-peer sends as number `number`. Each part of it differs
/// from the same part of the frames before and after it.
pub fn frame(ethertype: u16, number: u32, bytes: usize) -> Vec<u8> {
    const EVERYBODY: [u8; 6] = [0xff; 6];
    const PEER: [u8; 6] = [0x52, 0x54, 0, 0x70, 0x65, 0x72];
    let mut frame = Vec::with_capacity(bytes);
    frame.extend(EVERYBODY);
    frame.extend(PEER);
    frame.extend(ethertype.to_be_bytes());
    frame.extend(number.to_be_bytes());
    let rest = bytes.saturating_sub(frame.len());
    frame.extend((0..rest).map(|at| (number as usize).wrapping_mul(31).wrapping_add(at) as u8));
    frame
}

#[cfg(test)]
mod tests {
    use super::frame;

    #[test]
    fn frames_have_the_requested_length_and_a_number() {
        let a = frame(0x88b5, 1, 60);
        assert_eq!(a.len(), 60);
        assert_eq!(a[12..18], [0x88, 0xb5, 0, 0, 0, 1]);
        assert_ne!(a[18..], frame(0x88b5, 2, 60)[18..]);
    }
}
