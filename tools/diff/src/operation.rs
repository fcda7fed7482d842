// SPDX-License-Identifier: GPL-2.0
//! The operations, and their text, one per line.
//!
//! Files are `f0`, `f1`, …, instances `e0`, `e1`, …: descriptors with fixed numbers. An instance
//! is two descriptors, one of the C epoll's and one of repoll's. A line may begin with the task
//! that runs it: `@1`, `@2` (threads) or `@child` (the process that `fork` made).

use anyhow::{bail, Context, Result};
use repoll::EventFlags;
use std::fmt;
use std::str::FromStr;

/// One line: an operation, and the task that runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The task that runs it.
    pub task: Task,
    /// The operation.
    pub operation: Operation,
}

/// A task of the tester.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// The first thread.
    Main,
    /// Another thread.
    Thread(u8),
    /// A process with a descriptor table of its own.
    Child,
}

/// A descriptor that an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// A file, the same for both sides.
    File(u8),
    /// An instance: two descriptors.
    Instance(u8),
    /// Any number.
    Number(i32),
}

/// A kind of file to open. Kinds of two descriptors are connected to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// eventfd(2).
    Eventfd,
    /// eventfd(2), as a semaphore.
    Semaphore,
    /// pipe(2): the end to read from, the end to write to.
    Pipe,
    /// A fifo, open in both directions: two wait queues in one file.
    Fifo,
    /// A pair of Unix stream sockets.
    Stream,
    /// A pair of Unix datagram sockets.
    Datagram,
    /// A pair of Unix packet sockets.
    Packet,
    /// Two UDP sockets, connected to each other.
    Udp,
    /// Both ends of a TCP connection.
    Tcp,
    /// A listening Unix socket.
    Listener,
    /// timerfd_create(2).
    Timer,
    /// signalfd(2) of SIGUSR1.
    Signalfd,
    /// inotify(7) on a file.
    Inotify,
    /// pidfd_open(2) of the opening process.
    Pidfd,
    /// A file that can't be polled.
    Regular,
    /// A directory.
    Directory,
}

impl Kind {
    /// All of them, with the names that they have in text.
    pub const ALL: [(Kind, &'static str); 16] = [
        (Kind::Eventfd, "eventfd"),
        (Kind::Semaphore, "semaphore"),
        (Kind::Pipe, "pipe"),
        (Kind::Fifo, "fifo"),
        (Kind::Stream, "stream"),
        (Kind::Datagram, "datagram"),
        (Kind::Packet, "packet"),
        (Kind::Udp, "udp"),
        (Kind::Tcp, "tcp"),
        (Kind::Listener, "listener"),
        (Kind::Timer, "timer"),
        (Kind::Signalfd, "signalfd"),
        (Kind::Inotify, "inotify"),
        (Kind::Pidfd, "pidfd"),
        (Kind::Regular, "regular"),
        (Kind::Directory, "directory"),
    ];

    /// Whether opening it makes two descriptors.
    pub fn is_pair(self) -> bool {
        matches!(
            self,
            Kind::Pipe | Kind::Stream | Kind::Datagram | Kind::Packet | Kind::Udp | Kind::Tcp
        )
    }

    /// Whether its events may come later than their cause.
    pub fn is_network(self) -> bool {
        matches!(self, Kind::Udp | Kind::Tcp)
    }
}

/// The place for the events of WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Enough room.
    Good,
    /// The null pointer.
    Null,
    /// An address that is not mapped.
    Unmapped,
    /// An address of the kernel's.
    Kernel,
    /// The last page of the user's addresses, which is not mapped.
    Top,
    /// Room for this many events, and four bytes; the memory behind can't be written.
    Part(u8),
}

/// The direction of a shutdown(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Reading ends.
    Read,
    /// Writing ends.
    Write,
    /// Both.
    Both,
}

/// A call that an instance does not support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// read(2).
    Read,
    /// write(2).
    Write,
    /// A second descriptor, closed again at once.
    DupClose,
}

/// A call that polls a set of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// select(2). The events IN, OUT and PRI stand for the three sets.
    Select,
    /// poll(2).
    Poll,
}

/// The operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Opens a file, or two. Closes the descriptor that had the number before.
    Open(Kind, u8, u8),
    /// close(2).
    Close(Name),
    /// dup2(2), of files or of instances.
    Dup(Name, Name),
    /// write(2) of this many bytes.
    Write(u8, u32),
    /// read(2) of this many bytes.
    Read(u8, u32),
    /// Writes until the file is full.
    Fill(u8),
    /// Reads until the file is empty.
    Drain(u8),
    /// shutdown(2).
    Shutdown(u8, How),
    /// Sends a byte out of band.
    Urgent(u8),
    /// Lets a timer expire.
    Expire(u8),
    /// Sends SIGUSR1, which is blocked, to the process.
    Signal,
    /// Changes the file that inotify watches.
    Touch,
    /// Sends a descriptor (the first) over a Unix socket (the second).
    Pass(u8, u8),
    /// Receives a descriptor from a Unix socket (the first).
    Take(u8, u8),
    /// Connects to a listener (the first) with a new socket.
    Connect(u8, u8),
    /// Accepts from a listener (the first).
    Accept(u8, u8),
    /// Makes an instance: repoll by CREATE, or (true) by opening the device.
    Create(u8, bool),
    /// epoll_ctl(2): the operation, the instance, the file, events, datum.
    Ctl(i32, u8, Name, EventFlags, u64),
    /// epoll_wait(2): the instance, maxevents, milliseconds, the place for the events.
    Wait(u8, i32, u32, Place),
    /// poll(2) of the instance.
    Poll(u8),
    /// select(2) or poll(2): milliseconds, and the events of each file. One side makes the
    /// kernel's calls, the other repoll's.
    Scan(Scan, u32, Vec<(Name, u16)>),
    /// The same with a pending signal, as [`Operation::Masked`].
    MaskedScan(Scan, bool, Vec<(Name, u16)>),
    /// The instance's part of `/proc/self/fdinfo`.
    Fdinfo(u8),
    /// A call that an instance does not support.
    Odd(u8, Odd),
    /// One thread (or as many as the last number says) waits on each side, without a time limit.
    /// Then comes the operation. A thread that still waits after it gets a signal.
    During(u8, i32, Box<Operation>, u8),
    /// epoll_pwait(2) with a mask that does (true) or does not unblock a pending signal, which is
    /// blocked before and after.
    Masked(u8, i32, bool),
    /// Makes the child.
    Fork,
    /// Ends the child.
    Exit,
}

impl From<Operation> for Step {
    fn from(operation: Operation) -> Self {
        Self {
            task: Task::Main,
            operation,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Task::Main => (),
            Task::Thread(number) => write!(f, "@{number} ")?,
            Task::Child => write!(f, "@child ")?,
        }
        write!(f, "{}", self.operation)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::File(n) => write!(f, "f{n}"),
            Name::Instance(n) => write!(f, "e{n}"),
            Name::Number(n) => write!(f, "{n}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Kind::ALL.iter().find(|(kind, _)| kind == self);
        f.write_str(name.map_or("?", |(_, name)| name))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Good => Ok(()),
            Place::Null => write!(f, " at=null"),
            Place::Unmapped => write!(f, " at=unmapped"),
            Place::Kernel => write!(f, " at=kernel"),
            Place::Top => write!(f, " at=top"),
            Place::Part(n) => write!(f, " at=part{n}"),
        }
    }
}

impl fmt::Display for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scan::Select => "select-of",
            Scan::Poll => "poll-of",
        })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(kind, a, b) if kind.is_pair() => write!(f, "open {kind} f{a} f{b}"),
            Self::Open(kind, a, _) => write!(f, "open {kind} f{a}"),
            Self::Close(name) => write!(f, "close {name}"),
            Self::Dup(old, new) => write!(f, "dup {old} {new}"),
            Self::Write(n, size) => write!(f, "write f{n} {size}"),
            Self::Read(n, size) => write!(f, "read f{n} {size}"),
            Self::Fill(n) => write!(f, "fill f{n}"),
            Self::Drain(n) => write!(f, "drain f{n}"),
            Self::Shutdown(n, How::Read) => write!(f, "shutdown f{n} read"),
            Self::Shutdown(n, How::Write) => write!(f, "shutdown f{n} write"),
            Self::Shutdown(n, How::Both) => write!(f, "shutdown f{n} both"),
            Self::Urgent(n) => write!(f, "urgent f{n}"),
            Self::Expire(n) => write!(f, "expire f{n}"),
            Self::Signal => write!(f, "signal"),
            Self::Touch => write!(f, "touch"),
            Self::Pass(n, via) => write!(f, "pass f{n} f{via}"),
            Self::Take(via, n) => write!(f, "take f{via} f{n}"),
            Self::Connect(via, n) => write!(f, "connect f{via} f{n}"),
            Self::Accept(via, n) => write!(f, "accept f{via} f{n}"),
            Self::Create(n, false) => write!(f, "create e{n}"),
            Self::Create(n, true) => write!(f, "create e{n} device"),
            Self::Ctl(op, ep, fd, events, data) => {
                match *op {
                    libc::EPOLL_CTL_ADD => write!(f, "add")?,
                    libc::EPOLL_CTL_MOD => write!(f, "mod")?,
                    libc::EPOLL_CTL_DEL => write!(f, "del")?,
                    op => write!(f, "ctl{op}")?,
                }
                write!(f, " e{ep} {fd} {} {data:#x}", Bits(events.bits()))
            }
            Self::Wait(ep, max, time, place) => write!(f, "wait e{ep} {max} {time}{place}"),
            Self::Poll(ep) => write!(f, "poll e{ep}"),
            Self::Scan(call, time, what) => {
                write!(f, "{call} {time}")?;
                what.iter()
                    .try_for_each(|(name, bits)| write!(f, " {name}={bits:#x}"))
            }
            Self::MaskedScan(call, open, what) => {
                let mask = if *open { "open" } else { "blocked" };
                write!(f, "{call} {mask}")?;
                what.iter()
                    .try_for_each(|(name, bits)| write!(f, " {name}={bits:#x}"))
            }
            Self::Fdinfo(ep) => write!(f, "fdinfo e{ep}"),
            Self::Odd(ep, Odd::Read) => write!(f, "odd e{ep} read"),
            Self::Odd(ep, Odd::Write) => write!(f, "odd e{ep} write"),
            Self::Odd(ep, Odd::DupClose) => write!(f, "odd e{ep} dup"),
            Self::During(ep, max, operation, 1) => write!(f, "during e{ep} {max} {operation}"),
            Self::During(ep, max, operation, _) => write!(f, "herd e{ep} {max} {operation}"),
            Self::Masked(ep, max, true) => write!(f, "masked e{ep} {max} open"),
            Self::Masked(ep, max, false) => write!(f, "masked e{ep} {max} blocked"),
            Self::Fork => write!(f, "fork"),
            Self::Exit => write!(f, "exit"),
        }
    }
}

/// Event bits as text: `IN|ET|0x800000`, or `0`.
pub struct Bits(pub u32);

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0");
        }
        let mut rest = self.0;
        let mut separator = "";
        for (name, flag) in EventFlags::all().iter_names() {
            if rest & flag.bits() != 0 {
                write!(f, "{separator}{name}")?;
                separator = "|";
                rest &= !flag.bits();
            }
        }
        if rest != 0 {
            write!(f, "{separator}{rest:#x}")?;
        }
        Ok(())
    }
}

impl FromStr for Step {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let task = match words.first() {
            Some(&"@child") => Task::Child,
            Some(word) if word.starts_with('@') => Task::Thread(word[1..].parse()?),
            _ => Task::Main,
        };
        if task != Task::Main {
            words.remove(0);
        }
        let operation = parse(&words).with_context(|| format!("cannot read: {line}"))?;
        Ok(Self { task, operation })
    }
}

/// A program: one step per line; `#` begins a comment.
pub fn parse_program(text: &str) -> Result<Vec<Step>> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .map(str::parse)
        .collect()
}

fn parse(words: &[&str]) -> Result<Operation> {
    Ok(match *words {
        ["open", what, a] => Operation::Open(kind(what)?, file(a)?, file(a)?),
        ["open", what, a, b] => Operation::Open(kind(what)?, file(a)?, file(b)?),
        ["close", n] => Operation::Close(name(n)?),
        ["dup", old, new] => Operation::Dup(name(old)?, name(new)?),
        ["write", n, size] => Operation::Write(file(n)?, size.parse()?),
        ["read", n, size] => Operation::Read(file(n)?, size.parse()?),
        ["fill", n] => Operation::Fill(file(n)?),
        ["drain", n] => Operation::Drain(file(n)?),
        ["shutdown", n, "read"] => Operation::Shutdown(file(n)?, How::Read),
        ["shutdown", n, "write"] => Operation::Shutdown(file(n)?, How::Write),
        ["shutdown", n, "both"] => Operation::Shutdown(file(n)?, How::Both),
        ["urgent", n] => Operation::Urgent(file(n)?),
        ["expire", n] => Operation::Expire(file(n)?),
        ["signal"] => Operation::Signal,
        ["touch"] => Operation::Touch,
        ["pass", n, via] => Operation::Pass(file(n)?, file(via)?),
        ["take", via, n] => Operation::Take(file(via)?, file(n)?),
        ["connect", via, n] => Operation::Connect(file(via)?, file(n)?),
        ["accept", via, n] => Operation::Accept(file(via)?, file(n)?),
        ["create", ep] => Operation::Create(instance(ep)?, false),
        ["create", ep, "device"] => Operation::Create(instance(ep)?, true),
        ["wait", ep, max, time] => {
            Operation::Wait(instance(ep)?, max.parse()?, time.parse()?, Place::Good)
        }
        ["wait", ep, max, time, at] => {
            Operation::Wait(instance(ep)?, max.parse()?, time.parse()?, place(at)?)
        }
        ["select-of", ref rest @ ..] => scan(Scan::Select, rest)?,
        ["poll-of", ref rest @ ..] => scan(Scan::Poll, rest)?,
        ["poll", ep] => Operation::Poll(instance(ep)?),
        ["fdinfo", ep] => Operation::Fdinfo(instance(ep)?),
        ["odd", ep, "read"] => Operation::Odd(instance(ep)?, Odd::Read),
        ["odd", ep, "write"] => Operation::Odd(instance(ep)?, Odd::Write),
        ["odd", ep, "dup"] => Operation::Odd(instance(ep)?, Odd::DupClose),
        ["during", ep, max, ref rest @ ..] => {
            Operation::During(instance(ep)?, max.parse()?, Box::new(parse(rest)?), 1)
        }
        ["herd", ep, max, ref rest @ ..] => {
            Operation::During(instance(ep)?, max.parse()?, Box::new(parse(rest)?), 2)
        }
        ["masked", ep, max, "open"] => Operation::Masked(instance(ep)?, max.parse()?, true),
        ["masked", ep, max, "blocked"] => Operation::Masked(instance(ep)?, max.parse()?, false),
        ["fork"] => Operation::Fork,
        ["exit"] => Operation::Exit,
        [verb, ep, fd, events, data] => {
            let op = match verb {
                "add" => libc::EPOLL_CTL_ADD,
                "mod" => libc::EPOLL_CTL_MOD,
                "del" => libc::EPOLL_CTL_DEL,
                _ => verb
                    .strip_prefix("ctl")
                    .context("no such operation")?
                    .parse()?,
            };
            Operation::Ctl(op, instance(ep)?, name(fd)?, bits(events)?, number(data)?)
        }
        _ => bail!("no such operation"),
    })
}

fn scan(call: Scan, words: &[&str]) -> Result<Operation> {
    let (first, rest) = words.split_first().context("no time")?;
    let what = rest
        .iter()
        .map(|word| {
            let (what, bits) = word.split_once('=').context("no events")?;
            Ok((name(what)?, number(bits)? as u16))
        })
        .collect::<Result<_>>()?;
    Ok(match *first {
        "open" => Operation::MaskedScan(call, true, what),
        "blocked" => Operation::MaskedScan(call, false, what),
        time => Operation::Scan(call, time.parse()?, what),
    })
}

fn kind(word: &str) -> Result<Kind> {
    let found = Kind::ALL.iter().find(|(_, name)| *name == word);
    found.map(|(kind, _)| *kind).context("no such kind")
}

fn name(word: &str) -> Result<Name> {
    Ok(match word.as_bytes().first() {
        Some(b'f') => Name::File(file(word)?),
        Some(b'e') => Name::Instance(instance(word)?),
        _ => Name::Number(word.parse()?),
    })
}

fn file(word: &str) -> Result<u8> {
    let number = word.strip_prefix('f').context("a file is expected")?;
    small(number)
}

fn instance(word: &str) -> Result<u8> {
    let number = word.strip_prefix('e').context("an instance is expected")?;
    small(number)
}

fn small(word: &str) -> Result<u8> {
    let number: u8 = word.parse()?;
    if number >= 100 {
        bail!("the number is too large");
    }
    Ok(number)
}

fn place(word: &str) -> Result<Place> {
    Ok(match word.strip_prefix("at=").context("at= is expected")? {
        "null" => Place::Null,
        "unmapped" => Place::Unmapped,
        "kernel" => Place::Kernel,
        "top" => Place::Top,
        part => Place::Part(
            part.strip_prefix("part")
                .context("no such place")?
                .parse()?,
        ),
    })
}

fn number(word: &str) -> Result<u64> {
    Ok(match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16)?,
        None => word.parse()?,
    })
}

fn bits(word: &str) -> Result<EventFlags> {
    let mut events = EventFlags::empty();
    for part in word.split('|') {
        events |= match EventFlags::from_name(part) {
            Some(flag) => flag,
            None => EventFlags::from_bits_retain(u32::try_from(number(part)?)?),
        };
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() -> Result<()> {
        for line in [
            "open pipe f0 f1",
            "open eventfd f11",
            "close e2",
            "dup f3 f4",
            "add e0 f3 IN|ET|0x800000 0x7",
            "mod e0 -1 0 0xffffffffffffffff",
            "ctl9 e1 e1 ONESHOT 0x0",
            "@1 wait e0 8 0",
            "wait e0 -2147483648 2 at=part3",
            "@child during e1 2 write f5 8",
            "herd e1 2 poll e0",
            "masked e0 8 open",
        ] {
            let step: Step = line.parse()?;
            assert_eq!(step.to_string(), line);
        }
        assert!("dup f3".parse::<Step>().is_err());
        assert_eq!(parse_program("# a\n\nfork # b\n")?.len(), 1);
        Ok(())
    }
}
