// SPDX-License-Identifier: GPL-2.0
//! The lives of events, as a trace shows them: from what caused one to what was made of it.

use crate::index::Index;
use crate::record::{Context, Record};
use crate::way;
use std::collections::BTreeMap;
use std::fmt;

/// What a packet was.
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
        f.pad(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// What made a file ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A packet that a NIC received.
    Packet(Protocol),
    /// A packet that never was on a wire.
    Loopback,
    /// Something else that a softirq did.
    Softirq,
    /// A hardware interrupt, a timer's for instance.
    Interrupt,
    /// What a task did: a write, say.
    Task,
    /// It was ready when it was added or modified.
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
            Self::Ready => f.pad("ready"),
        }
    }
}

/// One step of a life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its record's place in the trace.
    pub at: usize,
    /// Nanoseconds of the trace clock.
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

/// The life of one event, in causal order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// What made the file ready.
    pub cause: Cause,
    /// The instance's number.
    pub ep: i64,
    /// The item's.
    pub item: i64,
    /// The descriptor that it was added with.
    pub fd: i64,
    /// Who got the event, by name and number; empty if nobody did.
    pub receiver: String,
    /// What happened, from the cause on.
    pub steps: Vec<Step>,
    /// The first step that is not in the trace, though it must have been.
    pub missing: Option<&'static str>,
}

impl Story {
    /// Nanoseconds from the first to the last step.
    pub fn duration(&self) -> u64 {
        match (self.steps.first(), self.steps.last()) {
            (Some(first), Some(last)) => last.time.saturating_sub(first.time),
            _ => 0,
        }
    }

    /// The time from the first step of one name to the first of another, in nanoseconds.
    pub fn between(&self, from: &str, to: &str) -> Option<u64> {
        let time = |name: &str| {
            self.steps
                .iter()
                .find(|step| step.name == name)
                .map(|step| step.time)
        };
        time(to)?.checked_sub(time(from)?)
    }

    /// Whether it is a packet from outside that was followed from the interrupt to the echo.
    pub fn is_whole(&self, protocol: Protocol) -> bool {
        self.cause == Cause::Packet(protocol)
            && self.missing.is_none()
            && self
                .steps
                .last()
                .is_some_and(|step| step.name == "echo sent")
    }
}

/// The lives of all events that a trace shows, in the order of their callbacks.
pub fn all(records: &[Record]) -> Vec<Story> {
    let index = Index::new(records);
    let begins = |record: &Record| match record.event() {
        "repoll_callback" => record.field("outcome") == Some("queued"),
        "repoll_queue" => matches!(record.field("reason"), Some("add" | "mod")),
        _ => false,
    };
    let places = records
        .iter()
        .enumerate()
        .filter(|(_, record)| begins(record));
    places.map(|(at, _)| way::follow(&index, at)).collect()
}

/// The packets of one protocol from outside the machine.
#[derive(Debug, Default)]
pub struct Packets<'a> {
    /// Those that could be followed from the interrupt to the echo, the shortest first.
    pub whole: Vec<&'a Story>,
    /// How many lack a step, by the first step that is lacking.
    pub broken: BTreeMap<&'static str, usize>,
}

impl<'a> Packets<'a> {
    /// Those among these stories.
    pub fn among(stories: &'a [Story], protocol: Protocol) -> Self {
        let mut packets = Self::default();
        for story in stories
            .iter()
            .filter(|story| story.cause == Cause::Packet(protocol))
        {
            match story.missing {
                None if story.is_whole(protocol) => packets.whole.push(story),
                // Nothing was read: a connection begins or ends.
                None => {}
                Some(step) => *packets.broken.entry(step).or_default() += 1,
            }
        }
        packets.whole.sort_by_key(|story| story.duration());
        packets
    }

    /// The one with the median duration.
    pub fn median(&self) -> Option<&'a Story> {
        self.whole
            .get(self.whole.len().saturating_sub(1) / 2)
            .copied()
    }
}

/// The names of event bits, without the prefix EPOLL.
pub fn event_names(bits: u32) -> String {
    const NAMES: [(i32, &str); 14] = [
        (libc::EPOLLIN, "IN"),
        (libc::EPOLLPRI, "PRI"),
        (libc::EPOLLOUT, "OUT"),
        (libc::EPOLLERR, "ERR"),
        (libc::EPOLLHUP, "HUP"),
        (libc::EPOLLRDNORM, "RDNORM"),
        (libc::EPOLLRDBAND, "RDBAND"),
        (libc::EPOLLWRNORM, "WRNORM"),
        (libc::EPOLLWRBAND, "WRBAND"),
        (libc::EPOLLMSG, "MSG"),
        (libc::EPOLLRDHUP, "RDHUP"),
        (libc::EPOLLEXCLUSIVE, "EXCLUSIVE"),
        (libc::EPOLLONESHOT, "ONESHOT"),
        (libc::EPOLLET, "ET"),
    ];
    let named = NAMES.iter().filter(|(bit, _)| bits & *bit as u32 != 0);
    let names: Vec<_> = named.map(|(_, name)| *name).collect();
    if names.is_empty() {
        return format!("{bits:#x}");
    }
    names.join(" ")
}
