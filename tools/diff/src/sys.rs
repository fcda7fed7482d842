// SPDX-License-Identifier: GPL-2.0
//! System calls. The unsafe code of the tester lives here.

use crate::execute::Side;
use anyhow::{ensure, Result};
use repoll::sys::{
    repoll_create, repoll_ctl, repoll_poll, repoll_select, repoll_wait, REPOLL_IOCTL_CREATE,
    REPOLL_IOCTL_CTL, REPOLL_IOCTL_POLL, REPOLL_IOCTL_SELECT, REPOLL_IOCTL_WAIT,
};
use repoll::{Event, EventFlags};
use repoll_testkit::user_space::end_of_user_space;
use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::RawFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

/// The result of a system call, -1 turned into the error that it stands for.
fn check<T: PartialOrd + From<i8>>(result: T) -> io::Result<T> {
    if result < T::from(0) {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// How much memory there is for events: whole pages, whatever their size.
const BYTES: usize = 64 * 1024;
/// How many events there is room for.
pub const ROOM: usize = BYTES / size_of::<Event>();

/// Memory that the kernel writes events to, at an address that is the same in every run, followed
/// by as much that can't be accessed. One for each task that waits.
pub struct Memory {
    start: usize,
    end_of_user_space: usize,
}

impl Memory {
    /// Maps the memory number `number`.
    pub fn map(number: usize) -> Result<Self> {
        let address = 0x1000_0000_0000 + number * 4 * BYTES;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: a new mapping, where nothing is; its second half is made inaccessible.
        unsafe {
            let start = libc::mmap(address as *mut _, 2 * BYTES, protection, flags, -1, 0);
            ensure!(start as usize == address, "cannot map memory");
            let second = (address + BYTES) as *mut _;
            check(libc::mprotect(second, BYTES, libc::PROT_NONE))?;
        }
        Ok(Self {
            start: address,
            end_of_user_space: end_of_user_space()?,
        })
    }

    /// Where there is room for [`ROOM`] events.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Where there is room for `count` events and four bytes.
    pub fn before_end(&self, count: usize) -> usize {
        self.start + BYTES - (count % ROOM) * size_of::<Event>() - 4
    }

    /// Just below the end of user space, with room for a few events.
    pub fn top(&self) -> usize {
        self.end_of_user_space - 0x2000
    }

    /// Reads back what was written at one of these addresses; nothing if it is elsewhere.
    pub fn events(&self, address: usize, count: usize) -> Option<Vec<Event>> {
        let end = address.checked_add(count.checked_mul(size_of::<Event>())?)?;
        if address < self.start || end > self.start + BYTES {
            return None;
        }
        let events = (0..count)
            // SAFETY: inside of the mapping, which lives as long as the process.
            .map(|n| unsafe { ((address as *const Event).add(n)).read_unaligned() })
            .collect();
        Some(events)
    }
}

/// Makes an instance of the C epoll.
pub fn epoll_create() -> io::Result<RawFd> {
    // SAFETY: the call takes a number only.
    check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

/// Makes an instance of repoll from another one.
pub fn repoll_create(template: RawFd) -> io::Result<RawFd> {
    let argument = repoll_create {
        flags: libc::O_CLOEXEC as u32,
        ..Default::default()
    };
    // SAFETY: the request only reads a `repoll_create`.
    check(unsafe { libc::ioctl(template, REPOLL_IOCTL_CREATE as _, &argument) })
}

/// epoll_ctl(2).
pub fn epoll_ctl(ep: RawFd, op: i32, fd: RawFd, events: EventFlags, data: u64) -> io::Result<i32> {
    let mut event = libc::epoll_event {
        events: events.bits(),
        u64: data,
    };
    // SAFETY: `event` lives through the call.
    check(unsafe { libc::epoll_ctl(ep, op, fd, &mut event) })
}

/// The same of repoll.
pub fn repoll_ctl(ep: RawFd, op: i32, fd: RawFd, events: EventFlags, data: u64) -> io::Result<i32> {
    let argument = repoll_ctl {
        op,
        fd,
        events: events.bits(),
        flags: 0,
        data,
    };
    // SAFETY: the request only reads a `repoll_ctl`.
    check(unsafe { libc::ioctl(ep, REPOLL_IOCTL_CTL as _, &argument) })
}

/// epoll_wait(2) into a [`Memory`], or to an address where there is nothing.
pub fn epoll_wait(ep: RawFd, address: usize, max: i32, milliseconds: i32) -> io::Result<i32> {
    // SAFETY: the address is in memory that only the kernel writes to, or not mapped.
    check(unsafe { libc::epoll_wait(ep, address as *mut _, max, milliseconds) })
}

/// The same of repoll.
pub fn repoll_wait(ep: RawFd, address: usize, max: i32, milliseconds: i32) -> io::Result<i32> {
    let argument = repoll_wait {
        events: address as u64,
        maxevents: max,
        timeout: i64::from(milliseconds).saturating_mul(1_000_000),
        ..Default::default()
    };
    // SAFETY: the request reads a `repoll_wait`; for the address see `epoll_wait`.
    check(unsafe { libc::ioctl(ep, REPOLL_IOCTL_WAIT as _, &argument) })
}

/// open(2).
pub fn open(path: &CStr, flags: i32) -> io::Result<RawFd> {
    let flags = flags | libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: `path` lives through the call.
    check(unsafe { libc::open(path.as_ptr(), flags, 0o600) })
}

/// mkfifo(3), opened for reading and writing, its name removed.
pub fn fifo(path: &CStr) -> io::Result<RawFd> {
    // SAFETY: `path` lives through the calls.
    unsafe {
        libc::unlink(path.as_ptr());
        check(libc::mkfifo(path.as_ptr(), 0o600))?;
        let fd = open(path, libc::O_RDWR);
        libc::unlink(path.as_ptr());
        fd
    }
}

/// close(2).
pub fn close(fd: RawFd) -> io::Result<i32> {
    // SAFETY: descriptors are numbers here, and nobody owns one.
    check(unsafe { libc::close(fd) })
}

/// Closes all descriptors from `first` to `last`.
pub fn close_range(first: RawFd, last: RawFd) {
    // SAFETY: as `close`.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

/// dup2(2).
pub fn dup(old: RawFd, new: RawFd) -> io::Result<i32> {
    // SAFETY: as `close`.
    check(unsafe { libc::dup2(old, new) })
}

/// Another descriptor, the lowest from `from` on.
pub fn dup_above(old: RawFd, from: RawFd) -> io::Result<i32> {
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::fcntl(old, libc::F_DUPFD_CLOEXEC, from) })
}

/// write(2).
pub fn write(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` may be read for its length.
    check(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) }).map(|n| n as usize)
}

/// read(2).
pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` may be written for its length.
    check(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) }).map(|n| n as usize)
}

/// poll(2) for everything, on one descriptor.
pub fn poll(fd: RawFd, events: i16, milliseconds: i32) -> io::Result<i16> {
    let mut one = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    // SAFETY: `one` is an array of one.
    check(unsafe { libc::poll(&mut one, 1, milliseconds) })?;
    Ok(one.revents)
}

/// eventfd(2).
pub fn eventfd(flags: i32) -> io::Result<RawFd> {
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::eventfd(0, flags | libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })
}

/// pipe2(2).
pub fn pipe(flags: i32) -> io::Result<[RawFd; 2]> {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for two.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), flags | libc::O_CLOEXEC) })?;
    Ok(fds)
}

/// Makes buffers small, so that they are full soon.
fn small_buffers(fd: RawFd) {
    let size: i32 = 4096;
    for option in [libc::SO_SNDBUF, libc::SO_RCVBUF] {
        // SAFETY: `size` lives through the call. An error does no harm.
        unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_SOCKET,
                option,
                std::ptr::from_ref(&size).cast(),
                size_of::<i32>() as u32,
            )
        };
    }
}

/// socketpair(2) of Unix sockets.
pub fn socketpair(kind: i32) -> io::Result<[RawFd; 2]> {
    let mut fds = [0; 2];
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: `fds` has room for two.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
    fds.iter().for_each(|&fd| small_buffers(fd));
    Ok(fds)
}

/// An address of a socket.
pub struct Address {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Address {
    /// What a socket is bound to.
    pub fn of(fd: RawFd) -> io::Result<Self> {
        // SAFETY: all zeroes is a valid value; the length says how much room there is.
        unsafe {
            let mut address = Self {
                storage: std::mem::zeroed(),
                length: size_of::<libc::sockaddr_storage>() as u32,
            };
            let storage = std::ptr::from_mut(&mut address.storage).cast();
            check(libc::getsockname(fd, storage, &mut address.length))?;
            Ok(address)
        }
    }

    /// connect(2).
    pub fn connect(&self, fd: RawFd) -> io::Result<i32> {
        let storage = std::ptr::from_ref(&self.storage).cast();
        // SAFETY: the address lives through the call.
        check(unsafe { libc::connect(fd, storage, self.length) })
    }
}

/// socket(2) of the Internet, bound to a free port of the loopback interface.
pub fn internet_socket(kind: i32) -> io::Result<RawFd> {
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: all zeroes is a valid address, and is filled in; it lives through the call.
    unsafe {
        let fd = check(libc::socket(libc::AF_INET, kind, 0))?;
        small_buffers(fd);
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        address.sin_family = libc::AF_INET as u16;
        address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        let bound = check(libc::bind(
            fd,
            std::ptr::from_ref(&address).cast(),
            size_of::<libc::sockaddr_in>() as u32,
        ));
        if let Err(error) = bound {
            libc::close(fd);
            return Err(error);
        }
        Ok(fd)
    }
}

/// socket(2) of the Unix family, for streams.
pub fn unix_socket() -> io::Result<RawFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })
}

/// Binds a Unix socket to a name that the kernel chooses, and listens.
pub fn listen_unix(fd: RawFd) -> io::Result<i32> {
    let family = libc::AF_UNIX as u16;
    // SAFETY: an address of only the family has the length of the family.
    check(unsafe { libc::bind(fd, std::ptr::from_ref(&family).cast(), 2) })?;
    listen(fd, 2)
}

/// listen(2).
pub fn listen(fd: RawFd, backlog: i32) -> io::Result<i32> {
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::listen(fd, backlog) })
}

/// accept4(2).
pub fn accept(fd: RawFd) -> io::Result<RawFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no address is asked for.
    check(unsafe { libc::accept4(fd, null_mut(), null_mut(), flags) })
}

/// shutdown(2).
pub fn shutdown(fd: RawFd, how: i32) -> io::Result<i32> {
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::shutdown(fd, how) })
}

/// send(2) of one byte out of band.
pub fn send_urgent(fd: RawFd) -> io::Result<isize> {
    let byte = b"!";
    let flags = libc::MSG_OOB | libc::MSG_NOSIGNAL;
    // SAFETY: `byte` lives through the call.
    check(unsafe { libc::send(fd, byte.as_ptr().cast(), 1, flags) })
}

/// Whether this is a Unix socket.
pub fn is_unix_socket(fd: RawFd) -> bool {
    let mut domain: i32 = 0;
    let mut length = size_of::<i32>() as u32;
    // SAFETY: `domain` has room for `length` bytes.
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_DOMAIN,
            std::ptr::from_mut(&mut domain).cast(),
            &mut length,
        )
    };
    result == 0 && domain == libc::AF_UNIX
}

#[repr(C, align(8))]
struct Control([u8; 64]);

/// Sends a descriptor with one byte.
pub fn send_descriptor(via: RawFd, fd: RawFd) -> io::Result<isize> {
    let mut control = Control([0; 64]);
    let mut byte = [0u8; 1];
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    // SAFETY: the message points to what lives through the call, and `control` has room for a
    // header and one descriptor.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(fd);
        check(libc::sendmsg(via, &message, libc::MSG_NOSIGNAL))
    }
}

/// Receives one byte, and a descriptor if one comes with it.
pub fn receive_descriptor(via: RawFd) -> io::Result<Option<RawFd>> {
    let mut control = Control([0; 64]);
    let mut byte = [0u8; 1];
    let mut part = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    // SAFETY: as in `send_descriptor`; a header is only looked at if the kernel wrote one.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        check(libc::recvmsg(via, &mut message, libc::MSG_CMSG_CLOEXEC))?;
        let header = libc::CMSG_FIRSTHDR(&message);
        if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
            return Ok(None);
        }
        Ok(Some(
            libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned(),
        ))
    }
}

/// timerfd_create(2) on the monotonic clock.
pub fn timer() -> io::Result<RawFd> {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })
}

/// Lets a timer expire at once.
pub fn expire(fd: RawFd) -> io::Result<i32> {
    // SAFETY: all zeroes is a valid setting; it lives through the call.
    unsafe {
        let mut setting: libc::itimerspec = std::mem::zeroed();
        setting.it_value.tv_nsec = 1;
        check(libc::timerfd_settime(fd, 0, &setting, null_mut()))
    }
}

/// The set that has only SIGUSR1.
fn usr1() -> libc::sigset_t {
    // SAFETY: all zeroes is a valid value, which sigemptyset makes the empty set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGUSR1);
        set
    }
}

/// signalfd(2) of SIGUSR1.
pub fn signalfd() -> io::Result<RawFd> {
    let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
    // SAFETY: the set lives through the call.
    check(unsafe { libc::signalfd(-1, &usr1(), flags) })
}

/// Sends SIGUSR1 to this process.
pub fn raise() -> io::Result<i32> {
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) })
}

/// Takes back a SIGUSR1 that is pending.
pub fn forget_signals() {
    // SAFETY: all zeroes is a valid time; set and time live through the call.
    unsafe {
        let none: libc::timespec = std::mem::zeroed();
        while libc::sigtimedwait(&usr1(), null_mut(), &none) >= 0 {}
    }
}

/// inotify(7) for changes of attributes of the file at `path`.
pub fn inotify(path: &CStr) -> io::Result<RawFd> {
    // SAFETY: `path` lives through the call.
    unsafe {
        let fd = check(libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC))?;
        libc::inotify_add_watch(fd, path.as_ptr(), libc::IN_ATTRIB);
        Ok(fd)
    }
}

/// Changes the attributes of the file at `path`.
pub fn touch(path: &CStr) -> io::Result<i32> {
    // SAFETY: `path` lives through the call.
    check(unsafe { libc::chmod(path.as_ptr(), 0o600) })
}

/// pidfd_open(2) of this process.
pub fn pidfd() -> io::Result<RawFd> {
    // SAFETY: the calls take numbers only.
    check(unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) }).map(|fd| fd as RawFd)
}

/// fork(2): what it returned.
pub fn fork() -> io::Result<libc::pid_t> {
    // SAFETY: the child only does what needs no other thread: system calls, and memory that the
    // C library keeps usable after fork.
    let pid = check(unsafe { libc::fork() })?;
    if pid == 0 {
        // SAFETY: the call takes numbers only.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    }
    Ok(pid)
}

/// Ends this process without running exit handlers.
pub fn exit() -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(0) }
}

/// Waits for the end of a child.
pub fn reap(pid: libc::pid_t) {
    // SAFETY: no status is asked for.
    while unsafe { libc::waitpid(pid, null_mut(), 0) } < 0
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

/// A thread, as the kernel numbers it.
pub fn thread_id() -> libc::pid_t {
    // SAFETY: the call takes nothing.
    unsafe { libc::gettid() }
}

/// Sends SIGUSR2, whose handler does nothing, to a thread of this process.
pub fn interrupt(thread: libc::pid_t) {
    // SAFETY: the call takes numbers only.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR2) };
}

/// Makes the calling thread one of real time, which only gives way when it sleeps, or an
/// ordinary one again.
pub fn real_time(on: bool) {
    let (policy, priority) = if on {
        (libc::SCHED_FIFO, 10)
    } else {
        (libc::SCHED_OTHER, 0)
    };
    // SAFETY: all zeroes is a valid value; it lives through the call.
    unsafe {
        let mut parameter: libc::sched_param = std::mem::zeroed();
        parameter.sched_priority = priority;
        libc::sched_setscheduler(0, policy, &parameter);
    }
}

/// Keeps the calling thread on the first CPU.
pub fn stay_on_first_cpu() {
    // SAFETY: all zeroes is the empty set; it lives through the call.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// Blocks SIGUSR1, catches SIGUSR2, ignores SIGPIPE, for all threads to come; gives up
/// `CAP_BLOCK_SUSPEND`, without which EPOLLWAKEUP is ignored by both sides.
pub fn prepare_process() -> Result<()> {
    extern "C" fn nothing(_: i32) {}
    const VERSION: u32 = 0x2008_0522;
    const BLOCK_SUSPEND: u32 = 1 << (36 - 32);
    // SAFETY: all arguments live through the calls; the handler may run at any time; capget and
    // capset take a header of two words and, in this version, two times three words.
    unsafe {
        check(libc::pthread_sigmask(libc::SIG_BLOCK, &usr1(), null_mut()))?;
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(i32) as usize;
        check(libc::sigaction(libc::SIGUSR2, &action, null_mut()))?;
        action.sa_sigaction = count as extern "C" fn(i32) as usize;
        for side in [Side::Epoll, Side::Repoll] {
            check(libc::sigaction(signal_of(side), &action, null_mut()))?;
        }
        let header = [VERSION, 0];
        let mut sets = [[0u32; 3]; 2];
        check(libc::syscall(libc::SYS_capget, &header, &mut sets))?;
        sets[1].iter_mut().for_each(|set| *set &= !BLOCK_SUSPEND);
        check(libc::syscall(libc::SYS_capset, &header, &sets))?;
    }
    Ok(())
}

/// Lets others run, on the CPU where this thread is.
pub fn give_way() {
    // SAFETY: the call takes nothing.
    unsafe { libc::sched_yield() };
}

/// The signal that [`Blocked`] sends for a side.
fn signal_of(side: Side) -> i32 {
    match side {
        Side::Epoll => libc::SIGRTMIN(),
        Side::Repoll => libc::SIGRTMIN() + 1,
    }
}

static HANDLED: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];

extern "C" fn count(signal: i32) {
    let number = (signal - libc::SIGRTMIN()) as usize;
    if let Some(counter) = HANDLED.get(number) {
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// How often the signal of a side was handled.
pub fn handled(side: Side) -> u32 {
    HANDLED[side as usize].load(Ordering::SeqCst)
}

/// The set of both signals, of SIGUSR1 too.
fn both_signals() -> libc::sigset_t {
    let mut set = usr1();
    for side in [Side::Epoll, Side::Repoll] {
        // SAFETY: the set is a valid one.
        unsafe { libc::sigaddset(&mut set, signal_of(side)) };
    }
    set
}

/// The mask for a wait: both signals are blocked, or all but the side's.
pub fn mask(side: Side, open: bool) -> libc::sigset_t {
    let mut set = both_signals();
    if open {
        // SAFETY: the set is a valid one.
        unsafe { libc::sigdelset(&mut set, signal_of(side)) };
    }
    set
}

/// Whether the side's signal is pending, and blocked, in this thread.
pub fn is_pending(side: Side) -> bool {
    // SAFETY: all zeroes is a valid set; the pointers live through the calls.
    unsafe {
        let mut pending: libc::sigset_t = std::mem::zeroed();
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        libc::sigpending(&mut pending);
        libc::pthread_sigmask(libc::SIG_BLOCK, null_mut(), &mut blocked);
        let signal = signal_of(side);
        libc::sigismember(&pending, signal) == 1 && libc::sigismember(&blocked, signal) == 1
    }
}

/// While it lives, both signals are blocked in this thread; they are sent to it at the start.
pub struct Blocked;

impl Blocked {
    /// Blocks and sends.
    pub fn new() -> Self {
        // SAFETY: the set lives through the call; the others take numbers only.
        unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &both_signals(), null_mut());
            for side in [Side::Epoll, Side::Repoll] {
                let (process, signal) = (libc::getpid(), signal_of(side));
                libc::syscall(libc::SYS_tgkill, process, libc::gettid(), signal);
            }
        }
        Self
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let mut set = both_signals();
        // SAFETY: the set lives through the calls, and is a valid one.
        unsafe {
            libc::sigdelset(&mut set, libc::SIGUSR1);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, null_mut());
        }
    }
}

/// epoll_pwait(2).
pub fn epoll_pwait(
    ep: RawFd,
    address: usize,
    max: i32,
    milliseconds: i32,
    mask: &libc::sigset_t,
) -> io::Result<i32> {
    // SAFETY: as `epoll_wait`; the mask lives through the call.
    check(unsafe { libc::epoll_pwait(ep, address as *mut _, max, milliseconds, mask) })
}

/// The same of repoll.
pub fn repoll_pwait(
    ep: RawFd,
    address: usize,
    max: i32,
    milliseconds: i32,
    mask: &libc::sigset_t,
) -> io::Result<i32> {
    let argument = repoll_wait {
        events: address as u64,
        maxevents: max,
        timeout: i64::from(milliseconds) * 1_000_000,
        sigmask: std::ptr::from_ref(mask) as u64,
        sigsetsize: 8,
        ..Default::default()
    };
    // SAFETY: as `repoll_wait`; the mask lives through the call.
    check(unsafe { libc::ioctl(ep, REPOLL_IOCTL_WAIT as _, &argument) })
}

/// A set of descriptors for select(2).
pub type FdSet = [u64; 16];

/// The address of a mask and its size, if there is one.
fn address_of(mask: Option<&libc::sigset_t>) -> [usize; 2] {
    [
        mask.map_or(0, |mask| std::ptr::from_ref(mask) as usize),
        size_of::<u64>(),
    ]
}

fn after(milliseconds: u32) -> libc::timespec {
    libc::timespec {
        tv_sec: 0,
        tv_nsec: i64::from(milliseconds) * 1_000_000,
    }
}

/// ppoll(2): the kernel's own, or that of the instance `ours`.
pub fn ppoll(
    ours: Option<RawFd>,
    fds: &mut [libc::pollfd],
    milliseconds: u32,
    mask: Option<&libc::sigset_t>,
) -> io::Result<i32> {
    let [mask, size] = address_of(mask);
    let mut time = after(milliseconds);
    let Some(ours) = ours else {
        let (array, count) = (fds.as_mut_ptr(), fds.len());
        // SAFETY: array, time and mask live through the call.
        let result = unsafe { libc::syscall(libc::SYS_ppoll, array, count, &mut time, mask, size) };
        return check(result as i32);
    };
    let mut argument = repoll_poll {
        fds: fds.as_mut_ptr() as u64,
        nfds: fds.len() as u32,
        timeout: time.tv_nsec,
        sigmask: mask as u64,
        sigsetsize: size as u64,
        ..Default::default()
    };
    // SAFETY: the request reads and writes a `repoll_poll`; array and mask live through the call.
    let result = unsafe { libc::ioctl(ours, REPOLL_IOCTL_POLL as _, &mut argument) };
    check(result)
}

/// pselect(2), likewise.
pub fn pselect(
    ours: Option<RawFd>,
    nfds: i32,
    sets: &mut [FdSet; 3],
    milliseconds: u32,
    mask: Option<&libc::sigset_t>,
) -> io::Result<i32> {
    let mask = address_of(mask);
    let mut time = after(milliseconds);
    let at = sets.each_mut().map(|set| set.as_mut_ptr());
    let Some(ours) = ours else {
        let [read, write, except] = at;
        let call = libc::SYS_pselect6;
        // SAFETY: sets, time and mask live through the call; the sets have room for `nfds` bits, or
        // for what the table of descriptors has.
        let result = unsafe { libc::syscall(call, nfds, read, write, except, &mut time, &mask) };
        return check(result as i32);
    };
    let [readfds, writefds, exceptfds] = at.map(|set| set as u64);
    let mut argument = repoll_select {
        readfds,
        writefds,
        exceptfds,
        nfds,
        timeout: time.tv_nsec,
        sigmask: mask[0] as u64,
        sigsetsize: mask[1] as u64,
        ..Default::default()
    };
    // SAFETY: the request reads and writes a `repoll_select`; the rest as above.
    let result = unsafe { libc::ioctl(ours, REPOLL_IOCTL_SELECT as _, &mut argument) };
    check(result)
}
