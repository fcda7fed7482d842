// SPDX-License-Identifier: GPL-2.0
//! One random call after another.

use crate::count::{Count, Counter};
use crate::loopback::set_loopback;
use crate::memory::Memory;
use io_uring::{opcode, types, IoUring};
use libc::c_long;
use repoll::sys::*;
use repoll_testkit::random::Random;
use repoll_testkit::raw;
use repoll_testkit::signals::signal_this_process;

/// The first descriptor that the calls may open and close; those below are left alone.
const FIRST: usize = 3;
/// The end of the descriptors that the calls may open and close; those from here on are left alone.
pub const END: usize = 72;

/// A thread of the storm.
pub struct Caller<'a> {
    /// Determines the calls.
    pub random: Random,
    /// The memory that the calls point to.
    pub memory: &'a Memory,
    /// Counts its calls.
    pub counter: &'a Counter,
    /// Whether the network namespace is the storm's own.
    pub own_network: bool,
    /// Whether this is a child that was forked beside other threads: it may allocate nothing.
    pub child: bool,
    /// An io_uring.
    pub ring: Option<IoUring>,
    /// The numbers of instances, sources and other files at the time when they were opened.
    pub recent: [Recent; 3],
}

const INSTANCE: usize = 0;
const SOURCE: usize = 1;
const OTHER: usize = 2;

/// Some descriptors. Each may be another file by now.
#[derive(Clone, Copy, Default)]
pub struct Recent {
    numbers: [usize; 8],
    next: usize,
}

impl Recent {
    fn add(&mut self, fd: i64) {
        if let Ok(fd) = usize::try_from(fd) {
            self.numbers[self.next % 8] = fd;
            self.next += 1;
        }
    }
}

const EVENTS: [u32; 12] = [
    0x1,
    0x4,
    0x2,
    0x5,
    0x2000,
    0x10,
    0x8000_0001,
    0x4000_0001,
    0xc000_0005,
    0x1000_0001,
    0x9000_0005,
    0x2000_0001,
];
const SIZES: [usize; 9] = [0, 1, 8, 8, 16, 64, 300, 2048, 5000];
/// Time limits in milliseconds. A thread that waits without limit ends with its process.
const MILLISECONDS: [i64; 6] = [0, 0, 0, 1, 5, 100];

impl Caller<'_> {
    /// A system call.
    fn call(&self, number: c_long, a: [usize; 6]) -> i64 {
        self.counter.add(Count::All);
        // SAFETY: addresses are those of `Memory`, or of nothing; descriptors are the storm's own;
        // no call maps, unmaps or runs anything.
        unsafe { raw::syscall(number, a) }.map_or(-1, |result| result as i64)
    }

    fn fd(&mut self) -> usize {
        match self.random.below(60) {
            0 => usize::MAX,
            1 => 0x7fff_ffff,
            _ => FIRST + self.random.below(END - FIRST),
        }
    }

    /// A recent descriptor of this kind, or seldom any descriptor.
    fn one_of(&mut self, kind: usize) -> usize {
        if self.random.chance(15) {
            return self.fd();
        }
        let number = self.random.pick(&self.recent[kind].numbers);
        if number < FIRST {
            return self.fd();
        }
        number
    }

    fn nanoseconds(&mut self) -> i64 {
        match self.random.below(40) {
            0 => -1,
            1 => i64::MAX,
            2 => i64::MIN,
            _ => self.random.pick(&MILLISECONDS) * 1_000_000,
        }
    }

    fn word(&mut self) -> u64 {
        match self.random.below(4) {
            0 => 0,
            1 => 1 << self.random.below(64),
            2 => self.random.word(),
            _ => self.random.below(100) as u64,
        }
    }

    /// A time limit with these parts of a second; seldom a random address, which ends the call at
    /// once.
    fn limit(&mut self, parts: usize) -> usize {
        if self.random.chance(2) {
            return self.memory.anywhere(&mut self.random);
        }
        self.memory.place(&mut self.random, [0, parts])
    }

    fn path(&mut self, path: &'static [u8; 24]) -> usize {
        self.memory.put(&mut self.random, *path)
    }

    /// Makes one call.
    pub fn step(&mut self) {
        match self.random.below(100) {
            0..=5 => self.open(),
            6..=14 => self.make_file(),
            15..=58 => self.ask(),
            59..=74 => self.read_or_write(),
            75..=81 => self.wait_otherwise(),
            82..=86 => self.descriptors(),
            87..=89 => self.control(),
            90..=92 => self.pass(),
            93..=95 => self.ring(),
            96 => self.memory.let_go(),
            97 => self.signal(),
            98 => self.network(),
            _ => {
                self.call(libc::SYS_sched_yield, [0; 6]);
            }
        }
    }

    fn open(&mut self) {
        let kind = self.random.pick(&[INSTANCE, INSTANCE, SOURCE]);
        let path = if kind == INSTANCE {
            self.path(b"/dev/repoll\0\0\0\0\0\0\0\0\0\0\0\0\0")
        } else {
            self.path(b"/dev/repoll-source\0\0\0\0\0\0")
        };
        let rights = [libc::O_RDWR, libc::O_RDWR, libc::O_RDONLY, libc::O_WRONLY];
        let mut flags = self.random.pick(&rights);
        if self.random.chance(70) {
            flags |= libc::O_NONBLOCK;
        }
        let here = libc::AT_FDCWD as usize;
        let fd = self.call(libc::SYS_openat, [here, path, flags as usize, 0, 0, 0]);
        self.recent[kind].add(fd);
    }

    fn make_file(&mut self) {
        let nonblocking = (libc::O_NONBLOCK | libc::O_CLOEXEC) as usize;
        let pair = self.memory.room(&mut self.random, 8);
        let datagram = libc::SOCK_DGRAM as usize | nonblocking;
        let unix = libc::AF_UNIX as usize;
        match self.random.below(10) {
            0 | 1 => {
                let fd = self.call(libc::SYS_eventfd2, [0, nonblocking, 0, 0, 0, 0]);
                self.recent[OTHER].add(fd);
                fd
            }
            2 => self.call(libc::SYS_pipe2, [pair, nonblocking, 0, 0, 0, 0]),
            3 | 4 => self.call(libc::SYS_socketpair, [unix, datagram, 0, pair, 0, 0]),
            5 => {
                let fd = self.call(libc::SYS_timerfd_create, [1, nonblocking, 0, 0, 0, 0]);
                // Seldom, so that other calls get their turn.
                let often = 5_000_000 + self.random.below(50_000_000) as i64;
                let time = self.memory.put(&mut self.random, [0_i64, often, 0, often]);
                self.recent[OTHER].add(fd);
                self.call(libc::SYS_timerfd_settime, [fd as usize, 0, time, 0, 0, 0])
            }
            6 => {
                let set = self
                    .memory
                    .put(&mut self.random, 1_u64 << (libc::SIGUSR2 - 1));
                self.call(libc::SYS_signalfd4, [usize::MAX, set, 8, nonblocking, 0, 0])
            }
            7 => self.call(libc::SYS_inotify_init1, [nonblocking, 0, 0, 0, 0, 0]),
            8 => self.call(libc::SYS_epoll_create1, [0; 6]),
            _ => {
                let inet = libc::AF_INET as usize;
                let fd = self.call(libc::SYS_socket, [inet, datagram, 0, 0, 0, 0]);
                self.recent[OTHER].add(fd);
                let address = self.address();
                self.call(libc::SYS_bind, [fd as usize, address, 16, 0, 0, 0])
            }
        };
    }

    /// A socket address on the loopback.
    fn address(&mut self) -> usize {
        let port = 9000 + self.random.below(8) as u16;
        let [high, low] = port.to_be_bytes();
        let address = [2, 0, high, low, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0_u8];
        self.memory.put(&mut self.random, address)
    }

    /// A signal set and its size, usually none.
    fn mask(&mut self) -> (u64, u64) {
        if self.random.chance(80) {
            return (0, 0);
        }
        let set = self.word();
        let size = if self.random.chance(90) {
            8
        } else {
            self.word()
        };
        (self.memory.put(&mut self.random, set) as u64, size)
    }

    /// Room for counts and its size, usually none.
    fn counts(&mut self) -> (u64, u64) {
        if self.random.chance(70) {
            return (0, 0);
        }
        let full = size_of::<repoll_counts>() as u64;
        let size = if self.random.chance(80) {
            full
        } else {
            self.word()
        };
        (self.memory.room(&mut self.random, 128) as u64, size)
    }

    /// An ioctl of either device, on any descriptor.
    fn ask(&mut self) {
        let mut adds = false;
        let what = self.random.below(30);
        let fd = self.one_of(if what < 23 { INSTANCE } else { SOURCE });
        let (request, argument) = match what {
            0 => (REPOLL_IOCTL_NOP, self.memory.anywhere(&mut self.random)),
            1 | 2 => {
                let flags = self.random.pick(&[0, libc::O_CLOEXEC as u32, 1]);
                let argument = repoll_create { flags, __pad: 0 };
                (
                    REPOLL_IOCTL_CREATE,
                    self.memory.put(&mut self.random, argument),
                )
            }
            3..=13 => {
                let kind = self.random.pick(&[INSTANCE, SOURCE, OTHER, OTHER, OTHER]);
                let argument = repoll_ctl {
                    op: self.random.pick(&[1, 1, 1, 1, 2, 3, 3, 0]),
                    fd: self.one_of(kind) as i32,
                    events: self.random.pick(&EVENTS),
                    flags: u32::from(self.random.chance(1)),
                    data: self.word(),
                };
                adds = argument.op == libc::EPOLL_CTL_ADD;
                (
                    REPOLL_IOCTL_CTL,
                    self.memory.put(&mut self.random, argument),
                )
            }
            14..=18 => {
                let (sigmask, sigsetsize) = self.mask();
                let (counts, counts_size) = self.counts();
                let argument = repoll_wait {
                    events: self.memory.room(&mut self.random, 200) as u64,
                    maxevents: self.random.pick(&[1, 2, 16, 16, 200, 0, -1, i32::MAX]),
                    flags: u32::from(self.random.chance(1)),
                    timeout: self.nanoseconds(),
                    sigmask,
                    sigsetsize,
                    counts,
                    counts_size,
                };
                (
                    REPOLL_IOCTL_WAIT,
                    self.memory.put(&mut self.random, argument),
                )
            }
            19 | 20 => {
                let (sigmask, sigsetsize) = self.mask();
                let (counts, counts_size) = self.counts();
                let argument = repoll_poll {
                    fds: self.pollfds(),
                    nfds: self.random.pick(&[1, 3, 16, 16, 64, 0, 1 << 20, u32::MAX]),
                    flags: 0,
                    timeout: self.nanoseconds(),
                    sigmask,
                    sigsetsize,
                    counts,
                    counts_size,
                };
                (
                    REPOLL_IOCTL_POLL,
                    self.memory.put(&mut self.random, argument),
                )
            }
            21 | 22 => {
                let (sigmask, sigsetsize) = self.mask();
                let (counts, counts_size) = self.counts();
                let argument = repoll_select {
                    readfds: self.set(),
                    writefds: self.set(),
                    exceptfds: self.set(),
                    nfds: self.random.pick(&[1, 16, 64, 72, 128, 0, -1, i32::MAX]),
                    flags: 0,
                    timeout: self.nanoseconds(),
                    sigmask,
                    sigsetsize,
                    counts,
                    counts_size,
                };
                (
                    REPOLL_IOCTL_SELECT,
                    self.memory.put(&mut self.random, argument),
                )
            }
            23 | 24 => {
                let odd = self.random.chance(3);
                let argument = repoll_source_setup {
                    messages: if odd {
                        self.word() as u32
                    } else {
                        self.random.pick(&[1, 4, 16, 64])
                    },
                    message_size: if odd {
                        self.word() as u32
                    } else {
                        self.random.pick(&[16, 64, 1500])
                    },
                    flags: self.random.pick(&[0, 0, 1, 2]),
                    __pad: 0,
                };
                (
                    REPOLL_IOCTL_SOURCE_SETUP,
                    self.memory.put(&mut self.random, argument),
                )
            }
            25 => (
                REPOLL_IOCTL_SOURCE_STATUS,
                self.memory.room(&mut self.random, 64),
            ),
            26 => {
                let often = self
                    .random
                    .pick(&[0, 1, 5_000_000, 20_000_000, 20_000_000, u64::MAX]);
                let argument = repoll_source_timer {
                    period: often,
                    // The fastest timer ends soon.
                    count: if often == 1 {
                        100
                    } else {
                        self.random.pick(&[0, 1, 10])
                    },
                };
                (
                    REPOLL_IOCTL_SOURCE_TIMER_SET,
                    self.memory.put(&mut self.random, argument),
                )
            }
            27 => {
                let mut argument = repoll_source_attach {
                    ethertype: self
                        .random
                        .pick(&[0x800, 0x806, 0x86dd, 0x88b5, 3, 0x10000]),
                    ..Default::default()
                };
                let name: &[u8] =
                    self.random
                        .pick(&[&b"lo"[..], b"lo", b"eth0", b"0123456789abcdef"]);
                for (to, from) in argument.interface.iter_mut().zip(name) {
                    *to = *from as _;
                }
                (
                    REPOLL_IOCTL_SOURCE_ATTACH,
                    self.memory.put(&mut self.random, argument),
                )
            }
            28 => (REPOLL_IOCTL_SOURCE_DETACH, 0),
            _ => {
                // Unknown numbers and sizes, and ioctls of other devices.
                let request =
                    ((self.word() as u32) << 30) | ((self.word() as u32 & 0x3fff) << 16) | 0xb400;
                let number = self
                    .random
                    .pick(&[0, 1, 2, 3, 4, 5, 6, 0x20, 0x21, 0x22, 0x23, 0x25]);
                let others = [
                    libc::FIONREAD as u32,
                    libc::FIOASYNC as u32,
                    libc::FIONBIO as u32,
                ];
                let request = if self.random.chance(80) {
                    request | number
                } else {
                    self.random.pick(&others)
                };
                (request, self.memory.room(&mut self.random, 256))
            }
        };
        let result = self.call(libc::SYS_ioctl, [fd, request as usize, argument, 0, 0, 0]);
        if result >= 0 {
            self.counter.add(Count::Ours);
            match request {
                REPOLL_IOCTL_CTL if adds => self.counter.add(Count::Added),
                REPOLL_IOCTL_WAIT if result > 0 => self.counter.add(Count::Delivered),
                _ => {}
            }
        }
    }

    fn pollfds(&mut self) -> u64 {
        let mut fds = [[0_u32; 2]; 16];
        for fd in &mut fds {
            *fd = [self.fd() as u32, self.word() as u32 & 0xffff];
        }
        self.memory.put(&mut self.random, fds) as u64
    }

    fn set(&mut self) -> u64 {
        if self.random.chance(30) {
            return 0;
        }
        let words = [self.word(), self.word() & 0xff];
        self.memory.put(&mut self.random, words) as u64
    }

    fn read_or_write(&mut self) {
        let kind = self.random.pick(&[INSTANCE, SOURCE, SOURCE, OTHER, OTHER]);
        let (fd, size) = (self.one_of(kind), self.random.pick(&SIZES));
        let buffer = self.memory.room(&mut self.random, size);
        let parts = [buffer, size, self.memory.room(&mut self.random, 8), 8];
        let parts = self.memory.put(&mut self.random, parts);
        // Without a position, so that pipes and sources take it; RWF_NOWAIT.
        let nowhere = usize::MAX;
        match self.random.below(8) {
            0..=2 => self.call(libc::SYS_read, [fd, buffer, size, 0, 0, 0]),
            3..=5 => self.call(libc::SYS_write, [fd, buffer, size, 0, 0, 0]),
            6 => self.call(libc::SYS_preadv2, [fd, parts, 2, nowhere, nowhere, 8]),
            _ => self.call(libc::SYS_pwritev2, [fd, parts, 2, nowhere, nowhere, 8]),
        };
    }

    /// The kernel's own multiplexers.
    fn wait_otherwise(&mut self) {
        let kind = self.random.pick(&[INSTANCE, SOURCE, OTHER]);
        let (fd, other) = (self.fd(), self.one_of(kind));
        let time = self.random.pick(&MILLISECONDS) as usize;
        match self.random.below(6) {
            0 | 1 => {
                let op = self.random.pick(&[1, 1, 2, 3]);
                let event = libc::epoll_event {
                    events: self.random.pick(&EVENTS),
                    u64: other as u64,
                };
                let event = self.memory.put(&mut self.random, event);
                self.call(libc::SYS_epoll_ctl, [fd, op, other, event, 0, 0])
            }
            2 => {
                let size = 16 * size_of::<libc::epoll_event>();
                let events = self.memory.room(&mut self.random, size);
                self.call(libc::SYS_epoll_pwait, [fd, events, 16, time, 0, 0])
            }
            3 | 4 => {
                let fds = self.pollfds() as usize;
                // poll(2) resumes after a signal, by a restart block.
                #[cfg(target_arch = "x86_64")]
                if self.random.chance(50) {
                    self.call(libc::SYS_poll, [fds, 16, time, 0, 0, 0]);
                    return;
                }
                let limit = self.limit(time * 1_000_000);
                self.call(libc::SYS_ppoll, [fds, 16, limit, 0, 0, 0])
            }
            _ => {
                let sets = [self.set() as usize, self.set() as usize];
                #[cfg(target_arch = "x86_64")]
                if self.random.chance(50) {
                    let limit = self.limit(time * 1000);
                    self.call(libc::SYS_select, [72, sets[0], sets[1], 0, limit, 0]);
                    return;
                }
                let limit = self.limit(time * 1_000_000);
                self.call(libc::SYS_pselect6, [72, sets[0], sets[1], 0, limit, 0])
            }
        };
    }

    fn descriptors(&mut self) {
        let (fd, other) = (self.fd(), self.fd());
        match self.random.below(8) {
            0..=3 => self.call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]),
            4 => self.call(libc::SYS_dup, [fd, 0, 0, 0, 0, 0]),
            5 => {
                // The storm must not close other descriptors.
                if !(FIRST..END).contains(&other) {
                    return;
                }
                self.call(libc::SYS_dup3, [fd, other, 0, 0, 0, 0])
            }
            6 => {
                let last = (FIRST + self.random.below(6)).min(END - 1);
                self.call(libc::SYS_close_range, [FIRST, last, 0, 0, 0, 0])
            }
            _ => {
                // Mapping is refused; if it were not, the mapping would do no harm.
                let flags = libc::MAP_SHARED as usize;
                self.call(libc::SYS_mmap, [0, 4096, 1, flags, fd, 0])
            }
        };
    }

    fn control(&mut self) {
        let fd = self.fd();
        let flags = [0, libc::O_NONBLOCK, libc::O_ASYNC | libc::O_NONBLOCK];
        let (command, argument) = match self.random.below(5) {
            0 | 1 => (libc::F_SETFL, self.random.pick(&flags) as usize),
            2 => (libc::F_SETOWN, std::process::id() as usize),
            // F_SETSIG
            3 => (10, libc::SIGURG as usize),
            _ => (libc::F_GETFL, 0),
        };
        self.call(libc::SYS_fcntl, [fd, command as usize, argument, 0, 0, 0]);
    }

    /// Sends a descriptor in a message, or receives one.
    fn pass(&mut self) {
        let (fd, passed) = (self.fd(), self.fd());
        let control = [20_u64, 1 | (1 << 32), passed as u32 as u64];
        let control = self.memory.put(&mut self.random, control);
        let part = [self.memory.room(&mut self.random, 8), 8];
        let part = self.memory.put(&mut self.random, part);
        let header = [0, 0, part, 1, control, 24, 0];
        let header = self.memory.put(&mut self.random, header);
        let number = self.random.pick(&[libc::SYS_sendmsg, libc::SYS_recvmsg]);
        self.call(number, [fd, header, libc::MSG_DONTWAIT as usize, 0, 0, 0]);
    }

    fn ring(&mut self) {
        if self.child {
            return;
        }
        let Some(ring) = self.ring.as_mut().filter(|_| !self.random.chance(5)) else {
            self.ring = IoUring::new(8).ok();
            return;
        };
        let fd = types::Fd((FIRST + self.random.below(END - FIRST)) as i32);
        let buffer = self.memory.room(&mut self.random, 64) as *mut u8;
        let entry = match self.random.below(5) {
            0 | 1 => opcode::PollAdd::new(fd, 0x5).build(),
            2 => opcode::PollAdd::new(fd, 0x1).multi(true).build(),
            3 => opcode::Read::new(fd, buffer, 64).build(),
            _ => opcode::Write::new(fd, buffer, 64).build(),
        };
        // SAFETY: the buffer is `Memory`'s, which stays mapped, or nothing's.
        let _ = unsafe { ring.submission().push(&entry) };
        let _ = ring.submit();
        ring.completion().sync();
        ring.completion().for_each(drop);
    }

    fn signal(&mut self) {
        let signal = self
            .random
            .pick(&[libc::SIGUSR1, libc::SIGUSR2, libc::SIGURG]);
        // The process has handlers for these.
        let _ = signal_this_process(signal);
    }

    /// Sends a datagram over the loopback, or takes the loopback down or up.
    fn network(&mut self) {
        let fd = self.fd();
        if self.own_network && self.random.chance(20) {
            set_loopback(&(fd as i32), self.random.chance(60));
            return;
        }
        let (buffer, address) = (self.memory.room(&mut self.random, 100), self.address());
        let now = libc::MSG_DONTWAIT as usize;
        self.call(libc::SYS_sendto, [fd, buffer, 100, now, address, 16]);
    }
}
