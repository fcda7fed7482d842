// SPDX-License-Identifier: GPL-2.0
//! The commands that the guest can send.

use anyhow::{bail, ensure, Context, Error, Result};
use std::str::FromStr;
use std::time::Duration;

/// A command: one line, words separated by spaces.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// `ping`: only answers.
    Ping,
    /// `udp PORT COUNT BYTES [GAP]`: sends COUNT datagrams, GAP milliseconds apart.
    Udp(Traffic),
    /// `udp-echo PORT COUNT BYTES [GAP]`: sends a datagram and waits for its echo, COUNT times.
    UdpEcho(Traffic),
    /// `tcp PORT COUNT BYTES [GAP]`: connects, sends COUNT messages, closes.
    Tcp(Traffic),
    /// `tcp-echo PORT COUNT BYTES [GAP]`: connects, sends a message and waits for its echo, COUNT
    /// times, then closes.
    TcpEcho(Traffic),
    /// `frames ETHERTYPE COUNT BYTES [GAP]`: sends COUNT Ethernet frames, GAP milliseconds apart.
    Frames(Frames),
}

/// The parameters of `frames`.
#[derive(Debug, PartialEq, Eq)]
pub struct Frames {
    /// The EtherType; hexadecimal in the command.
    pub ethertype: u16,
    /// The number of frames.
    pub count: u32,
    /// The length of each frame in bytes, with its header.
    pub bytes: usize,
    /// The pause before each frame.
    pub gap: Duration,
}

/// The parameters of the commands that send UDP or TCP.
#[derive(Debug, PartialEq, Eq)]
pub struct Traffic {
    /// The port that QEMU forwards into the guest.
    pub port: u16,
    /// The number of messages.
    pub count: u32,
    /// The length of each message in bytes.
    pub bytes: usize,
    /// The pause before each message.
    pub gap: Duration,
}

/// The largest payload of a UDP datagram over IPv4.
const MOST_BYTES: usize = 65_507;
/// The allowed lengths of an Ethernet frame, without its checksum.
const FRAME_BYTES: std::ops::RangeInclusive<usize> = 60..=1514;

impl FromStr for Command {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().context("an empty command")?;
        let command = match name {
            "ping" => Self::Ping,
            "udp" => Self::Udp(traffic(&mut words)?),
            "udp-echo" => Self::UdpEcho(traffic(&mut words)?),
            "tcp" => Self::Tcp(traffic(&mut words)?),
            "tcp-echo" => Self::TcpEcho(traffic(&mut words)?),
            "frames" => Self::Frames(frames(&mut words)?),
            other => bail!("unknown command {other:?}"),
        };
        if let Some(word) = words.next() {
            bail!("unexpected {word:?} after the command");
        }
        Ok(command)
    }
}

/// Parses the next word as a number.
fn number<'a>(words: &mut impl Iterator<Item = &'a str>, what: &str) -> Result<u64> {
    let word = words.next().with_context(|| format!("{what} is missing"))?;
    word.parse()
        .with_context(|| format!("{what} is not a number: {word:?}"))
}

/// Parses an optional last word as milliseconds.
fn gap<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Duration> {
    match words.next() {
        Some(word) => {
            let milliseconds = word
                .parse()
                .with_context(|| format!("the gap is not a number: {word:?}"))?;
            Ok(Duration::from_millis(milliseconds))
        }
        None => Ok(Duration::ZERO),
    }
}

fn traffic<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Traffic> {
    let port = u16::try_from(number(words, "the port")?)?;
    let count = u32::try_from(number(words, "the count")?)?;
    let bytes = usize::try_from(number(words, "the length")?)?;
    ensure!(
        (1..=MOST_BYTES).contains(&bytes),
        "the length must be 1 to {MOST_BYTES} bytes"
    );
    Ok(Traffic {
        port,
        count,
        bytes,
        gap: gap(words)?,
    })
}

fn frames<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Frames> {
    let word = words.next().context("the EtherType is missing")?;
    let ethertype = u16::from_str_radix(word, 16)
        .with_context(|| format!("the EtherType is not hexadecimal: {word:?}"))?;
    let count = u32::try_from(number(words, "the count")?)?;
    let bytes = usize::try_from(number(words, "the length")?)?;
    ensure!(
        FRAME_BYTES.contains(&bytes),
        "the length must be {} to {} bytes",
        FRAME_BYTES.start(),
        FRAME_BYTES.end()
    );
    Ok(Frames {
        ethertype,
        count,
        bytes,
        gap: gap(words)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_parsed() -> Result<()> {
        assert_eq!("ping\n".parse::<Command>()?, Command::Ping);
        assert_eq!(
            "udp-echo 7007 20 64 5".parse::<Command>()?,
            Command::UdpEcho(Traffic {
                port: 7007,
                count: 20,
                bytes: 64,
                gap: Duration::from_millis(5),
            })
        );
        assert_eq!(
            "frames 88b5 3 60".parse::<Command>()?,
            Command::Frames(Frames {
                ethertype: 0x88b5,
                count: 3,
                bytes: 60,
                gap: Duration::ZERO,
            })
        );
        Ok(())
    }

    #[test]
    fn bad_commands_are_refused_with_the_reason() {
        for (line, reason) in [
            ("", "empty"),
            ("fly 1 2 3", "unknown command"),
            ("udp", "the port is missing"),
            ("udp 7007 1", "the length is missing"),
            ("udp x 1 1", "the port is not a number"),
            ("udp 7007 1 0", "the length must be"),
            ("udp 7007 1 65508", "the length must be"),
            ("udp 7007 1 1 1 1", "unexpected"),
            ("frames", "the EtherType is missing"),
            ("frames xyz 1 60", "the EtherType is not hexadecimal"),
            ("frames 88b5 1 59", "the length must be"),
            ("frames 88b5 1 60 x", "the gap is not a number"),
        ] {
            let error = line.parse::<Command>().expect_err(line).to_string();
            assert!(error.contains(reason), "{line:?}: {error}");
        }
    }
}
