// SPDX-License-Identifier: GPL-2.0
//! Follows the way of one packet through a trace.
//!
//! It begins in the middle, at the callback of the watched socket. Backwards, all happened on
//! the same CPU, in one run of the NET_RX softirq. Forwards, the item leads to the delivery, the
//! delivery to the process, and the process to its wake-up and to its echo. Each step is a
//! recorded event, and comes after the one before it in the trace.

use crate::record::{Context, Record};
use crate::story::{event_names, Protocol, Step, Story};

/// Why a callback is not in the middle of a whole story.
pub(crate) enum Lost {
    /// This step is not there.
    Step(&'static str),
    /// It was no packet of this protocol from outside.
    Other,
}

/// The records, seen from a callback.
pub(crate) struct Way<'a> {
    records: &'a [Record],
    /// The callback's place in the trace; so are the other `usize`s here.
    callback: usize,
}

/// The way up to the callback.
struct Arrival {
    interrupt: usize,
    softirq: usize,
    driver: usize,
    stack: usize,
    socket: usize,
}

/// The way from the callback on.
struct Departure {
    queue: usize,
    wake: usize,
    waking: usize,
    switch: usize,
    deliver: usize,
    exit: usize,
    read: usize,
    echo: usize,
}

impl<'a> Way<'a> {
    /// The way on which `callback` is a step.
    pub(crate) fn new(records: &'a [Record], callback: usize) -> Self {
        Self { records, callback }
    }

    /// Follows it in both directions.
    pub(crate) fn follow(&self, protocol: Protocol) -> Result<Story, Lost> {
        let arrival = self.arrival(protocol)?;
        let departure = self.departure(protocol, &arrival)?;
        Ok(Story {
            protocol,
            steps: self.steps(protocol, &arrival, &departure),
        })
    }

    /// Backwards: one run of the softirq, on one CPU.
    fn arrival(&self, protocol: Protocol) -> Result<Arrival, Lost> {
        let cpu = self.records[self.callback].cpu;
        let here = |r: &Record| r.cpu == cpu && r.context == Context::Softirq;
        let net_rx = |r: &Record| is(r, "softirq_entry") && r.number("vec") == Some(3);

        let softirq = self
            .before(self.callback, |r| here(r) && is(r, "softirq_entry"))
            .filter(|at| net_rx(&self.records[*at]))
            .ok_or(Lost::Other)?;
        let within = |from: usize, event: &str| {
            let found = self.before(from, |r| here(r) && is(r, event));
            found.filter(|at| *at > softirq)
        };
        let socket = within(self.callback, "sk_data_ready").ok_or(Lost::Other)?;
        if self.records[socket].number("protocol") != Some(protocol.number()) {
            return Err(Lost::Other);
        }
        let stack = within(socket, "netif_receive_skb").ok_or(Lost::Step("protocol"))?;
        if self.records[stack].field("dev") == Some("lo") {
            return Err(Lost::Other);
        }
        let skb = self.records[stack].field("skbaddr");
        let driver = self
            .before(stack, |r| {
                here(r) && is(r, "napi_gro_receive_entry") && r.field("skbaddr") == skb
            })
            .filter(|at| *at > softirq)
            .ok_or(Lost::Step("driver"))?;

        // The interrupt that began it. One before the end of an earlier poll began that one; and
        // if another poll or interrupt came before our packet, it may have come with those.
        let disturbs = |r: &Record| r.cpu == cpu && (is_input_interrupt(r) || is(r, "napi_poll"));
        let interrupt = self
            .before(softirq, |r| disturbs(r) || (r.cpu == cpu && net_rx(r)))
            .filter(|at| is_input_interrupt(&self.records[*at]))
            .filter(|_| !self.records[softirq..driver].iter().any(disturbs))
            .ok_or(Lost::Step("interrupt"))?;
        Ok(Arrival {
            interrupt,
            softirq,
            driver,
            stack,
            socket,
        })
    }

    /// Forwards: from the item to the process.
    fn departure(&self, protocol: Protocol, arrival: &Arrival) -> Result<Departure, Lost> {
        let callback = &self.records[self.callback];
        let (ep, item) = (callback.field("ep"), callback.field("item"));
        let here = |r: &Record| r.cpu == callback.cpu && r.context == Context::Softirq;

        let delivered = |r: &Record| is(r, "repoll_deliver") && r.field("item") == item;
        let deliver = self
            .after(self.callback, delivered)
            .ok_or(Lost::Step("delivery"))?;
        let pid = self.records[deliver].pid;
        let is_pid = |r: &Record, name: &str| r.number(name) == Some(pid.into());

        // Between the socket's call and the delivery. The queueing may be told before the callback.
        let between = |step, want: &dyn Fn(&Record) -> bool| {
            let found = self.after(arrival.socket, |r| here(r) && want(r));
            found.filter(|at| *at < deliver).ok_or(Lost::Step(step))
        };
        let queue = between("ready queue", &|r| {
            let ours = is(r, "repoll_queue") && r.field("item") == item;
            ours && r.field("reason") == Some("callback")
        })?;
        let wake = between("wake-up", &|r| is(r, "repoll_wake") && r.field("ep") == ep)?;
        let waking = between("scheduler", &|r| is(r, "sched_waking") && is_pid(r, "pid"))?;
        let switch = self
            .before(deliver, |r| is(r, "sched_switch") && is_pid(r, "next_pid"))
            .filter(|at| *at > waking)
            .ok_or(Lost::Step("running"))?;

        // What the process does before it waits again.
        let turn = |from: usize, event: &str| {
            let found = self.after(from, |r| {
                let mine = r.pid == pid && r.context == Context::Task;
                mine && (is(r, event) || is(r, "repoll_wait_enter"))
            });
            found.filter(|at| is(&self.records[*at], event))
        };
        let exit = turn(deliver, "repoll_wait_exit").ok_or(Lost::Step("wait returns"))?;
        let read = match (turn(exit, "sock_recv_length"), protocol) {
            (Some(read), _) => read,
            (None, Protocol::Udp) => return Err(Lost::Step("read")),
            // A connection that begins or ends: nothing to read.
            (None, Protocol::Tcp) => return Err(Lost::Other),
        };
        let received = self.number(read, "length");
        if received <= 0 || received + protocol.least_headers() > self.number(arrival.stack, "len")
        {
            return Err(Lost::Step("read"));
        }
        let echo = turn(read, "net_dev_start_xmit").ok_or(Lost::Step("echo"))?;
        Ok(Departure {
            queue,
            wake,
            waking,
            switch,
            deliver,
            exit,
            read,
            echo,
        })
    }

    /// The steps in words, in the order of the trace.
    fn steps(&self, protocol: Protocol, arrival: &Arrival, departure: &Departure) -> Vec<Step> {
        let get = |at: usize, name: &str| self.records[at].field(name).unwrap_or("?").to_owned();
        let events = |at, name| event_names(self.number(at, name) as u32);
        let server = {
            let record = &self.records[departure.deliver];
            format!("{} ({})", record.comm, record.pid)
        };
        let mut steps = Vec::new();
        let mut add = |at: usize, name: &'static str, detail: String| {
            steps.push((at, self.step(at, name, detail)));
        };

        let at = arrival.interrupt;
        let detail = format!("irq {}, vector {}", get(at, "irq"), get(at, "name"));
        add(at, "interrupt", detail);
        let detail = "NET_RX begins to poll the NIC".to_owned();
        add(arrival.softirq, "NAPI", detail);
        let at = arrival.driver;
        let (dev, len) = (get(at, "dev"), get(at, "len"));
        add(
            at,
            "driver",
            format!("{dev} hands over a packet, {len} bytes"),
        );
        add(
            arrival.stack,
            "protocol",
            format!("IP and {protocol} take it"),
        );
        let detail = "data ready, wait queue called".to_owned();
        add(arrival.socket, "socket", detail);

        let at = self.callback;
        let detail = format!("called for fd {}: {}", get(at, "fd"), events(at, "key"));
        add(at, "callback", detail);

        let at = departure.queue;
        add(
            at,
            "ready queue",
            format!("item {} enters", get(at, "item")),
        );
        let at = departure.wake;
        let detail = format!("of a task that waits on instance {}", get(at, "ep"));
        add(at, "wake-up", detail);
        let at = departure.waking;
        let target = self.number(at, "target_cpu");
        add(
            at,
            "scheduler",
            format!("{server} is to run, on CPU {target}"),
        );
        let at = departure.switch;
        let detail = format!("{server} runs, after {}", get(at, "prev_comm"));
        add(at, "scheduler", detail);
        let at = departure.deliver;
        let (fd, data) = (get(at, "fd"), get(at, "data"));
        let detail = format!("fd {fd}: {}, data {data}", events(at, "events"));
        add(at, "delivery", detail);
        let at = departure.exit;
        add(at, "wait returns", plural(self.number(at, "ret"), "event"));
        let at = departure.read;
        add(at, "read", plural(self.number(at, "length"), "byte"));
        let at = departure.echo;
        let (dev, len) = (get(at, "dev"), get(at, "len"));
        add(at, "echo sent", format!("{dev} sends it back, {len} bytes"));

        steps.sort_by_key(|(at, _)| *at);
        steps.into_iter().map(|(_, step)| step).collect()
    }

    fn step(&self, at: usize, name: &'static str, detail: String) -> Step {
        let record = &self.records[at];
        Step {
            time: record.time,
            cpu: record.cpu,
            context: record.context,
            name,
            detail,
        }
    }

    /// A number that a record holds; 0 if it does not.
    fn number(&self, at: usize, name: &str) -> i64 {
        self.records[at].number(name).unwrap_or(0)
    }

    /// The last record before `at` that is wanted.
    fn before(&self, at: usize, want: impl Fn(&Record) -> bool) -> Option<usize> {
        (0..at).rev().find(|at| want(&self.records[*at]))
    }

    /// The first record after `at` that is wanted.
    fn after(&self, at: usize, want: impl Fn(&Record) -> bool) -> Option<usize> {
        (at + 1..self.records.len()).find(|at| want(&self.records[*at]))
    }
}

fn is(record: &Record, event: &str) -> bool {
    record.event == event
}

/// An interrupt of a NIC's receive queue, as virtio-net calls them.
fn is_input_interrupt(record: &Record) -> bool {
    is(record, "irq_handler_entry")
        && record
            .field("name")
            .is_some_and(|name| name.contains("-input."))
}

fn plural(count: i64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}
