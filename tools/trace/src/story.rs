// SPDX-License-Identifier: GPL-2.0
//! The ways of packets, as a trace shows them: from the NIC's interrupt to the echo.

use crate::record::{Context, Record};
use crate::way::{Lost, Way};
use std::collections::BTreeMap;
use std::fmt;

/// What the packet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A datagram.
    Udp,
    /// Data on a connection.
    Tcp,
}

impl Protocol {
    /// Its number in the IP header.
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Udp => libc::IPPROTO_UDP as i64,
            Self::Tcp => libc::IPPROTO_TCP as i64,
        }
    }

    /// The bytes of a packet that are not data, at the least.
    pub(crate) const fn least_headers(self) -> i64 {
        match self {
            Self::Udp => 20 + 8,
            Self::Tcp => 20 + 20,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// One step on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Microseconds of the trace clock.
    pub time: u64,
    /// The CPU that took it.
    pub cpu: u32,
    /// The context that it was taken in.
    pub context: Context,
    /// A word or two for it.
    pub name: &'static str,
    /// What happened.
    pub detail: String,
}

/// The way of one packet, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// What the packet was.
    pub protocol: Protocol,
    /// The steps, the interrupt first, the echo last.
    pub steps: Vec<Step>,
}

impl Story {
    /// Microseconds from the first to the last step.
    pub fn duration(&self) -> u64 {
        match (self.steps.first(), self.steps.last()) {
            (Some(first), Some(last)) => last.time - first.time,
            _ => 0,
        }
    }
}

/// All packets of one protocol that a trace shows.
#[derive(Debug, Default)]
pub struct Stories {
    /// Those that could be followed all the way, the shortest first.
    pub whole: Vec<Story>,
    /// How many lack a step, by the first step that is lacking.
    pub broken: BTreeMap<&'static str, usize>,
}

impl Stories {
    /// Follows each packet of `protocol` that called back into repoll in a softirq.
    pub fn find(records: &[Record], protocol: Protocol) -> Self {
        let mut stories = Self::default();
        for (at, record) in records.iter().enumerate() {
            let queued = record.event == "repoll_callback"
                && record.context == Context::Softirq
                && record.field("outcome") == Some("queued");
            if !queued {
                continue;
            }
            match Way::new(records, at).follow(protocol) {
                Ok(story) => stories.whole.push(story),
                Err(Lost::Step(name)) => *stories.broken.entry(name).or_default() += 1,
                Err(Lost::Other) => {}
            }
        }
        stories.whole.sort_by_key(Story::duration);
        stories
    }

    /// The one with the median duration.
    pub fn median(&self) -> Option<&Story> {
        self.whole.get(self.whole.len().saturating_sub(1) / 2)
    }
}

/// The names of event bits, without the prefix EPOLL.
pub fn event_names(bits: u32) -> String {
    const NAMES: [(i32, &str); 10] = [
        (libc::EPOLLIN, "IN"),
        (libc::EPOLLPRI, "PRI"),
        (libc::EPOLLOUT, "OUT"),
        (libc::EPOLLERR, "ERR"),
        (libc::EPOLLHUP, "HUP"),
        (libc::EPOLLRDNORM, "RDNORM"),
        (libc::EPOLLRDBAND, "RDBAND"),
        (libc::EPOLLWRNORM, "WRNORM"),
        (libc::EPOLLWRBAND, "WRBAND"),
        (libc::EPOLLRDHUP, "RDHUP"),
    ];
    let named = NAMES.iter().filter(|(bit, _)| bits & *bit as u32 != 0);
    let names: Vec<_> = named.map(|(_, name)| *name).collect();
    if names.is_empty() {
        return format!("{bits:#x}");
    }
    names.join(" ")
}
