// SPDX-License-Identifier: GPL-2.0
//! select, poll and epoll over the same files, the kernel's own and repoll's: the cost of a call
//! when one file of many is ready, and when all are.
//!
//! All calls wait without limit and find an event at once. The one file that is ready is the last:
//! SELECT and POLL put an entry into each file's wait queue before they find it, as a call that
//! sleeps does.

mod plot;

use crate::call::Call;
use crate::clock::Clock;
use crate::multiplexer::{Maker, Set};
use crate::paths::{repeat, Files};
use crate::words::Words;
use anyhow::{ensure, Context, Result};
use repoll::{Counts, EventFlags};
use repoll_testkit::limits::allow_files;
use serde::Serialize;
use std::fmt::Write;
use std::os::fd::{AsRawFd, RawFd};

pub use plot::plot;

/// The numbers of watched files.
const WATCHED: [usize; 5] = [1, 10, 100, 1000, 10_000];

/// A multiplexer and its trigger.
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
    /// Whether all files are ready, or one.
    pub all: bool,
    /// Instructions of a call: the kernel's own, repoll.
    pub instructions: [f64; 2],
    /// The counts of repoll's call.
    pub counts: Counts,
}

/// All measurements.
pub struct Comparison {
    /// The entry costs: getpid, NOP.
    pub nothing: [f64; 2],
    pub points: Vec<Point>,
}

impl Comparison {
    /// Makes all measurements.
    pub fn measure(clock: &Clock) -> Result<Self> {
        let most = WATCHED[WATCHED.len() - 1];
        allow_files(most as u64 + 100)?;
        let makers = Maker::both()?;
        let nothing = makers
            .each_ref()
            .map(|maker| repeat(clock, maker.nothing()));
        let files = Files::new(most)?;
        let mut points = Vec::new();
        for watched in WATCHED {
            for all in [false, true] {
                let fds: Vec<_> = files.some(watched).collect();
                let ready = if all { &fds[..] } else { &fds[watched - 1..] };
                for method in Method::ALL {
                    let point = Bench {
                        clock,
                        makers: &makers,
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
            "instructions a call (of which getpid: {empty:.0}, NOP: {nop:.0}); C: the kernel's \
             own\n\n"
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
    pub fn json(&self, kernel: &str) -> Result<String> {
        let [getpid, nop] = self.nothing.map(rounded);
        let comparison = Json {
            kernel,
            unit: "instructions",
            getpid,
            nop,
            comparison: self.points.iter().map(JsonPoint::new).collect(),
        };
        Ok(serde_json::to_string(&comparison)?)
    }
}

#[derive(Serialize)]
struct Json<'a> {
    kernel: &'a str,
    unit: &'a str,
    getpid: u64,
    nop: u64,
    comparison: Vec<JsonPoint>,
}

#[derive(Serialize)]
struct JsonPoint {
    method: &'static str,
    watched: usize,
    all_ready: bool,
    c: u64,
    repoll: u64,
    bytes_in: u64,
    bytes_out: u64,
    passes: u64,
    polled: u64,
    added: u64,
}

impl JsonPoint {
    fn new(point: &Point) -> Self {
        let [c, repoll] = point.instructions.map(rounded);
        let counts = &point.counts;
        Self {
            method: point.method.name(),
            watched: point.watched,
            all_ready: point.all,
            c,
            repoll,
            bytes_in: counts.bytes_in,
            bytes_out: counts.bytes_out,
            passes: counts.passes,
            polled: counts.polled,
            added: counts.added,
        }
    }
}

fn rounded(instructions: f64) -> u64 {
    instructions.round() as u64
}

/// Watched files, and those of them that are made ready.
struct Bench<'a> {
    clock: &'a Clock,
    makers: &'a [Maker; 2],
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
            self.least(method, &self.makers[0], &writes)?,
            self.least(method, &self.makers[1], &writes)?,
        ];
        let counts = self.run_counted(method, &writes)?;
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

    /// The least cost of a call.
    fn least(&self, method: Method, maker: &Maker, writes: &[Call]) -> Result<f64> {
        let blocks = if self.fds.len() > 100 { 12 } else { 100 };
        let wait = self.prepare(method, maker, None)?;
        let ready = wait.run_checked(self.fds, writes)?;
        ensure!(ready == self.ready.len(), "{ready} files are reported");
        let least = (0..blocks)
            .map(|_| {
                wait.set_up(self.fds, writes);
                self.clock.time(|| {
                    wait.call.run();
                })
            })
            .min();
        Ok(least.unwrap_or(0) as f64)
    }

    /// The counts of a call of repoll's.
    fn run_counted(&self, method: Method, writes: &[Call]) -> Result<Counts> {
        let words = Words::for_counts();
        self.prepare(method, &self.makers[1], Some(words))?
            .run_checked(self.fds, writes)?;
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

    /// Prepares the call. `counts` is for repoll's only.
    fn prepare(&self, method: Method, maker: &Maker, counts: Option<Words>) -> Result<Wait> {
        match method {
            Method::Select => Ok(self.prepare_select(maker, counts)),
            Method::Poll => Ok(self.prepare_poll(maker, counts)),
            Method::Level | Method::Edge => self.prepare_epoll(method, maker, counts),
        }
    }

    fn prepare_select(&self, maker: &Maker, counts: Option<Words>) -> Wait {
        let nfds = self.fds.iter().max().map_or(0, |&fd| fd as usize + 1);
        let set = Words::new(nfds.div_ceil(64));
        let call = match maker {
            Maker::Epoll => Call::select(nfds, set),
            Maker::Repoll(device) => Call::repoll_select(device.as_raw_fd(), nfds, set, counts),
        };
        Wait {
            set: Some(set),
            ..Wait::from(call)
        }
    }

    fn prepare_poll(&self, maker: &Maker, counts: Option<Words>) -> Wait {
        let array = Words::pollfds(self.fds);
        Wait::from(match maker {
            Maker::Epoll => Call::poll(array),
            Maker::Repoll(device) => Call::repoll_poll(device.as_raw_fd(), array, counts),
        })
    }

    fn prepare_epoll(&self, method: Method, maker: &Maker, counts: Option<Words>) -> Result<Wait> {
        let edge = method == Method::Edge;
        let mut events = EventFlags::IN;
        events.set(EventFlags::ET, edge);
        let instance = maker.instance()?;
        for &fd in self.fds {
            instance.add(fd, events).check()?;
        }
        let max = self.fds.len();
        let call = match counts {
            None => instance.wait(max, false),
            Some(counts) => instance.wait_counted(max, counts),
        };
        Ok(Wait {
            _instance: Some(instance),
            edge,
            ..Wait::from(call)
        })
    }
}

/// A call that waits, with the objects that it needs.
struct Wait {
    call: Call,
    /// The set of descriptors, which the call overwrites.
    set: Option<Words>,
    /// The instance, which must stay open.
    _instance: Option<Set>,
    /// Whether a file is reported again only after another write to it.
    edge: bool,
}

impl From<Call> for Wait {
    fn from(call: Call) -> Self {
        Self {
            call,
            set: None,
            _instance: None,
            edge: false,
        }
    }
}

impl Wait {
    /// Restores the state that the call is measured in.
    fn set_up(&self, fds: &[RawFd], writes: &[Call]) {
        if let Some(set) = self.set {
            for &fd in fds {
                let word = fd as usize / 64;
                set.set(word, set.get(word) | (1 << (fd % 64)));
            }
        }
        if self.edge {
            for write in writes {
                write.run();
            }
        }
    }

    /// Makes the call once. Returns the number of ready files.
    fn run_checked(&self, fds: &[RawFd], writes: &[Call]) -> Result<usize> {
        self.set_up(fds, writes);
        Ok(self.call.check()? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    /// A call that finds no ready file never returns, so the calls are made in another thread.
    #[test]
    fn each_method_reports_the_ready_files() -> Result<()> {
        let (sender, receiver) = channel();
        std::thread::spawn(move || sender.send(call_each_method()));
        receiver.recv_timeout(Duration::from_secs(60))?
    }

    fn call_each_method() -> Result<()> {
        let files = Files::new(70)?;
        let fds: Vec<_> = files.some(70).collect();
        let ready = &fds[60..];
        let writes: Vec<_> = ready.iter().map(|&fd| Call::write(fd)).collect();
        for write in &writes {
            write.check()?;
        }
        let bench = Bench {
            clock: &Clock::new(),
            makers: &[Maker::Epoll, Maker::Epoll],
            fds: &fds,
            ready,
        };
        for method in Method::ALL {
            let wait = bench.prepare(method, &Maker::Epoll, None)?;
            // Twice: a call overwrites its set and reports an edge once, so both must be restored.
            for _ in 0..2 {
                assert_eq!(wait.run_checked(&fds, &writes)?, 10, "{method:?}");
            }
        }
        Ok(())
    }
}
