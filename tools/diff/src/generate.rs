// SPDX-License-Identifier: GPL-2.0
//! Random programs.
//!
//! The generator has a rough idea of which files are open and watched, so most operations are
//! meaningful. It tracks neither each task's descriptors nor which calls succeed. Some operations
//! are meaningless, so that errors are compared too.

use crate::operation::{How, Kind, Name, Odd, Operation, Place, Scan, Step, Task};
use repoll::{Event, EventFlags};
use repoll_testkit::random::Random;

/// More are refused in any case.
const MOST_EVENTS: i32 = i32::MAX / size_of::<Event>() as i32;
const FILES: usize = 12;

/// A world's program.
pub struct Generator<'a> {
    random: &'a mut Random,
    files: [Option<Kind>; FILES],
    watched: Vec<(u8, Name)>,
    /// Which instances are open.
    instances: Vec<bool>,
    nest: bool,
    network: bool,
    /// Whether the program has EXCLUSIVE items, rather than `during`: a wake-up takes one of the
    /// exclusive entries in a wait queue, and both sides have theirs in it.
    exclusive: bool,
    has_child: bool,
    program: Vec<Step>,
}

/// A program of `length` steps, or a few more.
pub fn program(random: &mut Random, length: usize, nest: bool) -> Vec<Step> {
    let nest = nest && random.chance(80);
    let count = if nest { random.pick(&[3, 5, 10]) } else { 3 };
    let mut generator = Generator {
        instances: vec![false; count],
        nest,
        network: random.chance(25),
        exclusive: random.chance(40),
        random,
        files: [None; FILES],
        watched: Vec::new(),
        has_child: false,
        program: Vec::new(),
    };
    generator.begin();
    while generator.program.len() < length {
        generator.step();
    }
    generator.program
}

impl Generator<'_> {
    fn begin(&mut self) {
        for n in 0..self.instances.len() {
            if n < 2 || self.random.chance(80) {
                self.create(n as u8);
            }
        }
        if self.nest && self.random.chance(50) {
            self.layers();
        }
        for _ in 0..2 + self.random.below(5) {
            self.open();
        }
        for _ in 0..self.random.below(16) {
            self.add();
        }
    }

    fn push(&mut self, operation: Operation) {
        let task = match self.random.below(100) {
            0..=4 => Task::Thread(0),
            5..=8 => Task::Thread(1),
            9..=30 if self.has_child => Task::Child,
            _ => Task::Main,
        };
        self.program.push(Step { task, operation });
    }

    fn push_main(&mut self, operation: Operation) {
        self.program.push(operation.into());
    }

    fn step(&mut self) {
        match self.random.below(1000) {
            0..=219 => self.wait(),
            220..=249 => {
                let ep = self.instance();
                self.push(Operation::Poll(ep));
            }
            250..=259 => {
                let ep = self.instance();
                self.push(Operation::Fdinfo(ep));
            }
            260..=264 => {
                let (ep, max) = (self.instance(), 1 + self.random.below(8) as i32);
                let open = self.random.chance(60);
                self.push(Operation::Masked(ep, max, open));
            }
            265..=269 => {
                let ep = self.instance();
                let odd = self.random.pick(&[Odd::Read, Odd::Write, Odd::DupClose]);
                self.push(Operation::Odd(ep, odd));
            }
            270..=389 => self.add(),
            390..=489 => self.modify(),
            490..=539 => self.delete(),
            540..=559 => self.wrong_ctl(),
            560..=599 if !self.exclusive => self.during(),
            820..=849 => self.scan(),
            560..=819 => self.traffic(),
            850..=909 => self.open(),
            910..=934 => {
                let n = self.file();
                self.forget(Name::File(n));
                self.files[usize::from(n)] = None;
                self.push(Operation::Close(Name::File(n)));
            }
            935..=964 => self.dup(),
            965..=979 => self.instances(),
            980..=983 => {
                self.push_main(Operation::Fork);
                self.has_child = true;
            }
            984..=985 if self.has_child => {
                self.push_main(Operation::Exit);
                self.has_child = false;
            }
            986..=991 => self.descriptor_passing(),
            _ => self.connection(),
        }
    }

    fn scan(&mut self) {
        let call = self.random.pick(&[Scan::Select, Scan::Poll]);
        let count = match self.random.below(10) {
            0 => 0,
            1..=6 => 1 + self.random.below(4),
            // More than fit on the kernel's stack.
            _ => 5 + self.random.below(40),
        };
        let what: Vec<_> = (0..count)
            .map(|_| {
                let name = match self.random.below(100) {
                    0 => Name::Number(self.random.pick(&[-1, i32::MIN, 999, 5000])),
                    1..=20 => Name::Instance(self.instance()),
                    _ => Name::File(self.file()),
                };
                let bits = match self.random.below(4) {
                    0 => self.random.word() as u16,
                    1 => libc::POLLOUT as u16,
                    _ => libc::POLLIN as u16,
                };
                (name, bits)
            })
            .collect();
        let operation = if self.random.chance(10) {
            Operation::MaskedScan(call, self.random.chance(60), what)
        } else {
            Operation::Scan(call, self.random.below(2) as u32, what)
        };
        self.push(operation);
    }

    /// Usually forgets the watches of a number that was closed: its file leaves the interest lists,
    /// unless it has duplicates.
    fn forget(&mut self, name: Name) {
        if self.random.chance(80) {
            self.watched
                .retain(|&(ep, target)| target != name && Name::Instance(ep) != name);
        }
    }

    /// A file, usually an open one.
    fn file(&mut self) -> u8 {
        let open: Vec<u8> = (0..FILES as u8)
            .filter(|&n| self.files[usize::from(n)].is_some())
            .collect();
        if open.is_empty() || self.random.chance(4) {
            return self.random.below(FILES) as u8;
        }
        self.random.pick(&open)
    }

    fn file_of(&mut self, kinds: &[Kind]) -> Option<u8> {
        let fits: Vec<u8> = (0..FILES as u8)
            .filter(|&n| self.files[usize::from(n)].is_some_and(|kind| kinds.contains(&kind)))
            .collect();
        (!fits.is_empty()).then(|| self.random.pick(&fits))
    }

    fn instance(&mut self) -> u8 {
        // Prefers the first ones.
        let limit = 1 + self.random.below(self.instances.len());
        let n = self.random.below(limit);
        if !self.instances[n] && self.random.chance(90) {
            let open: Vec<u8> = (0..self.instances.len() as u8)
                .filter(|&n| self.instances[usize::from(n)])
                .collect();
            if !open.is_empty() {
                return self.random.pick(&open);
            }
        }
        n as u8
    }

    fn create(&mut self, n: u8) {
        self.instances[usize::from(n)] = true;
        let device = self.random.chance(50);
        self.push(Operation::Create(n, device));
    }

    /// Instances in layers of two, each of which watches most of the layer below: many paths, as
    /// deep as is allowed.
    fn layers(&mut self) {
        for outer in 2..self.instances.len() {
            let below = outer / 2 * 2 - 2;
            for inner in [below, below + 1] {
                if self.random.chance(85) {
                    let target = Name::Instance(inner as u8);
                    let events = self.events();
                    self.add_this(outer as u8, target, events | EventFlags::IN);
                }
            }
        }
    }

    fn open(&mut self) {
        let kind = match self.random.below(100) {
            0..=17 => Kind::Eventfd,
            18..=21 => Kind::Semaphore,
            22..=37 => Kind::Pipe,
            38..=43 => Kind::Fifo,
            44..=57 => Kind::Stream,
            58..=65 => Kind::Datagram,
            66..=69 => Kind::Packet,
            70..=74 => Kind::Timer,
            75..=78 => Kind::Signalfd,
            79..=82 => Kind::Inotify,
            83 => Kind::Pidfd,
            84..=86 => Kind::Listener,
            87 => Kind::Regular,
            88 => Kind::Directory,
            89..=93 if self.network => Kind::Udp,
            94..=99 if self.network => Kind::Tcp,
            _ => Kind::Eventfd,
        };
        let a = self.random.below(FILES);
        let b = (a + 1 + self.random.below(FILES - 1)) % FILES;
        self.files[a] = Some(kind);
        self.forget(Name::File(a as u8));
        let second = if kind.is_pair() {
            self.forget(Name::File(b as u8));
            self.files[b] = Some(kind);
            b
        } else {
            a
        };
        self.push(Operation::Open(kind, a as u8, second as u8));
    }

    fn events(&mut self) -> EventFlags {
        let mut events = match self.random.below(20) {
            0..=7 => EventFlags::IN,
            8..=10 => EventFlags::OUT,
            11..=14 => EventFlags::IN | EventFlags::OUT,
            15 => EventFlags::IN | EventFlags::RDHUP | EventFlags::PRI,
            16 => EventFlags::empty(),
            17 => EventFlags::from_bits_retain(self.random.word() as u32 & 0xffff),
            18 => EventFlags::from_bits_retain(
                (self.random.word() as u32) & !(EventFlags::EXCLUSIVE.bits()),
            ),
            _ => EventFlags::RDNORM | EventFlags::WRNORM | EventFlags::RDHUP,
        };
        for (flag, percent) in [
            (EventFlags::ET, 35),
            (EventFlags::ONESHOT, 15),
            (EventFlags::WAKEUP, 2),
            (EventFlags::RDHUP, 10),
            (EventFlags::PRI, 5),
        ] {
            if self.random.chance(percent) {
                events |= flag;
            }
        }
        if self.exclusive && self.random.chance(15) {
            if self.random.chance(80) {
                events &= EventFlags::IN | EventFlags::OUT | EventFlags::ET | EventFlags::WAKEUP;
            }
            events |= EventFlags::EXCLUSIVE;
        }
        events
    }

    fn data(&mut self) -> u64 {
        match self.random.below(10) {
            0 => self.random.word(),
            _ => self.program.len() as u64,
        }
    }

    fn target(&mut self) -> Name {
        if self.nest && self.random.chance(30) {
            return Name::Instance(self.instance());
        }
        Name::File(self.file())
    }

    fn add(&mut self) {
        let (mut ep, mut target) = (self.instance(), self.target());
        if self.watched.contains(&(ep, target)) && self.random.chance(80) {
            (ep, target) = (self.instance(), self.target());
        }
        let events = self.events();
        self.add_this(ep, target, events);
    }

    fn add_this(&mut self, ep: u8, target: Name, events: EventFlags) {
        let data = self.data();
        self.watched.push((ep, target));
        self.push(Operation::Ctl(
            libc::EPOLL_CTL_ADD,
            ep,
            target,
            events,
            data,
        ));
    }

    /// An instance and a descriptor, usually one that it watches.
    fn pair(&mut self) -> (u8, Name) {
        if self.watched.is_empty() || self.random.chance(5) {
            return (self.instance(), self.target());
        }
        let n = self.random.below(self.watched.len());
        self.watched[n]
    }

    fn modify(&mut self) {
        let (ep, target) = self.pair();
        let mut events = self.events();
        if self.random.chance(90) {
            events &= !EventFlags::EXCLUSIVE;
        }
        let data = self.data();
        self.push(Operation::Ctl(
            libc::EPOLL_CTL_MOD,
            ep,
            target,
            events,
            data,
        ));
    }

    fn delete(&mut self) {
        let (ep, target) = self.pair();
        self.watched.retain(|&other| other != (ep, target));
        let op = libc::EPOLL_CTL_DEL;
        self.push(Operation::Ctl(op, ep, target, EventFlags::IN, 0));
    }

    fn wrong_ctl(&mut self) {
        let (ep, mut target) = self.pair();
        let mut op = self.random.pick(&[
            libc::EPOLL_CTL_ADD,
            libc::EPOLL_CTL_MOD,
            libc::EPOLL_CTL_DEL,
        ]);
        match self.random.below(3) {
            0 => op = self.random.pick(&[0, 4, -1, i32::MAX]),
            1 => target = Name::Instance(ep),
            _ => target = Name::Number(self.random.pick(&[-1, 99, 1023, i32::MAX, i32::MIN])),
        }
        let mut events = self.events();
        if self.random.chance(20) {
            events |= EventFlags::EXCLUSIVE;
        }
        let data = self.data();
        self.push(Operation::Ctl(op, ep, target, events, data));
    }

    fn wait(&mut self) {
        let ep = self.instance();
        let max = match self.random.below(100) {
            0..=39 => 64,
            40..=92 => 1 + self.random.below(6) as i32,
            _ => self.random.pick(&[
                0,
                -1,
                i32::MIN,
                i32::MAX,
                MOST_EVENTS,
                MOST_EVENTS + 1,
                1000,
            ]),
        };
        let time = self.random.below(40) / 38;
        let at = match self.random.below(100) {
            0 => Place::Null,
            1 => Place::Unmapped,
            2 => Place::Kernel,
            3 => Place::Top,
            4..=9 => Place::Part(self.random.below(4) as u8),
            _ => Place::Good,
        };
        self.push(Operation::Wait(ep, max, time as u32, at));
    }

    fn during(&mut self) {
        let ep = self.instance();
        let before = self.program.len();
        match self.random.below(10) {
            0 => self.add(),
            1 => self.modify(),
            2 => self.delete(),
            3 => self.push(Operation::Poll(ep)),
            4 => self.wait(),
            _ => self.traffic(),
        }
        let max = 1 + self.random.below(8) as i32;
        for step in self.program.split_off(before) {
            let waiters = 1 + u8::from(self.random.chance(40));
            let operation = Box::new(step.operation);
            self.push_main(Operation::During(ep, max, operation, waiters));
        }
    }

    fn size(&mut self, kind: Option<Kind>) -> u32 {
        match kind {
            Some(Kind::Eventfd | Kind::Semaphore | Kind::Timer) => 8,
            Some(Kind::Signalfd) => 128,
            Some(Kind::Inotify) => self.random.pick(&[16, 4096]),
            _ => self.random.pick(&[1, 1, 2, 8, 8, 100, 1000, 4096]),
        }
    }

    fn traffic(&mut self) {
        let n = self.file();
        let kind = self.files[usize::from(n)];
        match kind {
            Some(Kind::Timer) if self.random.chance(50) => self.push(Operation::Expire(n)),
            Some(Kind::Signalfd) if self.random.chance(50) => self.push(Operation::Signal),
            Some(Kind::Inotify) if self.random.chance(50) => self.push(Operation::Touch),
            Some(Kind::Listener) if self.random.chance(90) => self.connection(),
            _ => {
                let size = self.size(kind);
                let operation = match self.random.below(100) {
                    0..=39 => Operation::Write(n, size),
                    40..=69 => Operation::Read(n, size),
                    70..=81 => Operation::Drain(n),
                    82..=87 => Operation::Fill(n),
                    88..=92 => Operation::Urgent(n),
                    93..=96 => {
                        let how = self.random.pick(&[How::Read, How::Write, How::Both]);
                        Operation::Shutdown(n, how)
                    }
                    _ => Operation::Write(n, size),
                };
                self.push(operation);
            }
        }
    }

    fn dup(&mut self) {
        let old = self.file();
        let new = if self.random.chance(40) {
            self.file()
        } else {
            self.random.below(FILES) as u8
        };
        self.forget(Name::File(new));
        self.files[usize::from(new)] = self.files[usize::from(old)];
        self.push(Operation::Dup(Name::File(old), Name::File(new)));
    }

    fn instances(&mut self) {
        let n = self.random.below(self.instances.len()) as u8;
        self.forget(Name::Instance(n));
        match self.random.below(10) {
            0..=6 => self.create(n),
            7 => {
                self.instances[usize::from(n)] = false;
                self.push(Operation::Close(Name::Instance(n)));
            }
            _ => {
                let other = self.instance();
                self.instances[usize::from(n)] = self.instances[usize::from(other)];
                self.push(Operation::Dup(Name::Instance(other), Name::Instance(n)));
            }
        }
    }

    fn descriptor_passing(&mut self) {
        let unix = [Kind::Stream, Kind::Datagram, Kind::Packet];
        let Some(via) = self.file_of(&unix) else {
            return;
        };
        let n = self.file();
        let operation = match self.random.below(2) {
            0 => Operation::Pass(n, via),
            _ => Operation::Take(via, n),
        };
        self.push(operation);
    }

    fn connection(&mut self) {
        let Some(listener) = self.file_of(&[Kind::Listener]) else {
            return;
        };
        let n = self.random.below(FILES);
        if n == usize::from(listener) {
            return;
        }
        self.files[n] = Some(Kind::Stream);
        let operation = match self.random.below(2) {
            0 => Operation::Connect(listener, n as u8),
            _ => Operation::Accept(listener, n as u8),
        };
        self.push(operation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::parse_program;

    #[test]
    fn programs_are_determined_by_the_seed_and_can_be_read_back() -> anyhow::Result<()> {
        for seed in 0..50 {
            let make = || program(&mut Random::new(seed, 3), 200, seed % 2 == 0);
            let text: Vec<String> = make().iter().map(ToString::to_string).collect();
            assert_eq!(parse_program(&text.join("\n"))?, make());
        }
        Ok(())
    }
}
