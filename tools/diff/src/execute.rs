// SPDX-License-Identifier: GPL-2.0
//! Does one operation in the calling task: once on what is watched, twice on the instances.
//!
//! There is no model of the world beside the kernel's own: files and instances are descriptors
//! with fixed numbers. So any part of a program is a program too, which shrinking needs.

use crate::operation::{Bits, How, Kind, Name, Odd, Operation, Place, Scan};
use crate::sys::{self, Memory};
use repoll::Event;
use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::{IntoRawFd, RawFd};

const FILES: RawFd = 100;
const EPOLLS: RawFd = 200;
const REPOLLS: RawFd = 300;
/// The instance that others are made from.
const TEMPLATE: RawFd = 400;
/// Descriptors from here on belong to the tester.
pub const OURS: RawFd = TEMPLATE + 1;

const FIFO: &CStr = c"/tmp/repoll-diff.fifo";
const TOUCHED: &CStr = c"/tmp/repoll-diff.touched";

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The kernel's own.
    Epoll,
    /// Ours.
    Repoll,
}

/// What a side answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A system call's result.
    Number(i64),
    /// An error number.
    Error(i32),
    /// Events, in order.
    Events(Vec<Event>),
    /// What poll(2) found.
    Polled(u32),
    /// Something else.
    Text(String),
}

/// The answers of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They are the same; or there are no two sides.
    Same(Answer),
    /// The C epoll's, and repoll's.
    Differ(Answer, Answer),
}

impl Outcome {
    /// Compares.
    pub fn of(epoll: Answer, repoll: Answer) -> Self {
        if epoll == repoll {
            Self::Same(epoll)
        } else {
            Self::Differ(epoll, repoll)
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Error(errno) => write!(f, "{}", error_name(*errno)),
            Self::Events(events) => {
                write!(f, "{} [", events.len())?;
                for (n, event) in events.iter().enumerate() {
                    let separator = if n == 0 { "" } else { ", " };
                    let bits = Bits(event.flags().bits());
                    write!(f, "{separator}{bits} {:#x}", event.data())?;
                }
                write!(f, "]")
            }
            Self::Polled(bits) => write!(f, "poll {}", Bits(*bits)),
            Self::Text(text) => f.write_str(text),
        }
    }
}

fn error_name(errno: i32) -> String {
    let name = match errno {
        libc::EBADF => "EBADF",
        libc::EEXIST => "EEXIST",
        libc::EFAULT => "EFAULT",
        libc::EINTR => "EINTR",
        libc::EINVAL => "EINVAL",
        libc::ELOOP => "ELOOP",
        libc::ENOENT => "ENOENT",
        libc::ENOSPC => "ENOSPC",
        libc::ENOTTY => "ENOTTY",
        libc::EPERM => "EPERM",
        libc::EAGAIN => "EAGAIN",
        _ => return io::Error::from_raw_os_error(errno).to_string(),
    };
    name.to_owned()
}

impl From<io::Error> for Answer {
    fn from(error: io::Error) -> Self {
        Self::Error(error.raw_os_error().unwrap_or(0))
    }
}

/// A call's result as an answer, if it is a number.
fn answer<T: Into<i64>>(result: io::Result<T>) -> Answer {
    result.map_or_else(Answer::from, |number| Answer::Number(number.into()))
}

/// What there must be before the first world.
pub fn prepare() -> io::Result<()> {
    let instance = repoll::Instance::open()?.into_raw_fd();
    sys::dup(instance, TEMPLATE)?;
    sys::close(instance)?;
    sys::open(TOUCHED, libc::O_CREAT | libc::O_RDWR).and_then(sys::close)?;
    Ok(())
}

/// Ends a world: closes all that was opened.
pub fn clear() {
    sys::close_range(FILES, TEMPLATE - 1);
    sys::forget_signals();
}

fn file(number: u8) -> RawFd {
    FILES + RawFd::from(number)
}

/// The descriptor of an instance.
pub fn instance(side: Side, number: u8) -> RawFd {
    let first = match side {
        Side::Epoll => EPOLLS,
        Side::Repoll => REPOLLS,
    };
    first + RawFd::from(number)
}

fn descriptor(side: Side, name: Name) -> RawFd {
    match name {
        Name::File(number) => file(number),
        Name::Instance(number) => instance(side, number),
        Name::Number(number) => number,
    }
}

/// Moves a new descriptor to its number; what was there is closed.
fn place(fd: RawFd, number: RawFd) -> io::Result<i32> {
    let result = sys::dup(fd, number);
    sys::close(fd)?;
    result
}

fn both(of: impl Fn(Side) -> Answer) -> Outcome {
    let epoll = of(Side::Epoll);
    Outcome::of(epoll, of(Side::Repoll))
}

/// Does `operation`. `fork`, `exit` and `during` need more tasks, and are done elsewhere.
pub fn execute(operation: &Operation, memory: &Memory) -> Outcome {
    match *operation {
        Operation::Close(Name::Instance(n)) => both(|side| answer(sys::close(instance(side, n)))),
        Operation::Dup(Name::Instance(old), Name::Instance(new)) => both(|side| {
            let result = sys::dup(instance(side, old), instance(side, new));
            answer(result.map(|_| 0))
        }),
        Operation::Create(n, device) => both(|side| {
            let fd = match side {
                Side::Epoll => sys::epoll_create(),
                Side::Repoll if device => sys::open(c"/dev/repoll", libc::O_RDWR),
                Side::Repoll => sys::repoll_create(TEMPLATE),
            };
            answer(fd.and_then(|fd| place(fd, instance(side, n))).map(|_| 0))
        }),
        Operation::Ctl(op, n, fd, events, data) => both(|side| {
            let (ep, fd) = (instance(side, n), descriptor(side, fd));
            answer(match side {
                Side::Epoll => sys::epoll_ctl(ep, op, fd, events, data),
                Side::Repoll => sys::repoll_ctl(ep, op, fd, events, data),
            })
        }),
        Operation::Wait(n, max, milliseconds, at) => both(|side| {
            let address = match at {
                Place::Good => memory.start(),
                Place::Null => 0,
                Place::Unmapped => 0x2000_0000_0000,
                Place::Kernel => 0xffff_8880_0000_0000,
                Place::Top => memory.top(),
                Place::Part(count) => memory.before_end(count.into()),
            };
            wait(side, n, max, milliseconds as i32, address, memory)
        }),
        Operation::Masked(n, max, open) => masked(n, max, open, memory),
        Operation::Poll(n) => both(|side| {
            let all = 0x7fff;
            sys::poll(instance(side, n), all, 0)
                .map_or_else(Answer::from, |bits| Answer::Polled(bits as u16 as u32))
        }),
        Operation::Scan(call, milliseconds, ref what) => {
            both(|side| Answer::Text(scan(side, call, milliseconds, None, what)))
        }
        Operation::MaskedScan(call, open, ref what) => {
            let _blocked = sys::Blocked::new();
            both(|side| {
                let before = sys::handled(side);
                let answer = scan(side, call, 1, Some(open), what);
                let handled = sys::handled(side) - before;
                let still = sys::is_pending(side);
                Answer::Text(format!("{answer}, {handled} handled, pending {still}"))
            })
        }
        Operation::Fdinfo(n) => both(|side| fdinfo(instance(side, n))),
        Operation::Odd(n, odd) => both(|side| {
            let fd = instance(side, n);
            match odd {
                Odd::Read => answer(sys::read(fd, &mut [0; 64]).map(|n| n as i64)),
                Odd::Write => answer(sys::write(fd, &[0; 64]).map(|n| n as i64)),
                Odd::DupClose => answer(sys::dup_above(fd, OURS).and_then(sys::close)),
            }
        }),
        Operation::Fork | Operation::Exit | Operation::During(..) => {
            Outcome::Same(Answer::Text("not here".to_owned()))
        }
        _ => Outcome::Same(answer(on_file(operation))),
    }
}

/// WAIT, into this memory or where nothing can be written.
pub fn wait(
    side: Side,
    n: u8,
    max: i32,
    milliseconds: i32,
    address: usize,
    memory: &Memory,
) -> Answer {
    let fd = instance(side, n);
    let result = match side {
        Side::Epoll => sys::epoll_wait(fd, address, max, milliseconds),
        Side::Repoll => sys::repoll_wait(fd, address, max, milliseconds),
    };
    match result {
        Ok(0) => Answer::Events(Vec::new()),
        Ok(count) => match memory.events(address, count as usize) {
            Some(events) => Answer::Events(events),
            None => Answer::Number(count.into()),
        },
        Err(error) => error.into(),
    }
}

/// select(2) or poll(2), of the kernel or of repoll: the result, and what is found of each. (Not the
/// time that is left: a call may take longer than it waits.)
fn scan(
    side: Side,
    call: Scan,
    milliseconds: u32,
    open: Option<bool>,
    what: &[(Name, u16)],
) -> String {
    let ours = (side == Side::Repoll).then_some(TEMPLATE);
    let mask = open.map(|open| sys::mask(side, open));
    let fds = what.iter().map(|&(name, _)| descriptor(side, name));
    let mut found = Vec::new();
    let result = match call {
        Scan::Poll => {
            let one = |(fd, &(_, events)): (RawFd, &(Name, u16))| libc::pollfd {
                fd,
                events: events as i16,
                revents: 0x5a5a,
            };
            let mut array: Vec<_> = fds.zip(what).map(one).collect();
            let result = sys::ppoll(ours, &mut array, milliseconds, mask.as_ref());
            found.extend(array.iter().map(|fd| fd.revents as u16));
            result
        }
        Scan::Select => {
            // A bit that is in no set at the start.
            let bits = [libc::POLLIN, libc::POLLOUT, libc::POLLPRI].map(|bit| bit as u16);
            let mut sets = [[0; 16]; 3];
            let room = sets[0].len() as RawFd * 64;
            let all: Vec<_> = fds.collect();
            let fits = |fd: RawFd| (0..room).contains(&fd);
            for (&fd, &(_, events)) in all.iter().zip(what) {
                for (set, bit) in sets.iter_mut().zip(bits) {
                    if fits(fd) && events & bit != 0 {
                        set[fd as usize / 64] |= 1 << (fd % 64);
                    }
                }
            }
            // The highest number is looked at; or, now and then, it is not.
            let highest = all.iter().copied().filter(|&fd| fits(fd)).max();
            let nfds = highest.map_or(0, |fd| fd + i32::from(what.len() % 5 != 4));
            let result = sys::pselect(ours, nfds, &mut sets, milliseconds, mask.as_ref());
            for &fd in &all {
                let mut events = 0;
                for (set, bit) in sets.iter().zip(bits) {
                    if fits(fd) && set[fd as usize / 64] & (1 << (fd % 64)) != 0 {
                        events |= bit;
                    }
                }
                found.push(events);
            }
            result
        }
    };
    let result = match result {
        Ok(count) => count.to_string(),
        Err(error) => error_name(error.raw_os_error().unwrap_or(0)),
    };
    format!("{result} {found:x?}")
}

/// WAIT with a signal mask, while a signal is pending. Each side has its own signal, and both are
/// sent at the start: who watches a signalfd is woken by each.
fn masked(n: u8, max: i32, open: bool, memory: &Memory) -> Outcome {
    let _blocked = sys::Blocked::new();
    both(|side| {
        let fd = instance(side, n);
        let at = memory.start();
        let before = sys::handled(side);
        let result = match side {
            Side::Epoll => sys::epoll_pwait(fd, at, max, 1, &sys::mask(side, open)),
            Side::Repoll => sys::repoll_pwait(fd, at, max, 1, &sys::mask(side, open)),
        };
        let handled = sys::handled(side) - before;
        let still = sys::is_pending(side);
        let answer = match result {
            Ok(count) => memory
                .events(at, count as usize)
                .map_or(Answer::Number(count.into()), Answer::Events),
            Err(error) => error.into(),
        };
        Answer::Text(format!("{answer}, {handled} handled, pending {still}"))
    })
}

/// The interest list, without its order, which is by address.
fn fdinfo(fd: RawFd) -> Answer {
    let text = match std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")) {
        Ok(text) => text,
        Err(error) => return error.into(),
    };
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("tfd:"))
        .map(|line| {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            let target: RawFd = words.get(1).map_or(-1, |word| word.parse().unwrap_or(-1));
            if (EPOLLS..TEMPLATE).contains(&target) {
                // An instance: of another number and inode on each side.
                words.truncate(6);
                words[0] = "instance:";
                let own = format!("e{}", target % 100);
                words[1] = &own;
                return words.join(" ");
            }
            words.join(" ")
        })
        .collect();
    lines.sort();
    Answer::Text(format!("{} watched; {}", lines.len(), lines.join("; ")))
}

fn open(kind: Kind, a: u8, b: u8) -> io::Result<i64> {
    let pair = match kind {
        Kind::Pipe => sys::pipe(libc::O_NONBLOCK)?,
        Kind::Stream => sys::socketpair(libc::SOCK_STREAM)?,
        Kind::Datagram => sys::socketpair(libc::SOCK_DGRAM)?,
        Kind::Packet => sys::socketpair(libc::SOCK_SEQPACKET)?,
        Kind::Udp => {
            let one = sys::internet_socket(libc::SOCK_DGRAM)?;
            let two = sys::internet_socket(libc::SOCK_DGRAM)?;
            sys::Address::of(two)?.connect(one)?;
            sys::Address::of(one)?.connect(two)?;
            [one, two]
        }
        Kind::Tcp => {
            let listener = sys::internet_socket(libc::SOCK_STREAM)?;
            sys::listen(listener, 1)?;
            let one = sys::internet_socket(libc::SOCK_STREAM)?;
            // It says "in progress"; the other end is there when the listener is readable.
            let _ = sys::Address::of(listener)?.connect(one);
            sys::poll(listener, libc::POLLIN, 1000)?;
            let two = sys::accept(listener);
            sys::poll(one, libc::POLLOUT, 1000)?;
            sys::close(listener)?;
            [one, two?]
        }
        _ => {
            let fd = match kind {
                Kind::Eventfd => sys::eventfd(0)?,
                Kind::Semaphore => sys::eventfd(libc::EFD_SEMAPHORE)?,
                Kind::Fifo => sys::fifo(FIFO)?,
                Kind::Timer => sys::timer()?,
                Kind::Signalfd => sys::signalfd()?,
                Kind::Inotify => sys::inotify(TOUCHED)?,
                Kind::Pidfd => sys::pidfd()?,
                Kind::Listener => {
                    let fd = sys::unix_socket()?;
                    sys::listen_unix(fd)?;
                    fd
                }
                Kind::Directory => sys::open(c"/", libc::O_RDONLY | libc::O_DIRECTORY)?,
                _ => sys::open(TOUCHED, libc::O_RDWR)?,
            };
            place(fd, file(a))?;
            return Ok(0);
        }
    };
    place(pair[0], file(a))?;
    place(pair[1], file(b))?;
    Ok(0)
}

/// Eight bytes that an eventfd takes as 1, again and again.
const ONES: [u8; 4096] = {
    let mut bytes = [0; 4096];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = 1;
        at += 8;
    }
    bytes
};

fn on_file(operation: &Operation) -> io::Result<i64> {
    match *operation {
        Operation::Open(kind, a, b) => open(kind, a, b),
        Operation::Close(name) => sys::close(descriptor(Side::Epoll, name)).map(i64::from),
        Operation::Dup(old, new) => {
            let (old, new) = (descriptor(Side::Epoll, old), descriptor(Side::Epoll, new));
            sys::dup(old, new).map(i64::from)
        }
        Operation::Write(n, size) => {
            sys::write(file(n), &ONES[..ONES.len().min(size as usize)]).map(|n| n as i64)
        }
        Operation::Read(n, size) => {
            let mut buffer = [0; 4096];
            let size = buffer.len().min(size as usize);
            sys::read(file(n), &mut buffer[..size]).map(|n| n as i64)
        }
        Operation::Fill(n) => {
            let mut total = 0;
            // The most that an eventfd can hold.
            let mut chunk: &[u8] = &(u64::MAX - 1).to_ne_bytes();
            for _ in 0..64 {
                match sys::write(file(n), chunk) {
                    Ok(count) => total += count as i64,
                    Err(_) => break,
                }
                chunk = &ONES;
            }
            Ok(total)
        }
        Operation::Drain(n) => {
            let mut buffer = [0; 4096];
            let mut total = 0;
            for _ in 0..64 {
                match sys::read(file(n), &mut buffer) {
                    Ok(count) if count != 0 => total += count as i64,
                    _ => break,
                }
            }
            Ok(total)
        }
        Operation::Shutdown(n, how) => {
            let how = match how {
                How::Read => libc::SHUT_RD,
                How::Write => libc::SHUT_WR,
                How::Both => libc::SHUT_RDWR,
            };
            sys::shutdown(file(n), how).map(i64::from)
        }
        Operation::Urgent(n) => sys::send_urgent(file(n)).map(|n| n as i64),
        Operation::Expire(n) => {
            let result = sys::expire(file(n))?;
            // When it can be read from, all callbacks have been made.
            sys::poll(file(n), libc::POLLIN, 1000)?;
            Ok(result.into())
        }
        Operation::Signal => sys::raise().map(i64::from),
        Operation::Touch => sys::touch(TOUCHED).map(i64::from),
        Operation::Pass(n, via) => {
            // Unix sockets in flight are collected by a kernel thread, some time later.
            if sys::is_unix_socket(file(n)) {
                return Ok(0);
            }
            sys::send_descriptor(file(via), file(n)).map(|n| n as i64)
        }
        Operation::Take(via, n) => match sys::receive_descriptor(file(via))? {
            Some(fd) => place(fd, file(n)).map(|_| 1),
            None => Ok(0),
        },
        Operation::Connect(via, n) => {
            let fd = sys::unix_socket()?;
            let address = sys::Address::of(file(via));
            let result = address.and_then(|address| address.connect(fd));
            place(fd, file(n))?;
            result.map(i64::from)
        }
        Operation::Accept(via, n) => {
            let fd = sys::accept(file(via))?;
            place(fd, file(n)).map(i64::from)
        }
        _ => Ok(0),
    }
}
