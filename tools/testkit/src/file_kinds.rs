// SPDX-License-Identifier: GPL-2.0
//! Files of all kinds that can be watched, each with a way to make it ready for input.

use crate::descriptor::Number;
use crate::files::{self, read_all, write};
use crate::signals;
use anyhow::{ensure, Result};
use rustix::fs::Mode;
use std::fs::{self, File, Permissions};
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Mutex;
use std::time::Duration;

/// A kind of file.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name in test names.
    pub name: &'static str,
    make: fn() -> Result<Source>,
}

impl Kind {
    /// Makes one that is not ready.
    pub fn make(&self) -> Result<Source> {
        (self.make)()
    }
}

macro_rules! kinds {
    ($($name:ident),+) => {
        [$(Kind {
            name: stringify!($name),
            make: $name,
        }),+]
    };
}

/// All kinds.
pub const KINDS: [Kind; 12] = kinds![
    eventfd,
    pipe,
    fifo,
    timerfd,
    udp,
    tcp,
    tcp_listener,
    unix,
    signalfd,
    inotify,
    ptmx,
    source
];

type Action = Box<dyn Fn(RawFd) -> io::Result<()> + Send + Sync>;

/// A file to watch, and the means to make it ready.
pub struct Source {
    /// The file.
    pub fd: OwnedFd,
    /// Makes the file ready, and drains it.
    pub means: Means,
}

/// Makes a file ready, and drains it. Does not keep the file open.
pub struct Means {
    trigger: Action,
    drain: Action,
}

impl Means {
    /// Makes it ready for input. `fd` is a descriptor of it.
    pub fn trigger(&self, fd: RawFd) -> io::Result<()> {
        (self.trigger)(fd)
    }

    /// Takes what there is to read.
    pub fn drain(&self, fd: RawFd) -> io::Result<()> {
        (self.drain)(fd)
    }
}

impl Source {
    fn new(
        fd: impl Into<OwnedFd>,
        trigger: impl Fn(RawFd) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            fd: fd.into(),
            means: Means {
                trigger: Box::new(trigger),
                drain: Box::new(|fd| read_all(Number(fd))),
            },
        }
    }

    /// The number of its descriptor.
    pub fn number(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Makes it ready for input, and waits until it is.
    pub fn trigger(&self) -> Result<()> {
        self.means.trigger(self.number())?;
        let ready = files::poll(&self.fd, libc::POLLIN, Duration::from_secs(20))?;
        ensure!(ready & libc::POLLIN != 0, "it does not become ready");
        Ok(())
    }

    /// Takes what there is to read.
    pub fn drain(&self) -> io::Result<()> {
        self.means.drain(self.number())
    }
}

fn write_one(fd: impl AsFd) -> io::Result<()> {
    write(fd, b"x").map(drop)
}

fn eventfd() -> Result<Source> {
    Ok(Source::new(files::eventfd()?, |fd| {
        files::signal(Number(fd))
    }))
}

fn pipe() -> Result<Source> {
    let (reader, writer) = files::pipe()?;
    Ok(Source::new(reader, move |_| write_one(&writer)))
}

fn fifo() -> Result<Source> {
    let path = Scratch::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, path.path(), Mode::RUSR | Mode::WUSR)?;
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path.path())?;
    Ok(Source::new(file, |fd| write_one(Number(fd))))
}

fn timerfd() -> Result<Source> {
    let soon = Duration::from_millis(2);
    Ok(Source::new(files::timerfd()?, move |fd| {
        files::arm(Number(fd), soon, Duration::ZERO)
    }))
}

fn udp() -> Result<Source> {
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    receiver.set_nonblocking(true)?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    let address = receiver.local_addr()?;
    Ok(Source::new(receiver, move |_| {
        sender.send_to(b"x", address).map(drop)
    }))
}

fn tcp() -> Result<Source> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let far = TcpStream::connect(listener.local_addr()?)?;
    let (near, _) = listener.accept()?;
    near.set_nonblocking(true)?;
    Ok(Source::new(near, move |_| write_one(&far)))
}

fn tcp_listener() -> Result<Source> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let callers = Mutex::new(Vec::new());
    let mut source = Source::new(listener, move |_| {
        let caller = TcpStream::connect(address)?;
        if let Ok(mut callers) = callers.lock() {
            callers.push(caller);
        }
        Ok(())
    });
    source.means.drain = Box::new(|fd| {
        while rustix::net::accept(Number(fd)).is_ok() {}
        Ok(())
    });
    Ok(source)
}

fn unix() -> Result<Source> {
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    Ok(Source::new(near, move |_| write_one(&far)))
}

fn signalfd() -> Result<Source> {
    Ok(Source::new(signals::signalfd(libc::SIGUSR2)?, |_| {
        signals::signal_this_process(libc::SIGUSR2)
    }))
}

fn inotify() -> Result<Source> {
    let path = Scratch::new();
    fs::write(path.path(), "")?;
    Ok(Source::new(files::inotify(path.path())?, move |_| {
        fs::set_permissions(path.path(), Permissions::from_mode(0o600))
    }))
}

fn ptmx() -> Result<Source> {
    let master = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open("/dev/ptmx")?;
    let terminal = files::open_terminal_of(&master)?;
    Ok(Source::new(master, move |_| write_one(&terminal)))
}

/// Ours: the event source.
fn source() -> Result<Source> {
    let source = repoll::Source::open_nonblocking()?;
    Ok(Source::new(source, |fd| write_one(Number(fd))))
}

/// A path in the temporary folder, removed in the end.
pub struct Scratch(PathBuf);

impl Scratch {
    /// One that is not yet in use.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("repoll-tests-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may not have been made.
        let _ = fs::remove_file(&self.0);
    }
}
