// SPDX-License-Identifier: GPL-2.0
//! A process of the storm: its user, its namespaces and its threads.

use crate::calls::{Caller, END};
use crate::count::Counter;
use crate::loopback::set_loopback;
use crate::memory::Memory;
use repoll_testkit::processes::{self, Process};
use repoll_testkit::random::Random;
use repoll_testkit::signals::{handle_signal, ignore_signal};
use repoll_testkit::user_space::end_of_user_space;
use rustix::net::{socket, AddressFamily, SocketType};
use rustix::process::{setrlimit, DumpableBehavior, Resource, Rlimit, Signal};
use rustix::thread::Gid;
use std::fs;

const THREADS: u64 = 3;
/// Users who are not root.
pub const USERS: [u32; 2] = [4711, 4712];

/// The user and the namespaces of a process.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// root.
    Root,
    /// A user without capabilities.
    User(u32),
    /// A user who is root in namespaces of their own.
    Namespaces(u32),
    /// root in a network, a time, a process and a mount namespace.
    Elsewhere,
}

/// The roles. Processes take them in turn.
pub const ROLES: [Role; 6] = [
    Role::Root,
    Role::User(USERS[0]),
    Role::Namespaces(USERS[0]),
    Role::Elsewhere,
    Role::User(USERS[1]),
    Role::User(USERS[0]),
];

/// Calls fork(2). The child runs `body` and exits; it is killed if its parent exits.
///
/// A child of a process with several threads must not allocate.
fn fork(body: impl FnOnce()) -> Process {
    let child = processes::fork(|| {
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        body();
        0
    });
    // A process that could not be started counts as one that has ended.
    child.unwrap_or(Process(-1))
}

/// Starts a process, in a process group of its own, that runs until it is killed. Call it only
/// while the calling process has one thread.
pub fn start(role: Role, random: Random, counter: &Counter) -> Process {
    fork(|| {
        let _ = rustix::process::setpgid(None, None);
        become_somebody(role);
        match role {
            Role::Namespaces(_) | Role::Elsewhere => {
                // Children are in the new process and time namespaces.
                let _ = fork(|| rage(role, random, counter)).wait();
            }
            Role::Root | Role::User(_) => rage(role, random, counter),
        }
    })
}

fn become_somebody(role: Role) {
    let spaces = libc::CLONE_NEWNET | libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWTIME;
    // A process for which a step fails has another role, which serves as well.
    let user = |id| {
        let _ = rustix::thread::set_thread_gid(Gid::from_raw(id));
        let _ = processes::become_user(id);
    };
    match role {
        Role::Root => {}
        Role::User(id) => user(id),
        Role::Namespaces(id) => {
            user(id);
            let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
            let _ = processes::unshare(libc::CLONE_NEWUSER);
            let _ = fs::write("/proc/self/setgroups", "deny");
            let _ = fs::write("/proc/self/uid_map", format!("0 {id} 1"));
            let _ = fs::write("/proc/self/gid_map", format!("0 {id} 1"));
            let _ = processes::unshare(spaces);
        }
        Role::Elsewhere => {
            let _ = processes::unshare(spaces);
        }
    }
    if matches!(role, Role::Namespaces(_) | Role::Elsewhere) {
        let _ = fs::write(
            "/proc/self/timens_offsets",
            "monotonic 100000 0\nboottime 100000 0\n",
        );
    }
}

fn prepare(own_network: bool) {
    for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGURG, libc::SIGIO] {
        let _ = handle_signal(signal, libc::SA_RESTART);
    }
    ignore_signal(libc::SIGPIPE);
    ignore_signal(libc::SIGCHLD);
    let limits = [
        (Resource::Nofile, END as u64 + 16),
        (Resource::Nproc, 100),
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        let limit = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        let _ = setrlimit(resource, limit);
    }
    if own_network {
        if let Ok(socket) = socket(AddressFamily::INET, SocketType::DGRAM, None) {
            set_loopback(&socket, true);
        }
    }
}

/// Makes random calls in several threads, until the process is killed.
fn rage(role: Role, mut random: Random, counter: &Counter) {
    let own_network = matches!(role, Role::Namespaces(_) | Role::Elsewhere);
    prepare(own_network);
    // Comes before the threads, which may close any descriptor.
    let Ok(end) = end_of_user_space() else {
        return;
    };
    let seed = random.word();
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            threads.spawn(move || {
                let Ok(memory) = Memory::new(END as i32, end) else {
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
                        // Ends the whole process, at whatever point its other threads are.
                        0 => processes::end(0),
                        1..=4 => fork_beside(&mut caller),
                        _ => {}
                    }
                }
            });
        }
    });
}

/// Makes random calls for a while in a child that shares the files. It has one thread, and
/// allocates nothing.
fn fork_beside(caller: &mut Caller<'_>) {
    let seed = caller.random.word();
    let (memory, counter) = (caller.memory, caller.counter);
    let own_network = caller.own_network;
    let _ = fork(|| {
        // SAFETY: the call takes a number; the signal ends a task that waits too long.
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
