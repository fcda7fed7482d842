// SPDX-License-Identifier: GPL-2.0
//! A process of the storm: who it is, where, and its threads.

use crate::calls::{Caller, END};
use crate::memory::Memory;
use repoll_testkit::random::Random;
use repoll_testkit::user_space::end_of_user_space;
use std::fs;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const THREADS: u64 = 3;
/// Users who are not root.
pub const USERS: [u32; 2] = [4711, 4712];

/// Who a process is, and where.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// root.
    Root,
    /// A user without any right.
    User(u32),
    /// A user who is root in namespaces of their own.
    Namespaces(u32),
    /// root in a network, a time, a process and a mount namespace.
    Elsewhere,
}

/// In turn.
pub const ROLES: [Role; 6] = [
    Role::Root,
    Role::User(USERS[0]),
    Role::Namespaces(USERS[0]),
    Role::Elsewhere,
    Role::User(USERS[1]),
    Role::User(USERS[0]),
];

/// The things that are counted, over all processes.
#[derive(Clone, Copy)]
pub enum Count {
    /// Calls.
    All,
    /// Ioctls of ours that succeeded.
    Ours,
    /// Watches that were added.
    Added,
    /// WAITs that had an event.
    Delivered,
}

/// The counts.
pub struct Counter(*const [AtomicU64; 4]);

// SAFETY: it points to atomics in shared memory that is never unmapped.
unsafe impl Send for Counter {}
// SAFETY: the same.
unsafe impl Sync for Counter {}

impl Counter {
    /// Zero. `None` if there is no memory.
    pub fn new() -> Option<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping.
        let page = unsafe { libc::mmap(null_mut(), 4096, rights, flags, -1, 0) };
        (page != libc::MAP_FAILED).then_some(Self(page.cast()))
    }

    fn of(&self, count: Count) -> &AtomicU64 {
        // SAFETY: they are mapped, zeroed, and used as atomics alone.
        unsafe { &(&*self.0)[count as usize] }
    }

    /// The number so far.
    pub fn get(&self, count: Count) -> u64 {
        self.of(count).load(Relaxed)
    }

    /// One more.
    pub fn add(&self, count: Count) {
        self.of(count).fetch_add(1, Relaxed);
    }
}

/// fork(2). The child does `body` and ends; it ends with its parent, too.
///
/// A child of a process with several threads must not allocate.
fn fork(body: impl FnOnce()) -> libc::pid_t {
    // SAFETY: what the child does is the caller's business; it ends without exit handlers.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            body();
            libc::_exit(0);
        }
        pid
    }
}

/// Begins a process, a group of its own, that goes on until it is killed. Only to be called while
/// the process has one thread.
pub fn start(role: Role, random: Random, counter: &Counter) -> libc::pid_t {
    fork(|| {
        // SAFETY: the calls take numbers only.
        unsafe { libc::setpgid(0, 0) };
        become_somebody(role);
        match role {
            Role::Namespaces(_) | Role::Elsewhere => {
                // Children are in the new process and time namespaces.
                let child = fork(|| rage(role, random, counter));
                // SAFETY: no status is asked for.
                unsafe { libc::waitpid(child, null_mut(), 0) };
            }
            Role::Root | Role::User(_) => rage(role, random, counter),
        }
    })
}

fn become_somebody(role: Role) {
    // 0x80 is CLONE_NEWTIME.
    let spaces = libc::CLONE_NEWNET | libc::CLONE_NEWPID | libc::CLONE_NEWNS | 0x80;
    // A failure here makes a process of another kind, which is as good.
    // SAFETY: the calls take numbers only.
    unsafe {
        match role {
            Role::Root => {}
            Role::User(id) => {
                libc::setgid(id);
                libc::setuid(id);
            }
            Role::Namespaces(id) => {
                libc::setgid(id);
                libc::setuid(id);
                libc::prctl(libc::PR_SET_DUMPABLE, 1);
                libc::unshare(libc::CLONE_NEWUSER);
                let _ = fs::write("/proc/self/setgroups", "deny");
                let _ = fs::write("/proc/self/uid_map", format!("0 {id} 1"));
                let _ = fs::write("/proc/self/gid_map", format!("0 {id} 1"));
                libc::unshare(spaces);
            }
            Role::Elsewhere => {
                libc::unshare(spaces);
            }
        }
    }
    if matches!(role, Role::Namespaces(_) | Role::Elsewhere) {
        let _ = fs::write(
            "/proc/self/timens_offsets",
            "monotonic 100000 0\nboottime 100000 0\n",
        );
    }
}

/// Brings the loopback of this network namespace up or down, by any socket.
pub fn set_loopback(socket: i32, up: bool) {
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: i16,
        rest: [u8; 22],
    }
    let mut request = Request {
        name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        flags: i16::from(up),
        rest: [0; 22],
    };
    // SAFETY: it is the structure that the request takes.
    unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw mut request) };
}

fn prepare(own_network: bool) {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: the calls take numbers and structures that live through them; the handler does nothing.
    unsafe {
        for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGURG, libc::SIGIO] {
            libc::signal(signal, nothing as extern "C" fn(i32) as usize);
        }
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        let limit = |count| libc::rlimit {
            rlim_cur: count,
            rlim_max: count,
        };
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit(END as u64 + 16));
        libc::setrlimit(libc::RLIMIT_NPROC, &limit(100));
        libc::setrlimit(libc::RLIMIT_CORE, &limit(0));
        if own_network {
            let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
            set_loopback(socket, true);
            libc::close(socket);
        }
    }
}

/// Random calls by some threads, until the process is killed.
fn rage(role: Role, mut random: Random, counter: &Counter) {
    let own_network = matches!(role, Role::Namespaces(_) | Role::Elsewhere);
    prepare(own_network);
    // Before there are threads, which may close any descriptor.
    let Ok(end) = end_of_user_space() else {
        return;
    };
    let seed = random.word();
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            threads.spawn(move || {
                let Some(memory) = Memory::new(END as i32, end) else {
                    return;
                };
                let mut caller = Caller {
                    random: Random::new(seed, thread),
                    memory: &memory,
                    counter,
                    own_network,
                    child: false,
                    ring: None,
                    recent: Default::default(),
                };
                loop {
                    caller.step();
                    match caller.random.below(4000) {
                        0 => end_at_once(),
                        1..=4 => fork_beside(&mut caller),
                        _ => {}
                    }
                }
            });
        }
    });
}

/// The whole process ends while its other threads are wherever they are.
fn end_at_once() {
    // SAFETY: nothing is left that must be done.
    unsafe { libc::_exit(0) };
}

/// A child that shares the files goes on for a while: it has one thread, and allocates nothing.
fn fork_beside(caller: &mut Caller<'_>) {
    let seed = caller.random.word();
    let (memory, counter) = (caller.memory, caller.counter);
    let own_network = caller.own_network;
    fork(|| {
        // SAFETY: the call takes a number; who waits too long is ended by the signal.
        unsafe { libc::alarm(2) };
        let mut child = Caller {
            random: Random::new(seed, 0),
            memory,
            counter,
            own_network,
            child: true,
            ring: None,
            recent: caller.recent,
        };
        (0..200).for_each(|_| child.step());
    });
}
