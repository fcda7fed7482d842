// SPDX-License-Identifier: GPL-2.0
//! The lives of events, as a trace shows them: from what caused one to what was made of it.

mod index;
mod messages;
mod wakeups;
pub(crate) mod way;

use crate::ftrace::record::{Context, Record};
use index::Index;
use std::collections::{BTreeMap, HashSet};
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
    /// A message that was written to a source.
    Write,
    /// A message of a source's timer.
    Timer,
    /// A message that is a frame of a source's interface.
    Frame,
    /// It was ready when it was added or modified, or when SELECT or POLL asked first.
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

/// One of the two calls of fs/select.c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// SELECT.
    Select,
    /// POLL.
    Poll,
}

impl Call {
    /// From its name in a trace.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            "select" => Some(Self::Select),
            "poll" => Some(Self::Poll),
            _ => None,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Select => "SELECT",
            Self::Poll => "POLL",
        })
    }
}

/// Who is called when a file wakes its wait queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// An item of an instance.
    Item {
        /// The instance's number.
        ep: i64,
        /// The item's.
        item: i64,
        /// The descriptor that it was added with.
        fd: i64,
    },
    /// An entry of a call of SELECT or POLL.
    Entry {
        /// Which one.
        call: Call,
        /// The number of the task that makes it.
        task: i64,
        /// The descriptor that it asks.
        fd: i64,
    },
}

impl Called {
    /// The descriptor of the file.
    pub const fn fd(&self) -> i64 {
        match self {
            Self::Item { fd, .. } | Self::Entry { fd, .. } => *fd,
        }
    }
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item { ep, item, fd } => write!(f, "instance {ep} item {item} fd {fd}"),
            Self::Entry { call, task, fd } => write!(f, "{call} of {task} fd {fd}"),
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
    /// Who is called, from the file upwards: an item, then those who watch its instance. Nobody, if it is
    /// about a message for which a task sleeps in a read, or that waits to be read.
    pub called: Vec<Called>,
    /// The source that the event is of.
    pub source: Option<i64>,
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

    /// What it is about, in words: who is called, and the source.
    pub fn subject(&self) -> String {
        let source = self.source.map(|source| format!("source {source}"));
        let called = self.called.iter().map(Called::to_string);
        source
            .into_iter()
            .chain(called)
            .collect::<Vec<_>>()
            .join(", ")
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

/// The lives of all events that a trace shows, in the order of what they are followed from: the callback,
/// mostly.
pub fn all(records: &[Record]) -> Vec<Story> {
    let index = Index::new(records);
    let (messages, calls): (Vec<_>, Vec<_>) = (0..records.len())
        .filter(|at| way::begins(&records[*at]))
        .partition(|at| records[*at].event().starts_with("repoll_source_"));
    let mut told = HashSet::new();
    let mut stories = Vec::new();
    for at in calls {
        if told.contains(&at) {
            continue;
        }
        if let Some((story, also)) = way::follow(&index, at) {
            told.extend(also);
            stories.push((at, story));
        }
    }
    // A message has a story of its own if it is in nobody else's, or a task sleeps in a read of it.
    for at in messages {
        if told.contains(&at) && !index.wakes_sleeper(at) {
            continue;
        }
        stories.extend(way::follow(&index, at).map(|(story, _)| (at, story)));
    }
    stories.sort_by_key(|(at, _)| *at);
    stories.into_iter().map(|(_, story)| story).collect()
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
