// SPDX-License-Identifier: GPL-2.0
//! select, poll and epoll over the same files, the kernel's own and repoll's: what a call costs when
//! one file of many is ready, and when all are.
//!
//! All calls wait without a time limit, and find something at once. The one that is ready is the
//! last: so SELECT and POLL put an entry into each file's wait queue before they find it, as a call
//! that sleeps does.

mod plot;

use crate::call::{self, events, ioctl, Call, Words};
use crate::clock::Clock;
use crate::multiplexer::{Set, Side};
use crate::paths::{repeat, Files};
use anyhow::{ensure, Context, Result};
use libc::{EPOLLET, EPOLLIN};
use repoll::sys::{
    repoll_poll, repoll_select, repoll_wait, REPOLL_IOCTL_POLL, REPOLL_IOCTL_SELECT,
    REPOLL_IOCTL_WAIT,
};
use repoll::Counts;
use std::fmt::Write;
use std::os::fd::{AsRawFd, RawFd};

pub use plot::plot;

/// How many files are watched.
const WATCHED: [usize; 5] = [1, 10, 100, 1000, 10_000];

/// A way to wait for files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// select(2).
    Select,
    /// poll(2).
    Poll,
    /// epoll(7), level-triggered.
    Level,
    /// epoll(7), edge-triggered.
    Edge,
}

impl Method {
    /// All, the oldest first.
    pub const ALL: [Self; 4] = [Self::Select, Self::Poll, Self::Level, Self::Edge];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Poll => "poll",
            Self::Level => "LT",
            Self::Edge => "ET",
        }
    }
}

/// One measurement.
pub struct Point {
    pub method: Method,
    pub watched: usize,
    /// All are ready, not one.
    pub all: bool,
    /// Instructions of a call: the kernel's own, repoll.
    pub instructions: [f64; 2],
    /// What repoll says that the call did.
    pub counts: Counts,
}

/// Everything.
pub struct Comparison {
    /// What a call costs that does nothing: getpid, NOP.
    pub nothing: [f64; 2],
    pub points: Vec<Point>,
}

impl Comparison {
    /// Measures it.
    pub fn measure(clock: &Clock) -> Result<Self> {
        let most = WATCHED[WATCHED.len() - 1];
        call::allow_files(most as u64 + 100)?;
        let sides = [Side::Epoll, Side::repoll()?];
        let nothing = [0, 1].map(|side: usize| repeat(clock, sides[side].nothing()));
        let files = Files::new(most)?;
        let mut points = Vec::new();
        for watched in WATCHED {
            for all in [false, true] {
                let fds: Vec<_> = files.some(watched).collect();
                let ready = if all { &fds[..] } else { &fds[watched - 1..] };
                for method in Method::ALL {
                    let point = Bench {
                        clock,
                        sides: &sides,
                        fds: &fds,
                        ready,
                    }
                    .point(method, all)
                    .with_context(|| format!("{} of {watched}", method.name()))?;
                    points.push(point);
                }
            }
        }
        Ok(Self { nothing, points })
    }

    fn find(&self, method: Method, watched: usize, all: bool) -> Option<&Point> {
        self.points
            .iter()
            .find(|p| p.method == method && p.watched == watched && p.all == all)
    }

    /// Two tables.
    pub fn text(&self) -> String {
        let [empty, nop] = self.nothing;
        let mut out = format!(
            "instructions a call (of which getpid: {empty:.0}, NOP: {nop:.0}); C: the kernel's own\n\n"
        );
        let _ = write!(out, "{:>7} {:>5}", "watched", "ready");
        for method in Method::ALL {
            let name = method.name();
            let _ = write!(out, "  {:>9} {:>9}", format!("C {name}"), name);
        }
        out.push('\n');
        self.rows(&mut out, |out, point| {
            let [c, ours] = point.instructions;
            let _ = write!(out, "  {c:>9.0} {ours:>9.0}");
        });
        out.push_str("\nfiles polled, entries added to wait queues, bytes copied in and out\n\n");
        let _ = write!(out, "{:>7} {:>5}", "watched", "ready");
        for method in Method::ALL {
            let _ = write!(out, "  {:^25}", method.name());
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        self.rows(&mut out, |out, point| {
            let counts = &point.counts;
            let bytes = counts.bytes_in + counts.bytes_out;
            let _ = write!(
                out,
                "  {:>7} {:>7} {:>9}",
                counts.polled, counts.added, bytes
            );
        });
        out
    }

    fn rows(&self, out: &mut String, cell: impl Fn(&mut String, &Point)) {
        for all in [false, true] {
            for watched in WATCHED {
                let ready = if all { "all" } else { "1" };
                let _ = write!(out, "{watched:>7} {ready:>5}");
                for method in Method::ALL {
                    if let Some(point) = self.find(method, watched, all) {
                        cell(out, point);
                    }
                }
                out.push('\n');
            }
        }
    }

    /// One line of JSON.
    pub fn json(&self, kernel: &str) -> String {
        let points: Vec<_> = self
            .points
            .iter()
            .map(|point| {
                let [c, ours] = point.instructions;
                let Counts {
                    bytes_in,
                    bytes_out,
                    passes,
                    polled,
                    added,
                    ..
                } = point.counts;
                format!(
                    "{{\"method\":\"{}\",\"watched\":{},\"all_ready\":{},\"c\":{c:.0},\
                     \"repoll\":{ours:.0},\"bytes_in\":{bytes_in},\"bytes_out\":{bytes_out},\
                     \"passes\":{passes},\"polled\":{polled},\"added\":{added}}}",
                    point.method.name(),
                    point.watched,
                    point.all,
                )
            })
            .collect();
        let [empty, nop] = self.nothing;
        format!(
            "{{\"kernel\":\"{kernel}\",\"unit\":\"instructions\",\"getpid\":{empty:.0},\
             \"nop\":{nop:.0},\"comparison\":[{}]}}",
            points.join(",")
        )
    }
}

/// Some files, of which some are to be ready.
struct Bench<'a> {
    clock: &'a Clock,
    sides: &'a [Side; 2],
    fds: &'a [RawFd],
    ready: &'a [RawFd],
}

impl Bench<'_> {
    fn point(&self, method: Method, all: bool) -> Result<Point> {
        let writes: Vec<_> = self.ready.iter().map(|&fd| Call::write(fd)).collect();
        for write in &writes {
            write.check()?;
        }
        let instructions = [
            self.least(method, &self.sides[0], &writes)?,
            self.least(method, &self.sides[1], &writes)?,
        ];
        let counts = self.counts(method, &writes)?;
        for &fd in self.ready {
            Call::read(fd).check()?;
        }
        Ok(Point {
            method,
            watched: self.fds.len(),
            all,
            instructions,
            counts,
        })
    }

    /// The least that a call takes.
    fn least(&self, method: Method, side: &Side, writes: &[Call]) -> Result<f64> {
        let blocks = if self.fds.len() > 100 { 12 } else { 100 };
        let waiting = self.waiting(method, side, None)?;
        let ready = waiting.once(self.fds, writes)?;
        ensure!(ready == self.ready.len(), "{ready} are said to be ready");
        let least = (0..blocks)
            .map(|_| {
                waiting.before(self.fds, writes);
                self.clock.time(|| {
                    waiting.call.make();
                })
            })
            .min();
        Ok(least.unwrap_or(0) as f64)
    }

    /// What repoll's call says that it did.
    fn counts(&self, method: Method, writes: &[Call]) -> Result<Counts> {
        let words = Words::new(size_of::<Counts>() / size_of::<u64>());
        self.waiting(method, &self.sides[1], Some(words))?
            .once(self.fds, writes)?;
        Ok(Counts {
            bytes_in: words.get(0),
            bytes_out: words.get(1),
            passes: words.get(2),
            polled: words.get(3),
            polled_first: words.get(4),
            polled_last: words.get(5),
            added: words.get(6),
            wakeups: words.get(7),
            sleeps: words.get(8),
        })
    }

    /// The call, with its counts written to `counts` (repoll's only).
    fn waiting(&self, method: Method, side: &Side, counts: Option<Words>) -> Result<Waiting> {
        let (counts, counts_size) = counts.map_or((0, 0), |words| {
            (words.address() as u64, size_of::<Counts>() as u64)
        });
        let mut waiting = Waiting {
            call: Call::none(),
            fds: None,
            _set: None,
            edge: method == Method::Edge,
        };
        waiting.call = match (method, side) {
            (Method::Select, side) => {
                let nfds = self.fds.iter().max().map_or(0, |fd| fd + 1);
                let set = Words::new((nfds as usize).div_ceil(64));
                waiting.fds = Some(set);
                match side {
                    Side::Epoll => call::select(nfds as usize, set),
                    Side::Repoll(device) => {
                        let argument = repoll_select {
                            readfds: set.address() as u64,
                            nfds,
                            timeout: -1,
                            counts,
                            counts_size,
                            ..Default::default()
                        };
                        ioctl(device.as_raw_fd(), REPOLL_IOCTL_SELECT, argument)
                    }
                }
            }
            (Method::Poll, side) => {
                let array = call::pollfds(self.fds);
                match side {
                    Side::Epoll => call::poll(array),
                    Side::Repoll(device) => {
                        let argument = repoll_poll {
                            fds: array.address() as u64,
                            nfds: self.fds.len() as u32,
                            timeout: -1,
                            counts,
                            counts_size,
                            ..Default::default()
                        };
                        ioctl(device.as_raw_fd(), REPOLL_IOCTL_POLL, argument)
                    }
                }
            }
            (Method::Level | Method::Edge, side) => {
                let set = side.instance()?;
                let bits = if waiting.edge { EPOLLET } else { 0 };
                for &fd in self.fds {
                    set.add(fd, EPOLLIN | bits).check()?;
                }
                let max = self.fds.len();
                let wait = if counts == 0 {
                    set.wait(max, false)
                } else {
                    let argument = repoll_wait {
                        events: events(max).as_mut_ptr() as u64,
                        maxevents: max as i32,
                        timeout: -1,
                        counts,
                        counts_size,
                        ..Default::default()
                    };
                    ioctl(set.descriptor(), REPOLL_IOCTL_WAIT, argument)
                };
                waiting._set = Some(set);
                wait
            }
        };
        Ok(waiting)
    }
}

/// A call that waits, and what it needs.
struct Waiting {
    call: Call,
    /// The set of descriptors, which the call overwrites.
    fds: Option<Words>,
    /// The instance: it stays for as long as the call.
    _set: Option<Set>,
    /// Only what is written to again is told again.
    edge: bool,
}

impl Waiting {
    /// Brings all into the state that the call is to find.
    fn before(&self, fds: &[RawFd], writes: &[Call]) {
        if let Some(set) = self.fds {
            for &fd in fds {
                let word = fd as usize / 64;
                set.set(word, set.get(word) | (1 << (fd % 64)));
            }
        }
        if self.edge {
            for write in writes {
                write.make();
            }
        }
    }

    /// Makes it once: how many it said are ready.
    fn once(&self, fds: &[RawFd], writes: &[Call]) -> Result<usize> {
        self.before(fds, writes);
        Ok(self.call.check()? as usize)
    }
}
