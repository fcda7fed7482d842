// SPDX-License-Identifier: GPL-2.0
//! Opens files of each kind.

use crate::operation::Kind;
use repoll_testkit::files;
use repoll_testkit::processes;
use repoll_testkit::signals;
use rustix::event::EventfdFlags;
use rustix::fs::{Mode, CWD};
use rustix::net::{self, sockopt, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

const FIFO: &str = "/tmp/repoll-diff.fifo";
/// A file whose attributes change.
const TOUCHED: &str = "/tmp/repoll-diff.touched";

const SOCKET: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
const SECOND: Duration = Duration::from_secs(1);

/// Makes the file that [`touch`] changes.
pub fn prepare() -> io::Result<()> {
    File::create(TOUCHED).map(drop)
}

/// Changes the attributes of a file that is watched by inotify(7).
pub fn touch() -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(TOUCHED, fs::Permissions::from_mode(0o600))
}

/// Makes buffers small, so that they are full soon. An error does no harm.
fn small_buffers(socket: &OwnedFd) {
    let _ = sockopt::set_socket_send_buffer_size(socket, 4096);
    let _ = sockopt::set_socket_recv_buffer_size(socket, 4096);
}

/// A pair of connected Unix sockets.
fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, two) = net::socketpair(AddressFamily::UNIX, kind, SOCKET, None)?;
    small_buffers(&one);
    small_buffers(&two);
    Ok((one, two))
}

/// A socket of the Internet, bound to a free port of the loopback interface.
fn internet_socket(kind: SocketType) -> io::Result<OwnedFd> {
    let socket = net::socket_with(AddressFamily::INET, kind, SOCKET, None)?;
    small_buffers(&socket);
    net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    Ok(socket)
}

/// A Unix stream socket.
pub fn unix_socket() -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    Ok(net::socket_with(family, kind, SOCKET, None)?)
}

/// A listening Unix socket, with a name that the kernel chooses.
fn listener() -> io::Result<OwnedFd> {
    let socket = unix_socket()?;
    net::bind(&socket, &SocketAddrUnix::new_unnamed())?;
    net::listen(&socket, 2)?;
    Ok(socket)
}

/// Connects a socket to the one that has the name.
pub fn connect(socket: impl AsFd, to: impl AsFd) -> io::Result<()> {
    Ok(net::connect(socket, &net::getsockname(to)?)?)
}

/// Accepts a connection.
pub fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    Ok(net::accept_with(listener, SOCKET)?)
}

/// Opens a file, non-blocking.
fn path(path: impl AsRef<Path>, write: bool) -> io::Result<OwnedFd> {
    let mut options = File::options();
    options
        .read(true)
        .write(write)
        .custom_flags(libc::O_NONBLOCK);
    options.open(path).map(Into::into)
}

/// A fifo that is open in both directions, and whose name is removed.
fn fifo() -> io::Result<OwnedFd> {
    let _ = fs::remove_file(FIFO);
    rustix::fs::mkfifoat(CWD, FIFO, Mode::RUSR | Mode::WUSR)?;
    let fifo = path(FIFO, true);
    fs::remove_file(FIFO)?;
    fifo
}

/// Opens a file, or two that are connected to each other.
pub fn open(kind: Kind) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let (one, two) = match kind {
        Kind::Pipe => files::pipe()?,
        Kind::Stream => pair(SocketType::STREAM)?,
        Kind::Datagram => pair(SocketType::DGRAM)?,
        Kind::Packet => pair(SocketType::SEQPACKET)?,
        Kind::Udp => {
            let one = internet_socket(SocketType::DGRAM)?;
            let two = internet_socket(SocketType::DGRAM)?;
            connect(&one, &two)?;
            connect(&two, &one)?;
            (one, two)
        }
        Kind::Tcp => {
            let listener = internet_socket(SocketType::STREAM)?;
            net::listen(&listener, 1)?;
            let one = internet_socket(SocketType::STREAM)?;
            // Fails with EINPROGRESS. The other end exists once the listener is readable.
            let _ = connect(&one, &listener);
            files::poll(&listener, libc::POLLIN, SECOND)?;
            let two = accept(&listener);
            files::poll(&one, libc::POLLOUT, SECOND)?;
            (one, two?)
        }
        _ => {
            let eventfd = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
            let fd = match kind {
                Kind::Eventfd => files::eventfd()?,
                Kind::Semaphore => rustix::event::eventfd(0, eventfd | EventfdFlags::SEMAPHORE)?,
                Kind::Fifo => fifo()?,
                Kind::Timer => files::timerfd()?,
                Kind::Signalfd => signals::signalfd(libc::SIGUSR1)?,
                Kind::Inotify => files::inotify(Path::new(TOUCHED))?,
                Kind::Pidfd => processes::pidfd(std::process::id() as i32)?,
                Kind::Listener => listener()?,
                Kind::Directory => path("/", false)?,
                _ => path(TOUCHED, true)?,
            };
            return Ok((fd, None));
        }
    };
    Ok((one, Some(two)))
}
