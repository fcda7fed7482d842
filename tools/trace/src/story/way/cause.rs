// SPDX-License-Identifier: GPL-2.0
//! Backwards: what made the file ready.

use super::{plural, Way, NEAR};
use crate::ftrace::record::{Context, Record};
use crate::story::{Cause, Protocol};

/// The softirq that polls NICs.
const NET_RX: i64 = 3;

/// What one run of a softirq did before a place, on one CPU.
struct Run {
    /// Where it begins.
    entry: usize,
    /// What came since, the nearest first.
    places: Vec<usize>,
}

impl Way<'_> {
    /// What made a file wake its wait queue, of which the first that we know is called at `first`.
    pub(super) fn cause(&mut self, first: usize) {
        let Some(wake) = self.index.wakeups.source(first) else {
            return self.cause_by_context(first);
        };
        self.source = self.record(wake).number("source");
        match self.index.wakeups.arrival(wake) {
            Some(arrival) => self.arrival(arrival),
            None => self.cause_by_context(wake),
        }
        self.step(wake, "source", "wait queue called".to_owned());
    }

    /// A message that entered a source's queue.
    pub(super) fn arrival(&mut self, at: usize) {
        let record = self.record(at);
        self.message = Some(at);
        self.source = record.number("source");
        self.cause_by_context(at);
        self.cause = match record.field("kind") {
            Some("timer") => Cause::Timer,
            Some("frame") => Cause::Frame,
            _ => Cause::Write,
        };
        let detail = format!(
            "a message of {}, {} in the queue of source {}",
            plural(record.number("length").unwrap_or(0), "byte"),
            record.show("queued"),
            record.show("source")
        );
        self.step(at, "arrival", detail);
    }

    /// What the CPU was doing when the record at a place was made.
    pub(super) fn cause_by_context(&mut self, at: usize) {
        let record = self.record(at);
        match record.context {
            Context::Softirq => self.softirq(at),
            Context::Hardirq | Context::Nmi => {
                self.cause = Cause::Interrupt;
                self.interrupt(at);
            }
            Context::Task => {
                self.cause = Cause::Task;
                self.system_call(record.pid, at);
            }
        }
    }

    /// The system call that a thread is in.
    fn system_call(&mut self, pid: i32, before: usize) {
        let mut calls = self.index.thread_before(pid, before).take(NEAR);
        let Some(at) = calls.find(|at| self.record(*at).event().starts_with("sys_")) else {
            return;
        };
        let record = self.record(at);
        let Some(call) = record.event().strip_prefix("sys_enter_") else {
            return;
        };
        let fd = record.number("fd").or(record.number("ufd"));
        let on = fd.map_or(String::new(), |fd| format!(" on fd {fd}"));
        let detail = format!("{} ({pid}) calls {call}{on}", record.comm);
        self.step(at, "system call", detail);
    }

    /// The interrupt that the CPU is in.
    fn interrupt(&mut self, before: usize) {
        let mut here = self.index.cpu_before(before).take(NEAR);
        let entry = here.find(|at| {
            let record = self.record(*at);
            record.context == Context::Task
                || record.is("irq_handler_entry")
                || record.is("hrtimer_expire_entry")
        });
        let Some(at) = entry.filter(|at| self.record(*at).context != Context::Task) else {
            return;
        };
        let record = self.record(at);
        if record.is("irq_handler_entry") {
            let detail = interrupt_in_words(record);
            self.step(at, "interrupt", detail);
        } else {
            self.timer(at);
        }
    }

    /// What the softirq has done that the CPU is in; interrupts may have come in, and, with
    /// PREEMPT_RT, other threads.
    fn run(&self, before: usize) -> Option<Run> {
        let thread = self.record(before).pid;
        let mut places = Vec::new();
        for at in self.index.cpu_before(before).take(NEAR) {
            let record = self.record(at);
            if record.pid != thread {
                continue;
            }
            match record.context {
                Context::Softirq if record.is("softirq_entry") => {
                    return Some(Run { entry: at, places })
                }
                Context::Softirq => places.push(at),
                Context::Task => break,
                _ => {}
            }
        }
        None
    }

    /// The last event of a name in a run, before a place.
    fn last(&self, run: &Run, event: &str, before: usize) -> Option<usize> {
        let mut places = run.places.iter().copied();
        places.find(|at| *at < before && self.is(*at, event))
    }

    /// One run of a softirq: a packet mostly.
    fn softirq(&mut self, before: usize) {
        self.cause = Cause::Softirq;
        let Some(run) = self.run(before) else { return };
        if self.record(run.entry).number("vec") != Some(NET_RX) {
            return self.expiry(&run, before);
        }
        if self.is(before, "repoll_source_arrive") {
            match self.last(&run, "netif_receive_skb", before) {
                None => self.miss("protocol"),
                Some(stack) => self.packet(&run, stack, "a packet handler takes it".to_owned()),
            }
            return;
        }
        let socket = self.last(&run, "sk_data_ready", before);
        let protocol = socket.and_then(|at| Protocol::of(self.record(at).number("protocol")?));
        let (Some(socket), Some(protocol)) = (socket, protocol) else {
            return;
        };
        self.cause = Cause::Packet(protocol);
        let Some(stack) = self.last(&run, "netif_receive_skb", socket) else {
            return self.miss("protocol");
        };
        if self.record(stack).field("name") == Some("lo") {
            self.cause = Cause::Loopback;
        }
        self.packet(&run, stack, format!("IP and {protocol} take it"));
        self.step(socket, "socket", "data ready, wait queue called".to_owned());
    }

    /// The timer whose function a run of a softirq is in: with PREEMPT_RT, that of a user program.
    fn expiry(&mut self, run: &Run, before: usize) {
        if let Some(at) = self.last(run, "hrtimer_expire_entry", before) {
            self.timer(at);
        }
    }

    fn timer(&mut self, at: usize) {
        self.step(at, "timer", "a timer expires".to_owned());
    }

    /// A packet, up to where the network stack has it.
    fn packet(&mut self, run: &Run, stack: usize, what: String) {
        let record = self.record(stack);
        if record.field("name") != Some("lo") {
            self.packet = record.number("len").unwrap_or(0);
            let packet = record.number("skbaddr");
            let driver = run.places.iter().copied().find(|at| {
                let record = self.record(*at);
                *at < stack
                    && record.is("napi_gro_receive_entry")
                    && record.number("skbaddr") == packet
            });
            match driver {
                None => self.miss("driver"),
                Some(driver) => self.nic(run.entry, driver),
            }
        }
        self.step(stack, "protocol", what);
    }

    /// The interrupt that began it, the softirq, and the driver.
    ///
    /// An interrupt before the end of an earlier poll began that one; and if another poll or
    /// interrupt came before our packet, it may have come with those.
    fn nic(&mut self, softirq: usize, driver: usize) {
        let disturbs = |at: &usize| {
            let record = self.record(*at);
            is_input_interrupt(record) || record.is("napi_poll")
        };
        let net_rx = |at: &usize| {
            let record = self.record(*at);
            record.is("softirq_entry") && record.number("vec") == Some(NET_RX)
        };
        let mut earlier = self.index.cpu_before(softirq).take(NEAR);
        let interrupt = earlier
            .find(|at| disturbs(at) || net_rx(at))
            .filter(|at| is_input_interrupt(self.record(*at)));
        let disturbed = self
            .index
            .cpu_after(softirq)
            .take_while(|at| *at < driver)
            .any(|at| disturbs(&at));
        match interrupt.filter(|_| !disturbed) {
            None => self.miss("interrupt"),
            Some(at) => {
                let detail = interrupt_in_words(self.record(at));
                self.step(at, "interrupt", detail);
            }
        }
        self.step(softirq, "NAPI", "NET_RX begins to poll the NIC".to_owned());
        let record = self.record(driver);
        let detail = format!(
            "{} hands over a packet, {} bytes",
            record.show("name"),
            record.show("len")
        );
        self.step(driver, "driver", detail);
    }
}

/// An interrupt of a NIC's receive queue, as virtio-net calls them.
fn is_input_interrupt(record: &Record) -> bool {
    record.is("irq_handler_entry")
        && record
            .field("name")
            .is_some_and(|name| name.contains("-input."))
}

fn interrupt_in_words(record: &Record) -> String {
    format!("irq {}, vector {}", record.show("irq"), record.show("name"))
}
