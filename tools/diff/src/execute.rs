// SPDX-License-Identifier: GPL-2.0
//! Runs one operation in the calling task: once on watched files, twice on instances (the C
//! epoll's and repoll's).
//!
//! The tester keeps no model of its own of the open files: files and instances are descriptors with
//! fixed numbers. So any part of a program is a program too, as shrinking requires.

use crate::answer::{answer, error_name, Answer, Outcome};
use crate::memory::Memory;
use crate::open;
use crate::operation::{How, Kind, Name, Odd, Operation, Place, Scan};
use crate::signals::{self, Blocked};
use anyhow::{Context, Result};
use repoll::{CreateFlags, SignalSet};
use repoll_testkit::descriptor::Number;
use repoll_testkit::files;
use repoll_testkit::memory;
use repoll_testkit::multiplexer::{
    epoll_ctl, epoll_wait, repoll_ctl, repoll_wait, Epoll, Multiplexer,
};
use repoll_testkit::scanner::{self, Kernel, Ours};
use repoll_testkit::side::Side;
use repoll_testkit::signals::Mask;
use repoll_testkit::takeover::Maker;
use rustix::net::{sockopt, AddressFamily, SendFlags, Shutdown};
use std::fs;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

const FILES: RawFd = 100;
const EPOLLS: RawFd = 200;
const REPOLLS: RawFd = 300;
/// Descriptors from here on belong to the tester.
pub const OURS: RawFd = 400;

/// The instance whose ioctls make other instances, and make select and poll calls.
static TEMPLATE: OnceLock<Ours> = OnceLock::new();

/// Makes repoll's instances, if they are taken over: then all calls on them are the kernel's.
static MAKER: RwLock<Option<Maker>> = RwLock::new(None);

fn template() -> io::Result<&'static Ours> {
    TEMPLATE
        .get()
        .ok_or_else(|| io::Error::other("prepare() comes first"))
}

/// Makes the files that must exist before the first world.
pub fn prepare(take_over: bool) -> Result<()> {
    if take_over {
        set_maker(Some(Maker::new()?));
    }
    let ours = scanner::Side::new().context("/dev/repoll")?;
    TEMPLATE.get_or_init(|| ours);
    open::prepare().context("a file in /tmp")
}

/// Undoes what [`prepare`] has done to the machine.
pub fn finish() {
    set_maker(None);
}

fn set_maker(maker: Option<Maker>) {
    *MAKER.write().unwrap_or_else(PoisonError::into_inner) = maker;
}

/// Whether the calls of a side on an instance are ioctls.
fn makes_ioctls(side: Side) -> bool {
    side == Side::Repoll && MAKER.read().is_ok_and(|maker| maker.is_none())
}

/// Ends a world: closes all its descriptors.
pub fn clear() {
    files::close_range(FILES, OURS - 1);
    repoll_testkit::signals::forget(&signals::usr1());
}

fn file(number: u8) -> Number {
    Number(FILES + RawFd::from(number))
}

/// The descriptor of an instance.
fn instance(side: Side, number: u8) -> Number {
    let first = match side {
        Side::Kernel => EPOLLS,
        Side::Repoll => REPOLLS,
    };
    Number(first + RawFd::from(number))
}

fn descriptor(side: Side, name: Name) -> Number {
    match name {
        Name::File(number) => file(number),
        Name::Instance(number) => instance(side, number),
        Name::Number(number) => Number(number),
    }
}

/// Moves a new descriptor to its number, and closes the descriptor that had it.
fn place(fd: OwnedFd, number: RawFd) -> io::Result<()> {
    files::dup_onto(fd, number)
}

/// The answer 0, or the error.
fn done(result: io::Result<()>) -> Answer {
    answer(result.map(|()| 0))
}

/// A duration in milliseconds; a negative one is no limit.
fn limit(milliseconds: i32) -> Option<Duration> {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

fn both(of: impl Fn(Side) -> Answer) -> Outcome {
    let epoll = of(Side::Kernel);
    Outcome::of(epoll, of(Side::Repoll))
}

/// Runs `operation`. Not `fork`, `exit` and `during`, which involve other tasks: see `world.rs`.
pub fn execute(operation: &Operation, memory: &Memory) -> Outcome {
    match *operation {
        Operation::Close(Name::Instance(n)) => both(|side| done(files::close(instance(side, n).0))),
        Operation::Dup(Name::Instance(old), Name::Instance(new)) => {
            both(|side| done(files::dup_onto(instance(side, old), instance(side, new).0)))
        }
        Operation::Create(n, device) => {
            both(|side| done(create(side, device).and_then(|fd| place(fd, instance(side, n).0))))
        }
        Operation::Ctl(op, n, fd, events, data) => both(|side| {
            let (ep, fd) = (instance(side, n), descriptor(side, fd).0);
            done(if makes_ioctls(side) {
                repoll_ctl(&ep, op, fd, events, data)
            } else {
                epoll_ctl(&ep, op, fd, events, data)
            })
        }),
        Operation::Wait(n, max, milliseconds, at) => {
            both(|side| wait(side, n, max, milliseconds as i32, at, memory))
        }
        Operation::Masked(n, max, open) => masked(
            |side, mask| wait_with(side, n, max, 1, Place::Good, Mask::of(mask), memory),
            open,
        ),
        Operation::Poll(n) => both(|side| {
            let all = 0x7fff;
            files::poll(instance(side, n), all, Duration::ZERO)
                .map_or_else(Answer::from, |bits| Answer::Polled(bits as u16 as u32))
        }),
        Operation::Scan(call, milliseconds, ref what) => {
            both(|side| Answer::Text(scan(side, call, milliseconds, None, what)))
        }
        Operation::MaskedScan(call, open, ref what) => masked(
            |side, mask| Answer::Text(scan(side, call, 1, Some(mask), what)),
            open,
        ),
        Operation::Fdinfo(n) => both(|side| fdinfo(instance(side, n))),
        Operation::Odd(n, odd) => both(|side| {
            let fd = instance(side, n);
            match odd {
                Odd::Read => answer(files::read(fd, &mut [0; 64]).map(|n| n as i64)),
                Odd::Write => answer(files::write(fd, &[0; 64]).map(|n| n as i64)),
                Odd::DupClose => done(files::dup_from(fd, OURS).map(drop)),
            }
        }),
        Operation::Fork | Operation::Exit | Operation::During(..) => {
            Outcome::Same(Answer::Text("not here".to_owned()))
        }
        _ => Outcome::Same(answer(on_file(operation))),
    }
}

fn create(side: Side, device: bool) -> io::Result<OwnedFd> {
    let maker = MAKER.read().unwrap_or_else(PoisonError::into_inner);
    Ok(match (side, &*maker) {
        (Side::Kernel, _) => Epoll::new()?.into_descriptor(),
        (Side::Repoll, Some(maker)) => maker.instance()?.into_descriptor(),
        (Side::Repoll, None) if device => repoll::Instance::open()?.into(),
        (Side::Repoll, None) => template()?.instance().create(CreateFlags::CLOEXEC)?.into(),
    })
}

/// Calls WAIT, with a place for the events.
pub fn wait(side: Side, n: u8, max: i32, milliseconds: i32, at: Place, memory: &Memory) -> Answer {
    wait_with(side, n, max, milliseconds, at, Mask::default(), memory)
}

fn wait_with(
    side: Side,
    n: u8,
    max: i32,
    milliseconds: i32,
    at: Place,
    mask: Mask,
    memory: &Memory,
) -> Answer {
    let (fd, to) = (instance(side, n), memory.place(at));
    let wait = match makes_ioctls(side) {
        true => repoll_wait,
        false => epoll_wait,
    };
    let result = wait(&fd, to, max, limit(milliseconds), mask);
    match result {
        Ok(0) => Answer::Events(Vec::new()),
        Ok(count) => match memory.events(to, count) {
            Some(events) => Answer::Events(events),
            None => Answer::Number(count as i64),
        },
        Err(error) => error.into(),
    }
}

/// Calls select(2) or poll(2), of the kernel or of repoll. Returns the result and the events of
/// each descriptor, but not the time that is left: a call may take longer than it waits.
fn scan(
    side: Side,
    call: Scan,
    milliseconds: u32,
    mask: Option<&SignalSet>,
    what: &[(Name, u16)],
) -> String {
    let mask = mask.map(Mask::of).unwrap_or_default();
    let timeout = &mut Some(Duration::from_millis(milliseconds.into()));
    let fds = what.iter().map(|&(name, _)| descriptor(side, name).0);
    let mut found = Vec::new();
    let result = match call {
        Scan::Poll => {
            let one = |(fd, &(_, events)): (RawFd, &(Name, u16))| libc::pollfd {
                fd,
                events: events as i16,
                revents: 0x5a5a,
            };
            let mut array: Vec<_> = fds.zip(what).map(one).collect();
            let count = array.len() as u32;
            let to = memory::Place::of(&mut array);
            let result = match side {
                Side::Kernel => scanner::Side::poll_at(&Kernel, to, count, timeout, mask),
                Side::Repoll => template()
                    .and_then(|ours| scanner::Side::poll_at(ours, to, count, timeout, mask)),
            };
            found.extend(array.iter().map(|fd| fd.revents as u16));
            result
        }
        Scan::Select => {
            // A bit that is in no set at the start.
            let bits = [libc::POLLIN, libc::POLLOUT, libc::POLLPRI].map(|bit| bit as u16);
            let mut sets = [[0u64; 16]; 3];
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
            // The highest descriptor is in the range, or now and then just outside.
            let highest = all.iter().copied().filter(|&fd| fits(fd)).max();
            let nfds = highest.map_or(0, |fd| fd + i32::from(what.len() % 5 != 4));
            let at = sets.each_mut().map(|set| memory::Place::of(set));
            let result = match side {
                Side::Kernel => scanner::Side::select_at(&Kernel, nfds, at, timeout, mask),
                Side::Repoll => template()
                    .and_then(|ours| scanner::Side::select_at(ours, nfds, at, timeout, mask)),
            };
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

/// Makes a call with a signal mask while a signal is pending. Each side has its own signal. Both
/// are sent at the start, since each of them wakes an instance that watches a signalfd.
fn masked(call: impl Fn(Side, &SignalSet) -> Answer, open: bool) -> Outcome {
    let _blocked = Blocked::new();
    both(|side| {
        let before = signals::handled(side);
        let answer = call(side, &signals::mask(side, open));
        let handled = signals::handled(side) - before;
        let still = signals::is_pending(side);
        Answer::Text(format!("{answer}, {handled} handled, pending {still}"))
    })
}

/// The interest list, sorted: its own order is by address.
fn fdinfo(fd: Number) -> Answer {
    let text = match fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.0)) {
        Ok(text) => text,
        Err(error) => return error.into(),
    };
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("tfd:"))
        .map(|line| {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            let target: RawFd = words.get(1).map_or(-1, |word| word.parse().unwrap_or(-1));
            if (EPOLLS..OURS).contains(&target) {
                // An instance has another number and inode on each side.
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

/// Opens files and moves them to their numbers.
fn open_at(kind: Kind, a: u8, b: u8) -> io::Result<i64> {
    let (one, two) = open::open(kind)?;
    place(one, file(a).0)?;
    if let Some(two) = two {
        place(two, file(b).0)?;
    }
    Ok(0)
}

/// The eight bytes of the number 1, for an eventfd, repeated.
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
        Operation::Open(kind, a, b) => open_at(kind, a, b),
        Operation::Close(name) => files::close(descriptor(Side::Kernel, name).0).map(|()| 0),
        Operation::Dup(old, new) => {
            let (old, new) = (descriptor(Side::Kernel, old), descriptor(Side::Kernel, new));
            files::dup_onto(old, new.0).map(|()| 0)
        }
        Operation::Write(n, size) => {
            files::write(file(n), &ONES[..ONES.len().min(size as usize)]).map(|n| n as i64)
        }
        Operation::Read(n, size) => {
            let mut buffer = [0; 4096];
            let size = buffer.len().min(size as usize);
            files::read(file(n), &mut buffer[..size]).map(|n| n as i64)
        }
        Operation::Fill(n) => {
            let mut total = 0;
            // The most that an eventfd can hold.
            let mut chunk: &[u8] = &(u64::MAX - 1).to_ne_bytes();
            for _ in 0..64 {
                match files::write(file(n), chunk) {
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
                match files::read(file(n), &mut buffer) {
                    Ok(count) if count != 0 => total += count as i64,
                    _ => break,
                }
            }
            Ok(total)
        }
        Operation::Shutdown(n, how) => {
            let how = match how {
                How::Read => Shutdown::Read,
                How::Write => Shutdown::Write,
                How::Both => Shutdown::Both,
            };
            Ok(rustix::net::shutdown(file(n), how).map(|()| 0)?)
        }
        Operation::Urgent(n) => {
            let flags = SendFlags::OOB | SendFlags::NOSIGNAL;
            Ok(rustix::net::send(file(n), b"!", flags)? as i64)
        }
        Operation::Expire(n) => {
            files::arm(file(n), Duration::from_nanos(1), Duration::ZERO)?;
            // Once it is readable, all callbacks have run.
            files::poll(file(n), libc::POLLIN, Duration::from_secs(1))?;
            Ok(0)
        }
        Operation::Signal => {
            repoll_testkit::signals::signal_this_process(libc::SIGUSR1).map(|()| 0)
        }
        Operation::Touch => open::touch().map(|()| 0),
        Operation::Pass(n, via) => {
            // A kernel thread collects Unix sockets in flight, some time later.
            if sockopt::socket_domain(file(n)) == Ok(AddressFamily::UNIX) {
                return Ok(0);
            }
            files::send_descriptor(file(via), file(n)).map(|()| 1)
        }
        Operation::Take(via, n) => match files::receive_descriptor(file(via))? {
            Some(fd) => place(fd, file(n).0).map(|()| 1),
            None => Ok(0),
        },
        Operation::Connect(via, n) => {
            let fd = open::unix_socket()?;
            let result = open::connect(&fd, file(via));
            place(fd, file(n).0)?;
            result.map(|()| 0)
        }
        Operation::Accept(via, n) => {
            let fd = open::accept(file(via))?;
            place(fd, file(n).0).map(|()| 0)
        }
        _ => Ok(0),
    }
}
