// SPDX-License-Identifier: GPL-2.0
//! Files to watch, and what is done to them. New descriptors are non-blocking and close-on-exec.

use crate::memory::Place;
use crate::raw;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::fs::{inotify, MemfdFlags, OFlags};
use rustix::io::{IoSlice, IoSliceMut, ReadWriteFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::pipe::PipeFlags;
use rustix::pty::OpenptFlags;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

/// eventfd(2).
pub fn eventfd() -> io::Result<OwnedFd> {
    eventfd_of(0)
}

/// eventfd(2) with this count: it can be read if the count is not 0.
pub fn eventfd_of(count: u32) -> io::Result<OwnedFd> {
    let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
    Ok(rustix::event::eventfd(count, flags)?)
}

/// `count` eventfds.
pub fn eventfds(count: usize) -> io::Result<Vec<OwnedFd>> {
    (0..count).map(|_| eventfd()).collect()
}

/// Adds one to an eventfd.
pub fn signal(eventfd: impl AsFd) -> io::Result<()> {
    write(eventfd, &1u64.to_ne_bytes()).map(drop)
}

/// pipe2(2): the end to read from, the end to write to.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = PipeFlags::NONBLOCK | PipeFlags::CLOEXEC;
    Ok(rustix::pipe::pipe_with(flags)?)
}

/// timerfd_create(2) on the monotonic clock.
pub fn timerfd() -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    Ok(rustix::time::timerfd_create(
        TimerfdClockId::Monotonic,
        flags,
    )?)
}

/// Arms a timer once, and again every `interval` unless that is zero.
pub fn arm(timer: impl AsFd, first: Duration, interval: Duration) -> io::Result<()> {
    let setting = Itimerspec {
        it_value: timespec(first),
        it_interval: timespec(interval),
    };
    rustix::time::timerfd_settime(timer, TimerfdTimerFlags::empty(), &setting)?;
    Ok(())
}

/// inotify(7) for changes of the attributes of a file.
pub fn inotify(path: &Path) -> io::Result<OwnedFd> {
    let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
    let fd = inotify::init(flags)?;
    inotify::add_watch(&fd, path, inotify::WatchFlags::ATTRIB)?;
    Ok(fd)
}

/// memfd_create(2).
pub fn memfd(name: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?)
}

/// Unlocks the other side of a pseudo terminal, and opens it.
pub fn open_terminal_of(ptmx: impl AsFd) -> io::Result<OwnedFd> {
    rustix::pty::unlockpt(&ptmx)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&ptmx, flags)?;
    block(&terminal, false)?;
    Ok(terminal)
}

/// write(2).
pub fn write(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(fd, bytes)?)
}

/// read(2).
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, buffer)?)
}

/// Reads until there is nothing more.
pub fn read_all(fd: impl AsFd) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match read(&fd, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// preadv2(2) into one buffer, without a position.
pub fn read_with(fd: impl AsFd, buffer: &mut [u8], flags: ReadWriteFlags) -> io::Result<usize> {
    let parts = &mut [IoSliceMut::new(buffer)];
    Ok(rustix::io::preadv2(fd, parts, u64::MAX, flags)?)
}

/// pwritev2(2) from one buffer, without a position.
pub fn write_with(fd: impl AsFd, bytes: &[u8], flags: ReadWriteFlags) -> io::Result<usize> {
    let parts = &[IoSlice::new(bytes)];
    Ok(rustix::io::pwritev2(fd, parts, u64::MAX, flags)?)
}

/// The number of bytes that can be read: FIONREAD.
pub fn bytes_left(fd: impl AsFd) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(fd)?)
}

/// Whether calls on a file block.
pub fn block(fd: impl AsFd, on: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(&fd)?;
    flags.set(OFlags::NONBLOCK, !on);
    Ok(rustix::fs::fcntl_setfl(&fd, flags)?)
}

/// close(2) of a number: for descriptors that nobody owns, or that are not open.
pub fn close(fd: RawFd) -> io::Result<()> {
    // SAFETY: the caller has given up the ownership with `into_raw_fd`, or never had it.
    crate::raw::check(unsafe { libc::close(fd) })
}

/// Closes all descriptors from `first` to `last`, which nobody owns.
pub fn close_range(first: RawFd, last: RawFd) {
    let (first, last) = (first as usize, last as usize);
    // SAFETY: the caller says that nobody owns them. There is no error for an open range.
    let _ = unsafe { raw::syscall(libc::SYS_close_range, [first, last, 0]) };
}

/// dup3(2): makes the number `new` another descriptor of `old`, and closes what it was.
pub fn dup_onto(old: impl AsFd, new: RawFd) -> io::Result<()> {
    // SAFETY: the number is not closed by this owner, which is forgotten.
    let mut new = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(new) });
    Ok(rustix::io::dup3(
        old,
        &mut new,
        rustix::io::DupFlags::CLOEXEC,
    )?)
}

/// Another descriptor of the file, with a number that is free.
pub fn dup_to_free(fd: &OwnedFd, number: RawFd) -> io::Result<OwnedFd> {
    let copy = dup_from(fd, number)?;
    if copy.as_raw_fd() != number {
        return Err(io::Error::other(format!("{number} is not free")));
    }
    Ok(copy)
}

/// Another descriptor of the file, the lowest free one from `least` on.
pub fn dup_from(fd: impl AsFd, least: RawFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, least)?)
}

/// `count` further descriptors of one file.
pub fn copies(fd: &OwnedFd, count: usize) -> io::Result<Vec<OwnedFd>> {
    (0..count).map(|_| fd.try_clone()).collect()
}

/// poll(2) for input on one descriptor; whether there is any event.
pub fn poll_in(fd: impl AsFd, limit: Duration) -> io::Result<bool> {
    poll(fd, libc::POLLIN, limit).map(|events| events != 0)
}

/// poll(2) on one descriptor: what it is ready for.
pub fn poll(fd: impl AsFd, events: i16, limit: Duration) -> io::Result<i16> {
    let events = PollFlags::from_bits_retain(events as u16);
    let mut one = [PollFd::new(&fd, events)];
    rustix::event::poll(&mut one, Some(&timespec(limit)))?;
    Ok(one[0].revents().bits() as i16)
}

/// select(2) for input on one descriptor; whether there is any.
pub fn select_in(fd: impl AsFd, limit: Duration) -> io::Result<bool> {
    let fd: BorrowedFd<'_> = fd.as_fd();
    let nfds = fd.as_raw_fd() + 1;
    let words = rustix::event::fd_set_num_elements(1, nfds);
    let mut set = vec![Default::default(); words];
    rustix::event::fd_set_insert(&mut set, fd.as_raw_fd());
    let limit = timespec(limit);
    // SAFETY: the set has room for the descriptor, which is open.
    let count = unsafe { rustix::event::select(nfds, Some(&mut set), None, None, Some(&limit)) }?;
    Ok(count == 1)
}

/// A duration as the kernel has it.
pub fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// read(2) to a place.
pub fn read_to(fd: impl AsFd, to: Place<'_>, length: usize) -> io::Result<usize> {
    let address = to.with_room_for(length, 1);
    // SAFETY: the place has the room.
    unsafe { raw::syscall(libc::SYS_read, [number(&fd), address, length]) }
}

/// write(2) of what there is at an address.
pub fn write_from(fd: impl AsFd, address: usize, length: usize) -> io::Result<usize> {
    // SAFETY: the call only reads the memory, if there is any.
    unsafe { raw::syscall(libc::SYS_write, [number(&fd), address, length]) }
}

fn number(fd: &impl AsFd) -> usize {
    fd.as_fd().as_raw_fd() as usize
}

/// Sends a message of one byte that carries a descriptor.
pub fn send_descriptor(socket: impl AsFd, fd: impl AsFd) -> io::Result<()> {
    let fds = [fd.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let bytes = [IoSlice::new(&[0])];
    rustix::net::sendmsg(socket, &bytes, &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives a message of one byte, and the descriptor that it carries, if it carries one.
pub fn receive_descriptor(socket: impl AsFd) -> io::Result<Option<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let bytes = &mut [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(socket, bytes, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    }))
}
