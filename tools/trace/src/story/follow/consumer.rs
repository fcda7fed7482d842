// SPDX-License-Identifier: GPL-2.0
//! Forwards: the thread that gets the event, and what it does with it.

use super::follower::{Follower, Link};
use super::words::plural;
use crate::story::event_bits::{is_ready, ready};
use crate::story::{Called, Cause, Protocol};

/// The return of a call to a thread that has the event.
#[derive(Clone, Copy)]
pub(super) struct Returned {
    pub(super) pid: i32,
    pub(super) at: usize,
}

impl Follower<'_> {
    /// Follows an item that ADD or MOD queues at `at`, because its file is ready.
    pub(super) fn follow_ready_at_ctl(&mut self, at: usize) -> bool {
        self.cause = Cause::Ready;
        let record = self.record(at);
        let number = |name| record.number(name).unwrap_or(0);
        let (ep, item, fd) = (number("ep"), number("item"), number("fd"));
        self.links.push(Link {
            at,
            who: Called::Item { ep, item, fd },
        });
        let done = match record.field("reason") {
            Some("add") => "added",
            _ => "modified",
        };
        let detail = format!("item {item} is queued: its file was ready when it was {done}");
        self.step(at, "ready queue", detail);
        let next = self
            .index
            .cpu_after(at)
            .take(4)
            .find(|next| self.record(*next).pid == record.pid && self.is(*next, "repoll_wake"));
        if let Some(wake) = next.filter(|wake| self.record(*wake).number("waiters") == Some(1)) {
            let detail = format!("of a waiter of instance {ep}");
            self.step(wake, "wake-up", detail);
            self.follow_wake_up(wake, usize::MAX, None);
        }
        self.follow_consumer();
        true
    }

    /// Follows the SELECT or POLL that is set up at `at`. `false` unless its first pass finds a
    /// ready file before it sleeps.
    pub(super) fn follow_ready_at_first_pass(&mut self, at: usize) -> bool {
        let Some(task) = self.record(at).number("task") else {
            return false;
        };
        let ready_file = self
            .index
            .call_after(task, at)
            .take_while(|at| self.is(*at, "repoll_select_poll"))
            .find(|at| is_ready(self.record(*at)));
        let (Some(poll), Some(call)) = (ready_file, self.call_of(task, at + 1)) else {
            return false;
        };
        self.cause = Cause::Ready;
        let fd = self.record(poll).number("fd").unwrap_or(-1);
        let who = Called::Entry { call, task, fd };
        self.links.push(Link { at, who });
        let files = plural(self.record(at).number("nfds").unwrap_or(0), "descriptor");
        self.step(at, "call", format!("{call} of {files}"));
        self.follow_consumer();
        true
    }

    /// Follows the thread that gets the event: from the outermost callee down to the file, each
    /// with the call that returns the event, and then the thread itself.
    pub(super) fn follow_consumer(&mut self) {
        let mut returned: Option<Returned> = None;
        for level in (0..self.links.len()).rev() {
            let link = self.links[level];
            let result = match link.who {
                Called::Item { item, .. } => self.delivery(level, item, returned),
                Called::Entry { task, fd, .. } => self.pass(level, task, fd, link.at),
            };
            match result {
                None => return,
                result => returned = result,
            }
        }
        if let Some(returned) = returned {
            self.after_return(returned);
        }
    }

    /// Adds the polls of the items below `level` that the thread makes from `from` on, before its
    /// poll of that level's item at `poll`: to poll an instance is to poll its items.
    pub(super) fn asks_inner(&mut self, level: usize, from: usize, poll: usize) {
        let pid = self.record(poll).pid;
        let below: Vec<_> = self.links[..level]
            .iter()
            .filter_map(|link| {
                let Called::Item { item, .. } = link.who else {
                    return None;
                };
                let polled = self
                    .index
                    .item_after(item, from)
                    .take_while(|at| *at < poll);
                polled
                    .filter(|at| self.is(*at, "repoll_poll") && self.record(*at).pid == pid)
                    .last()
            })
            .collect();
        if level + 1 == self.links.len() {
            self.keep_receiver(pid, below.first().copied().unwrap_or(poll));
        }
        for at in below {
            let record = self.record(at);
            let detail = format!("of fd {}: {}", record.show("fd"), ready(record));
            self.step(at, "poll", detail);
        }
    }

    /// Adds what the thread does between the return of its call and its next wait: it reads, and
    /// answers.
    fn after_return(&mut self, returned: Returned) {
        let Returned { pid, at: exit } = returned;
        if let Some(message) = self.message {
            // A message is read once: another thread may read it, and this one an older message.
            let read = self.index.messages.read(message);
            if let Some(read) = read.filter(|read| *read > exit && self.record(*read).pid == pid) {
                return self.read_message(read);
            }
        }
        let Some(read) = self.before_next_wait(pid, exit, "sock_recv_length") else {
            self.other_use(pid, exit);
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
        match (
            self.before_next_wait(pid, read, "net_dev_start_xmit"),
            self.cause,
        ) {
            (Some(echo), _) => {
                let record = self.record(echo);
                let (name, length) = (record.show("name"), record.show("len"));
                let detail = format!("{name} sends a packet, {length} bytes");
                self.step(echo, "echo sent", detail);
            }
            (None, Cause::Packet(_)) => self.miss("echo"),
            (None, _) => {}
        }
    }

    /// Adds the first system call on the file that is ready.
    fn other_use(&mut self, pid: i32, exit: usize) {
        let fd = self.links.first().map(|link| link.who.fd());
        let call = self.before_next_wait_where(pid, exit, |record| {
            record.event().starts_with("sys_enter_") && record.number("fd") == fd
        });
        if let Some(at) = call {
            let call = self.record(at).event().trim_start_matches("sys_enter_");
            let detail = format!("{call} on fd {}", fd.unwrap_or(-1));
            self.step(at, "use", detail);
        }
    }

    /// Adds the read of a message.
    pub(super) fn read_message(&mut self, at: usize) {
        let record = self.record(at);
        let detail = plural(record.number("ret").unwrap_or(0), "byte");
        self.step(at, "read", detail);
    }
}
