// SPDX-License-Identifier: GPL-2.0
//! The cause of an event: a packet, an interrupt, a system call, a message of a source.

use std::fmt;

/// The transport protocol of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A datagram.
    Udp,
    /// Data on a connection.
    Tcp,
}

impl Protocol {
    /// From its number in the IP header.
    pub(crate) fn of(number: i64) -> Option<Self> {
        match i32::try_from(number).ok()? {
            libc::IPPROTO_UDP => Some(Self::Udp),
            libc::IPPROTO_TCP => Some(Self::Tcp),
            _ => None,
        }
    }

    /// The least number of bytes that the IP and transport headers of a packet have.
    pub(crate) const fn least_headers(self) -> i64 {
        match self {
            Self::Udp => 20 + 8,
            Self::Tcp => 20 + 20,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// The reason why a file became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A packet that a NIC received.
    Packet(Protocol),
    /// A packet over the loopback interface.
    Loopback,
    /// Other work of a softirq.
    Softirq,
    /// A hardware interrupt, such as a timer's.
    Interrupt,
    /// A system call of a task, such as a write.
    Task,
    /// A message that was written to a source.
    Write,
    /// A message from a source's timer.
    Timer,
    /// A message that is a frame of a source's interface.
    Frame,
    /// The file was already ready when it was added or modified, or first polled by SELECT or POLL.
    Ready,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(protocol) => protocol.fmt(f),
            Self::Loopback => f.pad("loopback"),
            Self::Softirq => f.pad("softirq"),
            Self::Interrupt => f.pad("interrupt"),
            Self::Task => f.pad("task"),
            Self::Write => f.pad("write"),
            Self::Timer => f.pad("timer"),
            Self::Frame => f.pad("frame"),
            Self::Ready => f.pad("ready"),
        }
    }
}
