// SPDX-License-Identifier: GPL-2.0
//! Backwards: the cause, from the wake-up to the interrupt or system call that it began with.

use super::follower::{Follower, NEAR};
use super::words::plural;
use crate::ftrace::record::{Context, Record};
use crate::story::{Cause, Protocol};

/// The softirq that polls NICs.
const NET_RX: i64 = 3;

/// The records of one run of a softirq on one CPU, up to a record.
struct Run {
    /// The `softirq_entry`.
    entry: usize,
    /// The records since, the latest first.
    places: Vec<usize>,
}

impl Follower<'_> {
    /// Follows the wake-up of a file's wait queue back to its cause. The wait queue's first callee
    /// in the trace is called at `first`.
    pub(super) fn follow_cause(&mut self, first: usize) {
        let Some(wake) = self.index.wakeups.source(first) else {
            return self.follow_context(first);
        };
        self.source = self.record(wake).number("source");
        match self.index.wakeups.arrival(wake) {
            Some(arrival) => self.follow_arrival(arrival),
            None => self.follow_context(wake),
        }
        self.step(wake, "source", "wait queue called".to_owned());
    }

    /// Follows a message back from where it enters a source's queue.
    pub(super) fn follow_arrival(&mut self, at: usize) {
        let record = self.record(at);
        self.message = Some(at);
        self.source = record.number("source");
        self.follow_context(at);
        self.cause = match record.field("kind") {
            Some("timer") => Cause::Timer,
            Some("frame") => Cause::Frame,
            _ => Cause::Write,
        };
        let detail = format!(
            "a message of {} at source {}, {} queued",
            plural(record.number("length").unwrap_or(0), "byte"),
            record.show("source"),
            record.show("queued")
        );
        self.step(at, "arrival", detail);
    }

    /// Follows the softirq, interrupt or system call that the record at `at` was made in.
    pub(super) fn follow_context(&mut self, at: usize) {
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

    /// Adds the system call that a thread is in.
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

    /// Adds the interrupt that the CPU is in.
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
            let detail = interrupt_detail(record);
            self.step(at, "interrupt", detail);
        } else {
            self.timer(at);
        }
    }

    /// The run of the softirq that the CPU is in, without the records of interrupts and, with
    /// PREEMPT_RT, of other threads.
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

    /// The last record of an event in a run, before `before`.
    fn last(&self, run: &Run, event: &str, before: usize) -> Option<usize> {
        let mut places = run.places.iter().copied();
        places.find(|at| *at < before && self.is(*at, event))
    }

    /// Adds the work of a softirq: a packet, mostly.
    fn softirq(&mut self, before: usize) {
        self.cause = Cause::Softirq;
        let Some(run) = self.run(before) else { return };
        if self.record(run.entry).number("vec") != Some(NET_RX) {
            return self.expiry(&run, before);
        }
        if self.is(before, "repoll_source_arrive") {
            match self.last(&run, "netif_receive_skb", before) {
                None => self.miss("protocol"),
                Some(stack) => self.packet(&run, stack, "received by a packet handler".to_owned()),
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
        self.packet(&run, stack, format!("received by IP and {protocol}"));
        self.step(socket, "socket", "data ready, wait queue called".to_owned());
    }

    /// Adds the timer that expires in a run of a softirq: with PREEMPT_RT, the timers of user
    /// programs do.
    fn expiry(&mut self, run: &Run, before: usize) {
        if let Some(at) = self.last(run, "hrtimer_expire_entry", before) {
            self.timer(at);
        }
    }

    /// Adds a timer that expires.
    fn timer(&mut self, at: usize) {
        self.step(at, "timer", "a timer expires".to_owned());
    }

    /// Adds a packet, from the NIC to the protocols, which receive it at `stack`.
    fn packet(&mut self, run: &Run, stack: usize, detail: String) {
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
        self.step(stack, "protocol", detail);
    }

    /// Adds the NIC's interrupt, the softirq, and the driver.
    ///
    /// The interrupt is missing if another poll of the NIC may have belonged to it: one that came
    /// after the interrupt, or another poll or interrupt between the softirq's entry and the
    /// packet.
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
                let detail = interrupt_detail(self.record(at));
                self.step(at, "interrupt", detail);
            }
        }
        self.step(softirq, "NAPI", "NET_RX polls the NIC".to_owned());
        let record = self.record(driver);
        let detail = format!(
            "{} passes up a packet, {} bytes",
            record.show("name"),
            record.show("len")
        );
        self.step(driver, "driver", detail);
    }
}

/// Whether a record is an interrupt of a NIC's receive queue, by virtio-net's naming.
fn is_input_interrupt(record: &Record) -> bool {
    record.is("irq_handler_entry")
        && record
            .field("name")
            .is_some_and(|name| name.contains("-input."))
}

fn interrupt_detail(record: &Record) -> String {
    format!("irq {}, vector {}", record.show("irq"), record.show("name"))
}
