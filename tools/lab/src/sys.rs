// SPDX-License-Identifier: GPL-2.0
//! System calls that std lacks. The lab's only unsafe code is here.

mod memory;

pub use memory::Memory;

use repoll::Event;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// A result that is negative is an error, in `errno`.
fn check(result: i32) -> io::Result<i32> {
    match result {
        result if result < 0 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// # Safety
///
/// `fd` is what a system call has returned that makes a descriptor.
unsafe fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: by the contract a descriptor that is no error is new.
    check(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An eventfd with this count: ready to be read if it is not 0.
pub fn eventfd(count: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    unsafe { owned(libc::eventfd(count, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)) }
}

/// A pipe: where to read, where to write. Neither blocks.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: there is room for two.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) })?;
    // SAFETY: both are new.
    unsafe { Ok((owned(fds[0])?, owned(fds[1])?)) }
}

pub fn write(fd: &impl AsRawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the bytes live through the call.
    let count = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

pub fn read(fd: &impl AsRawFd, bytes: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer lives through the call.
    let count = unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// How many bytes there are to read.
pub fn bytes_left(fd: &impl AsRawFd) -> io::Result<i32> {
    let mut count = 0;
    // SAFETY: there is room for the number.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut count) })?;
    Ok(count)
}

/// Lets this process have so many descriptors.
pub fn allow_descriptors(count: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: count,
        rlim_max: count.max(1 << 20),
    };
    // SAFETY: the limit lives through the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }).map(drop)
}

/// A copy of a descriptor, with this number or the next free one.
pub fn copy_at(fd: &OwnedFd, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor is new.
    unsafe { owned(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least)) }
}

/// Lets calls on a file block again.
pub fn let_block(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: no pointers.
    unsafe {
        let flags = check(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL))?;
        check(libc::fcntl(
            fd.as_raw_fd(),
            libc::F_SETFL,
            flags & !libc::O_NONBLOCK,
        ))
        .map(drop)
    }
}

/// epoll_create(2), with the size that it asks for.
pub fn epoll_create_of(size: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor is new.
    unsafe { owned(libc::epoll_create(size)) }
}

pub fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor is new.
    unsafe { owned(libc::epoll_create1(libc::EPOLL_CLOEXEC)) }
}

/// epoll_ctl(2); the datum is the descriptor.
pub fn epoll_ctl(epoll: &OwnedFd, op: i32, fd: RawFd, events: u32) -> io::Result<()> {
    let mut event = libc::epoll_event {
        events,
        u64: fd as u64,
    };
    // SAFETY: the event lives through the call.
    check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), op, fd, &mut event) }).map(drop)
}

pub fn epoll_wait(epoll: &OwnedFd, events: &mut [Event], milliseconds: i32) -> io::Result<usize> {
    let room = i32::try_from(events.len()).unwrap_or(i32::MAX);
    // SAFETY: `Event` is a transparent `epoll_event`; there is room for as many as it says.
    let count = unsafe {
        libc::epoll_wait(
            epoll.as_raw_fd(),
            events.as_mut_ptr().cast(),
            room,
            milliseconds,
        )
    };
    check(count).map(|count| count as usize)
}

/// Interest in events of a file, for [`poll`].
pub fn interest(fd: &impl AsRawFd, events: i16) -> libc::pollfd {
    libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    }
}

/// poll(2): how many are ready.
pub fn poll(fds: &mut [libc::pollfd], milliseconds: i32) -> io::Result<usize> {
    // SAFETY: the slice is as long as it says.
    check(unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, milliseconds) })
        .map(|count| count as usize)
}

/// A set for select(2), of as many bits as one likes.
pub struct Set(Vec<u64>);

impl Set {
    pub fn new(bits: usize) -> Self {
        Self(vec![0; bits.div_ceil(64)])
    }

    pub fn insert(&mut self, fd: RawFd) {
        self.0[fd as usize / 64] |= 1 << (fd as usize % 64);
    }

    pub fn contains(&self, fd: RawFd) -> bool {
        self.0[fd as usize / 64] & (1 << (fd as usize % 64)) != 0
    }

    /// select(2) for reading: how many are ready. The set then holds these.
    pub fn select(&mut self, nfds: RawFd, milliseconds: i32) -> io::Result<usize> {
        let set = self.0.as_mut_ptr();
        // SAFETY: the kernel reads and writes as many words as hold `nfds` bits, which there are.
        unsafe { select_at(nfds, set, std::ptr::null_mut(), milliseconds) }
    }
}

/// select(2) of the sets at these addresses: for reading, and for writing.
///
/// # Safety
///
/// The kernel may write to them, as far as they are memory at all.
unsafe fn select_at(
    nfds: RawFd,
    readable: *mut u64,
    writable: *mut u64,
    milliseconds: i32,
) -> io::Result<usize> {
    let mut time = libc::timespec {
        tv_sec: i64::from(milliseconds / 1000),
        tv_nsec: i64::from(milliseconds % 1000) * 1_000_000,
    };
    let time: *mut libc::timespec = if milliseconds < 0 {
        std::ptr::null_mut()
    } else {
        &mut time
    };
    let none = std::ptr::null_mut::<u64>();
    // The system call that all machines have; without a signal mask.
    let number = libc::SYS_pselect6;
    // SAFETY: by the contract; the time lives through the call.
    let count = unsafe { libc::syscall(number, nfds, readable, writable, none, time, none) };
    check(count as i32).map(|count| count as usize)
}

/// select(2) of one file in the set for reading and the one for writing: what it returns.
pub fn select_both_ways(fd: &impl AsRawFd) -> io::Result<usize> {
    let number = fd.as_raw_fd();
    let mut sets = [Set::new(number as usize + 1), Set::new(number as usize + 1)];
    sets.iter_mut().for_each(|set| set.insert(number));
    let [readable, writable] = &mut sets;
    // SAFETY: both have room for so many bits.
    unsafe {
        select_at(
            number + 1,
            readable.0.as_mut_ptr(),
            writable.0.as_mut_ptr(),
            0,
        )
    }
}

const PAGE: usize = 4096;

/// Maps a page of a file, as programs do that share memory with the kernel.
pub fn map(fd: &impl AsRawFd) -> io::Result<()> {
    let none = std::ptr::null_mut();
    // SAFETY: a new mapping, at an address that the kernel chooses, which nobody uses.
    unsafe {
        let address = libc::mmap(
            none,
            PAGE,
            libc::PROT_READ,
            libc::MAP_SHARED,
            fd.as_raw_fd(),
            0,
        );
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        check(libc::munmap(address, PAGE)).map(drop)
    }
}

/// Blocks SIGIO in this thread and those that it starts, and gives a file to read it from.
pub fn take_sigio() -> io::Result<OwnedFd> {
    // SAFETY: the set lives through the calls; all zeroes is a valid one; the descriptor is new.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGIO);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        owned(libc::signalfd(
            -1,
            &set,
            libc::SFD_NONBLOCK | libc::SFD_CLOEXEC,
        ))
    }
}

/// Takes one SIGIO, if there is one.
pub fn sigio_came(signals: &OwnedFd) -> bool {
    read(signals, &mut [0; size_of::<libc::signalfd_siginfo>()]).is_ok()
}

/// Has SIGIO sent to this thread when a file becomes ready.
pub fn want_sigio(fd: &impl AsRawFd) -> io::Result<()> {
    const F_SETOWN_EX: i32 = 15;
    #[repr(C)]
    struct Owner {
        kind: i32,
        pid: i32,
    }
    // 0 is F_OWNER_TID.
    let owner = Owner {
        kind: 0,
        pid: thread_number(),
    };
    let fd = fd.as_raw_fd();
    // SAFETY: the owner lives through the call, and is as the kernel's struct f_owner_ex.
    unsafe {
        check(libc::fcntl(fd, F_SETOWN_EX, &owner))?;
        let flags = check(libc::fcntl(fd, libc::F_GETFL))?;
        check(libc::fcntl(fd, libc::F_SETFL, flags | libc::O_ASYNC)).map(drop)
    }
}

/// A handler that does nothing for SIGUSR1: so that it ends a system call, and not the process.
pub fn interrupt_with_sigusr1() -> io::Result<()> {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: all zeroes is a valid action, which the handler completes; it does nothing at all.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(i32) as usize;
        check(libc::sigaction(
            libc::SIGUSR1,
            &action,
            std::ptr::null_mut(),
        ))
        .map(drop)
    }
}

/// Sends SIGUSR1 to a thread of this process.
pub fn interrupt(tid: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGUSR1) };
    check(result as i32).map(drop)
}

/// The number of this thread.
pub fn thread_number() -> i32 {
    // SAFETY: it has no arguments, and cannot fail.
    unsafe { libc::gettid() }
}

/// Whether the kernel makes a context for asynchronous I/O: io_setup(2), of Linux 2.6.
pub fn has_aio() -> bool {
    let mut context = 0usize;
    // SAFETY: the context lives through the calls, and is destroyed.
    unsafe {
        let made = libc::syscall(libc::SYS_io_setup, 8, &mut context) == 0;
        if made {
            libc::syscall(libc::SYS_io_destroy, context);
        }
        made
    }
}

/// A ring of io_uring, with one buffer for one read at a time.
pub struct Ring {
    ring: io_uring::IoUring,
    buffer: Box<[u8; 64]>,
    waits: bool,
    /// How often io_uring_enter(2) was called.
    pub calls: usize,
}

impl Ring {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            ring: io_uring::IoUring::new(8)?,
            buffer: Box::new([0; 64]),
            waits: false,
            calls: 0,
        })
    }

    /// Hands over a read of a file.
    pub fn read(&mut self, fd: &impl AsRawFd) -> io::Result<()> {
        self.prepare(fd)?;
        self.calls += 1;
        self.ring.submit().map(drop)
    }

    /// Hands over a read, and waits for it, in one call.
    pub fn read_now(&mut self, fd: &impl AsRawFd) -> io::Result<Vec<u8>> {
        self.prepare(fd)?;
        self.finish()
    }

    fn prepare(&mut self, fd: &impl AsRawFd) -> io::Result<()> {
        if std::mem::replace(&mut self.waits, true) {
            return Err(io::Error::other("a read waits already"));
        }
        let fd = io_uring::types::Fd(fd.as_raw_fd());
        let read = io_uring::opcode::Read::new(fd, self.buffer.as_mut_ptr(), 64).build();
        // SAFETY: there is one read at a time, and nobody looks at the buffer, nor frees it, before it has
        // come back: `finish` waits for it, and so does `drop`.
        unsafe { self.ring.submission().push(&read) }.map_err(io::Error::other)
    }

    /// How many have come back.
    pub fn completions(&mut self) -> usize {
        self.ring.completion().len()
    }

    /// Waits until it has come back, and returns what was read.
    pub fn finish(&mut self) -> io::Result<Vec<u8>> {
        self.calls += 1;
        self.ring.submit_and_wait(1)?;
        let Some(completion) = self.ring.completion().next() else {
            return Err(io::Error::other("no completion"));
        };
        self.waits = false;
        let length = completion.result();
        if length < 0 {
            return Err(io::Error::from_raw_os_error(-length));
        }
        Ok(self.buffer[..length as usize].to_vec())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.waits {
            // The kernel may yet write to it, until the ring is gone: let it keep the memory.
            let buffer = std::mem::replace(&mut self.buffer, Box::new([0; 64]));
            Box::leak(buffer);
        }
    }
}

/// The shortest of many runs: the least that something takes.
pub fn shortest(mut run: impl FnMut() -> io::Result<()>) -> io::Result<Duration> {
    let mut least = Duration::MAX;
    for _ in 0..200 {
        let start = Instant::now();
        run()?;
        least = least.min(start.elapsed());
    }
    Ok(least)
}

/// How often this thread has gone to sleep by its own will.
pub fn sleeps() -> io::Result<i64> {
    // SAFETY: all zeroes is a valid value, which the call overwrites.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        check(libc::getrusage(libc::RUSAGE_THREAD, &mut usage))?;
        Ok(usage.ru_nvcsw)
    }
}
