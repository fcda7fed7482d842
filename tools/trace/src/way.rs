// SPDX-License-Identifier: GPL-2.0
//! Follows the life of one event through a trace.
//!
//! It begins in the middle, where the watched file calls back. Backwards, all happened on the same
//! CPU, in the same softirq, interrupt or system call. Forwards, the item leads to the delivery, the
//! delivery to the thread, and the thread to its wake-up and to what it does with the event. Each step
//! is a recorded event, and comes after the one before it in the trace.

use crate::index::Index;
use crate::record::{Context, Record};
use crate::story::{event_names, Cause, Protocol, Step, Story};

/// How far to look in one CPU's or thread's records for what should be near: so a trace from which
/// something is missing does not take for ever.
const NEAR: usize = 4096;

/// The softirq that polls NICs.
const NET_RX: i64 = 3;

/// A life as far as it has been followed.
struct Way<'a> {
    index: &'a Index<'a>,
    /// The place of the callback, or of the queueing if there was none.
    middle: usize,
    item: i64,
    cause: Cause,
    /// The length of the packet, headers included.
    packet: i64,
    steps: Vec<Step>,
    missing: Option<&'static str>,
    receiver: String,
}

/// Follows the life of which the record at `middle` is a part, in both directions.
pub(crate) fn follow<'a>(index: &'a Index<'a>, middle: usize) -> Story {
    let record = &index.records[middle];
    let number = |name| record.number(name).unwrap_or(0);
    let mut way = Way {
        index,
        middle,
        item: number("item"),
        cause: Cause::Task,
        packet: 0,
        steps: Vec::new(),
        missing: None,
        receiver: String::new(),
    };
    way.cause();
    way.callback();
    way.delivery();
    Story {
        cause: way.cause,
        ep: number("ep"),
        item: way.item,
        fd: number("fd"),
        receiver: way.receiver,
        steps: way.steps,
        missing: way.missing,
    }
}

impl<'a> Way<'a> {
    fn record(&self, at: usize) -> &'a Record {
        &self.index.records[at]
    }

    fn step(&mut self, at: usize, name: &'static str, detail: String) {
        let record = self.record(at);
        let step = Step {
            at,
            time: record.time,
            cpu: record.cpu,
            context: record.context,
            name,
            detail,
        };
        self.steps.push(step);
    }

    /// Notes that a step is missing, if it is the first one.
    fn miss(&mut self, step: &'static str) {
        self.missing.get_or_insert(step);
    }

    /// Backwards: what made the file ready.
    fn cause(&mut self) {
        let record = self.record(self.middle);
        if !record.is("repoll_callback") {
            self.cause = Cause::Ready;
            return;
        }
        match record.context {
            Context::Softirq => self.softirq(),
            Context::Hardirq | Context::Nmi => {
                self.cause = Cause::Interrupt;
                self.interrupt();
            }
            Context::Task => {
                self.cause = Cause::Task;
                self.system_call(record.pid, self.middle);
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
    fn interrupt(&mut self) {
        let mut here = self.index.cpu_before(self.middle).take(NEAR);
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
            self.step(at, "timer", "a timer expires".to_owned());
        }
    }

    /// One run of a softirq, on one CPU: a packet mostly.
    fn softirq(&mut self) {
        self.cause = Cause::Softirq;
        // From the callback back to the beginning of the softirq; interrupts may have come in.
        let here = self.index.cpu_before(self.middle).take(NEAR);
        let mut run = Vec::new();
        let mut softirq = None;
        for at in here {
            let record = self.record(at);
            match record.context {
                Context::Softirq if record.is("softirq_entry") => {
                    softirq = Some(at);
                    break;
                }
                Context::Softirq => run.push(at),
                Context::Task => break,
                _ => {}
            }
        }
        let Some(softirq) = softirq else { return };
        let first = |event: &str, from: usize| {
            run.iter()
                .copied()
                .find(|at| *at < from && self.record(*at).is(event))
        };
        let socket = first("sk_data_ready", self.middle);
        let protocol = socket.and_then(|at| Protocol::of(self.record(at).number("protocol")?));
        let net_rx = self.record(softirq).number("vec") == Some(NET_RX);
        let (Some(socket), Some(protocol), true) = (socket, protocol, net_rx) else {
            return;
        };
        let Some(stack) = first("netif_receive_skb", socket) else {
            self.cause = Cause::Packet(protocol);
            return self.miss("protocol");
        };
        let in_words = format!("IP and {protocol} take it");
        if self.record(stack).field("name") == Some("lo") {
            self.cause = Cause::Loopback;
            self.step(stack, "protocol", in_words);
        } else {
            self.cause = Cause::Packet(protocol);
            self.packet = self.record(stack).number("len").unwrap_or(0);
            let packet = self.record(stack).number("skbaddr");
            let driver = run.iter().copied().find(|at| {
                let record = self.record(*at);
                *at < stack
                    && record.is("napi_gro_receive_entry")
                    && record.number("skbaddr") == packet
            });
            match driver {
                None => self.miss("driver"),
                Some(driver) => self.nic(softirq, driver),
            }
            self.step(stack, "protocol", in_words);
        }
        self.step(socket, "socket", "data ready, wait queue called".to_owned());
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

    /// The callback, and what it did before it returned.
    fn callback(&mut self) {
        let at = self.middle;
        let record = self.record(at);
        if self.cause == Cause::Ready {
            let detail = format!(
                "item {} enters: its file was ready when it was {}",
                self.item,
                if record.field("reason") == Some("add") {
                    "added"
                } else {
                    "modified"
                }
            );
            self.step(at, "ready queue", detail);
            let next = self.index.cpu_after(at).take(4).find(|next| {
                self.record(*next).pid == record.pid && self.record(*next).is("repoll_wake")
            });
            if let Some(wake) = next {
                self.wake(wake, usize::MAX);
            }
            return;
        }
        let detail = format!(
            "called for fd {}: {}",
            record.show("fd"),
            events(record, "key")
        );
        let end = self.index.cpu_after(at).take(NEAR).find(|end| {
            let end = self.record(*end);
            end.is("repoll_callback_exit") && end.number("item") == Some(self.item)
        });
        let Some(end) = end else {
            self.step(at, "callback", detail);
            return self.miss("end of the callback");
        };
        self.step(at, "callback", detail);
        let during: Vec<_> = self
            .index
            .cpu_after(at)
            .take_while(|at| *at < end)
            .collect();
        let own = |record: &Record, event: &str| {
            record.is(event) && record.number("item") == Some(self.item)
        };
        match during
            .iter()
            .copied()
            .find(|at| own(self.record(*at), "repoll_queue"))
        {
            None => self.miss("ready queue"),
            Some(at) => self.step(at, "ready queue", format!("item {} enters", self.item)),
        }
        for nested in during.iter().copied() {
            let record = self.record(nested);
            if record.is("repoll_callback") {
                let detail = format!(
                    "instance {} watches this one: item {} is called",
                    record.show("ep"),
                    record.show("item")
                );
                self.step(nested, "nesting", detail);
            } else if record.is("repoll_wake") && record.number("waiters") == Some(1) {
                self.wake(nested, end);
                break;
            }
        }
    }

    /// The wake-up of a thread that sleeps in WAIT, up to where it runs.
    fn wake(&mut self, wake: usize, end: usize) {
        let record = self.record(wake);
        if record.number("waiters") != Some(1) {
            return;
        }
        let (ep, pid) = (record.show("ep"), record.pid);
        self.step(
            wake,
            "wake-up",
            format!("of a task that waits on instance {ep}"),
        );
        let waking = self
            .index
            .cpu_after(wake)
            .take_while(|at| *at < end)
            .take(64)
            .find(|at| {
                let record = self.record(*at);
                record.is("sched_waking") && record.pid == pid
            });
        let Some(waking) = waking else {
            // It may have been awake already: then there is nothing to do.
            return;
        };
        let record = self.record(waking);
        let target = record.number("pid").unwrap_or(0) as i32;
        let who = format!("{} ({target})", record.show("comm"));
        let detail = format!("{who} is to run, on CPU {}", record.show("target_cpu"));
        self.step(waking, "scheduler", detail);
        let Some(switch) = self.index.switch_after(target, waking) else {
            return self.miss("running");
        };
        let after = self.record(switch).show("prev_comm");
        self.step(switch, "running", format!("{who} runs, after {after}"));
    }

    /// From the item to the thread that takes it, and what the thread does.
    fn delivery(&mut self) {
        let woken = self.steps.iter().position(|step| step.name == "running");
        let mut again = 0;
        let mut again_queued = false;
        let mut poll = None;
        let mut end = None;
        for at in self.index.item_after(self.item, self.middle) {
            let record = self.record(at);
            match record.event() {
                "repoll_callback" if record.field("outcome") == Some("already-queued") => {
                    again += 1
                }
                // One may come between where the item is taken and where it is polled: that poll
                // sees both.
                "repoll_callback" if record.field("outcome") == Some("queued") => {
                    if again_queued {
                        break;
                    }
                    again_queued = true;
                }
                // What comes after a delivery, which is not there.
                "repoll_disarm" => break,
                "repoll_queue" if record.field("reason") == Some("level") => break,
                "repoll_poll" => {
                    poll = Some(at);
                    let ready =
                        record.number("ready").unwrap_or(0) & record.number("events").unwrap_or(-1);
                    if ready == 0 {
                        end = Some(at);
                        break;
                    }
                }
                "repoll_deliver" | "repoll_remove" => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let Some(end) = end else {
            return self.miss("delivery");
        };
        let receiver = self.record(end).pid;
        // If another thread was quicker than the one that was woken, its running tells nothing here.
        if let Some(running) = woken.map(|step| self.steps[step].at) {
            let its_own = self.record(running).number("next_pid") == Some(receiver.into());
            if !its_own || running > end {
                self.steps.retain(|step| step.at < end);
            }
        }
        let times = if again > 0 {
            format!(" (and {again} more callbacks)")
        } else {
            String::new()
        };
        if let Some(poll) = poll {
            let record = self.record(poll);
            let detail = format!(
                "fd {} is asked: {}{times}",
                record.show("fd"),
                ready(record)
            );
            self.step(poll, "poll", detail);
        }
        let record = self.record(end);
        if !record.is("repoll_deliver") {
            if record.is("repoll_remove") {
                let detail = format!("item {} is gone: {}", self.item, record.show("reason"));
                self.step(end, "removal", detail);
            }
            return;
        }
        self.receiver = format!("{} ({receiver})", record.comm);
        let data = record.number("data").unwrap_or(0) as u64;
        let detail = format!(
            "fd {}: {}, data {data:#x}",
            record.show("fd"),
            events(record, "events")
        );
        self.step(end, "delivery", detail);
        let exit = self.turn(receiver, end, "repoll_wait_exit");
        let Some(exit) = exit else {
            return self.miss("wait returns");
        };
        let after = self
            .index
            .item_after(self.item, end)
            .take_while(|at| *at < exit);
        let after: Vec<_> = after
            .filter(|at| self.record(*at).pid == receiver)
            .collect();
        for at in after {
            let record = self.record(at);
            if record.field("reason") == Some("level") {
                self.step(
                    at,
                    "requeue",
                    "level-triggered: the next wait looks again".to_owned(),
                );
                break;
            } else if record.is("repoll_disarm") {
                self.step(at, "disarm", "ONESHOT: nothing more until MOD".to_owned());
                break;
            }
        }
        let returned = plural(self.record(exit).number("ret").unwrap_or(0), "event");
        self.step(exit, "wait returns", returned);
        self.turnout(receiver, exit);
    }

    /// What the thread does before it waits again: reads, and sends something.
    fn turnout(&mut self, pid: i32, exit: usize) {
        let fd = self.record(self.middle).number("fd");
        let Some(read) = self.turn(pid, exit, "sock_recv_length") else {
            let mut calls = self
                .index
                .thread_after(pid, exit)
                .take(NEAR)
                .take_while(|at| !self.record(*at).is("repoll_wait_enter"));
            let call = calls.find(|at| {
                let record = self.record(*at);
                record.event().starts_with("sys_enter_") && record.number("fd") == fd
            });
            if let Some(at) = call {
                let call = self
                    .record(at)
                    .event()
                    .trim_start_matches("sys_enter_")
                    .to_owned();
                self.step(at, "use", format!("{call} on fd {}", fd.unwrap_or(-1)));
            }
            if self.cause == Cause::Packet(Protocol::Udp) {
                self.miss("read");
            }
            return;
        };
        let received = self.record(read).number("ret").unwrap_or(0);
        if let Cause::Packet(protocol) = self.cause {
            if received <= 0 || received + protocol.least_headers() > self.packet {
                return self.miss("read");
            }
        }
        self.step(read, "read", plural(received, "byte"));
        match (self.turn(pid, read, "net_dev_start_xmit"), self.cause) {
            (Some(echo), _) => {
                let record = self.record(echo);
                let detail = format!(
                    "{} sends it back, {} bytes",
                    record.show("name"),
                    record.show("len")
                );
                self.step(echo, "echo sent", detail);
            }
            (None, Cause::Packet(_)) => self.miss("echo"),
            (None, _) => {}
        }
    }

    /// The first event of a name in a thread, before it waits again.
    fn turn(&self, pid: i32, from: usize, event: &str) -> Option<usize> {
        let mut after = self.index.thread_after(pid, from).take(NEAR);
        let found = after.find(|at| {
            let record = self.record(*at);
            record.is(event) || record.is("repoll_wait_enter")
        });
        found.filter(|at| self.record(*at).is(event))
    }
}

/// An interrupt of a NIC's receive queue, as virtio-net calls them.
pub(crate) fn is_input_interrupt(record: &Record) -> bool {
    record.is("irq_handler_entry")
        && record
            .field("name")
            .is_some_and(|name| name.contains("-input."))
}

fn interrupt_in_words(record: &Record) -> String {
    format!("irq {}, vector {}", record.show("irq"), record.show("name"))
}

fn events(record: &Record, name: &str) -> String {
    match record.number(name) {
        Some(0) => "for what, the waker does not say".to_owned(),
        bits => event_names(bits.unwrap_or(0) as u32),
    }
}

fn ready(record: &Record) -> String {
    match record.number("ready") {
        Some(0) | None => "not ready any more".to_owned(),
        Some(bits) => event_names(bits as u32),
    }
}

fn plural(count: i64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}
