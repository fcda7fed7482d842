// SPDX-License-Identifier: GPL-2.0
//! What the guest can ask for.

use anyhow::{bail, ensure, Context, Error, Result};
use std::str::FromStr;
use std::time::Duration;

/// A command: one line, words separated by spaces.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// `ping`: nothing but the answer.
    Ping,
    /// `udp PORT COUNT BYTES [GAP]`: sends COUNT datagrams, GAP milliseconds apart.
    Udp(Traffic),
    /// `udp-echo PORT COUNT BYTES [GAP]`: the same, one at a time, each must come back.
    UdpEcho(Traffic),
    /// `tcp PORT COUNT BYTES [GAP]`: connects, sends COUNT messages, closes.
    Tcp(Traffic),
    /// `tcp-echo PORT COUNT BYTES [GAP]`: the same, one at a time, each must come back.
    TcpEcho(Traffic),
}

/// How much of it, and where to.
#[derive(Debug, PartialEq, Eq)]
pub struct Traffic {
    /// The port that QEMU forwards into the guest.
    pub port: u16,
    /// How many messages.
    pub count: u32,
    /// How long each one is, in bytes.
    pub bytes: usize,
    /// The pause before each message.
    pub gap: Duration,
}

/// The most that fits into a UDP datagram over IPv4.
const MOST_BYTES: usize = 65_507;

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
            other => bail!("unknown command {other:?}"),
        };
        if let Some(word) = words.next() {
            bail!("unexpected {word:?} after the command");
        }
        Ok(command)
    }
}

fn traffic<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Traffic> {
    let mut number = |what: &str| -> Result<u64> {
        let word = words.next().with_context(|| format!("{what} is missing"))?;
        word.parse()
            .with_context(|| format!("{what} is not a number: {word:?}"))
    };
    let port = number("the port").and_then(|port| Ok(u16::try_from(port)?))?;
    let count = number("the count").and_then(|count| Ok(u32::try_from(count)?))?;
    let bytes = number("the length").and_then(|bytes| Ok(usize::try_from(bytes)?))?;
    ensure!(
        (1..=MOST_BYTES).contains(&bytes),
        "the length must be 1 to {MOST_BYTES} bytes"
    );
    let gap = match words.next() {
        Some(word) => Duration::from_millis(
            word.parse()
                .with_context(|| format!("the gap is not a number: {word:?}"))?,
        ),
        None => Duration::ZERO,
    };
    Ok(Traffic {
        port,
        count,
        bytes,
        gap,
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
        ] {
            let error = line.parse::<Command>().expect_err(line).to_string();
            assert!(error.contains(reason), "{line:?}: {error}");
        }
    }
}
