// SPDX-License-Identifier: GPL-2.0
//! Forwards: the thread that takes the event, and what it does.

use super::{events, is_ready, plural, ready, Link, Way};
use crate::story::{Called, Cause, Protocol};

/// Where a call returned to a thread.
struct Returned {
    pid: i32,
    at: usize,
}

impl Way<'_> {
    /// ADD or MOD found it ready.
    pub(super) fn found_by_ctl(&mut self, at: usize) -> bool {
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
        let detail = format!("item {item} enters: its file was ready when it was {done}");
        self.step(at, "ready queue", detail);
        let next = self
            .index
            .cpu_after(at)
            .take(4)
            .find(|next| self.record(*next).pid == record.pid && self.is(*next, "repoll_wake"));
        if let Some(wake) = next.filter(|wake| self.record(*wake).number("waiters") == Some(1)) {
            let detail = format!("of a task that waits on instance {ep}");
            self.step(wake, "wake-up", detail);
            self.wake(wake, usize::MAX, None);
        }
        self.turns();
        true
    }

    /// SELECT or POLL found something ready when it asked for the first time. `false` if not.
    pub(super) fn found_by_call(&mut self, at: usize) -> bool {
        let Some(task) = self.record(at).number("task") else {
            return false;
        };
        let first = self.index.call_after(task, at).find_map(|at| {
            let record = self.record(at);
            match record.event() {
                "repoll_select_poll" if is_ready(record) => Some(Some(at)),
                "repoll_select_poll" => None,
                _ => Some(None),
            }
        });
        let (Some(Some(poll)), Some(call)) = (first, self.call_of(task, at + 1)) else {
            return false;
        };
        self.cause = Cause::Ready;
        let fd = self.record(poll).number("fd").unwrap_or(-1);
        let who = Called::Entry { call, task, fd };
        self.links.push(Link { at, who });
        let files = plural(self.record(at).number("nfds").unwrap_or(0), "descriptor");
        self.step(at, "call", format!("{call} of {files}"));
        self.turns();
        true
    }

    /// From those who were called to the thread that takes it, from above down to the file, and what the
    /// thread does.
    pub(super) fn turns(&mut self) {
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
        if let Some(Returned { pid, at }) = returned {
            self.turnout(pid, at);
        }
    }

    /// Whether the thread that was woken is the one that looks, from `poll` on; and what it asks below.
    fn looks(&mut self, level: usize, from: usize, poll: usize) {
        let pid = self.record(poll).pid;
        let below: Vec<_> = self.links[..level]
            .iter()
            .filter_map(|link| {
                let Called::Item { item, .. } = link.who else {
                    return None;
                };
                let asked = self
                    .index
                    .item_after(item, from)
                    .take_while(|at| *at < poll);
                asked
                    .filter(|at| self.is(*at, "repoll_poll") && self.record(*at).pid == pid)
                    .last()
            })
            .collect();
        if level + 1 == self.links.len() {
            self.taken(pid, below.first().copied().unwrap_or(poll));
        }
        for at in below {
            let record = self.record(at);
            let detail = format!("fd {} is asked: {}", record.show("fd"), ready(record));
            self.step(at, "poll", detail);
        }
    }

    /// An item, from where it is in the ready queue to the return of WAIT. `above`: where the thread knows
    /// from that it is to ask this instance.
    fn delivery(&mut self, level: usize, item: i64, above: Option<Returned>) -> Option<Returned> {
        let from = above
            .as_ref()
            .map_or(self.links[level].at, |above| above.at);
        let mut again = 0;
        let mut again_queued = false;
        let mut poll = None;
        let mut end = None;
        for at in self.index.item_after(item, from) {
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
                    if !is_ready(record) {
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
            self.miss("delivery");
            return None;
        };
        let receiver = self.record(end).pid;
        if above.is_some_and(|above| above.pid != receiver) {
            // Another one was quicker, which has a story of its own.
            return None;
        }
        self.looks(level, from, poll.unwrap_or(end));
        if let Some(poll) = poll {
            let record = self.record(poll);
            let detail = format!(
                "fd {} is asked: {}{}",
                record.show("fd"),
                ready(record),
                more(again, "callback")
            );
            self.step(poll, "poll", detail);
        }
        let record = self.record(end);
        if !record.is("repoll_deliver") {
            if record.is("repoll_remove") {
                let detail = format!("item {item} is gone: {}", record.show("reason"));
                self.step(end, "removal", detail);
            }
            return None;
        }
        self.receiver = format!("{} ({receiver})", record.comm);
        let data = record.number("data").unwrap_or(0) as u64;
        let detail = format!(
            "fd {}: {}, data {data:#x}",
            record.show("fd"),
            events(record, "events")
        );
        self.step(end, "delivery", detail);
        let Some(exit) = self.turn(receiver, end, "repoll_wait_exit") else {
            self.miss("wait returns");
            return None;
        };
        self.afterwards(item, receiver, end, exit);
        let returned = plural(self.record(exit).number("ret").unwrap_or(0), "event");
        self.step(exit, "wait returns", returned);
        Some(Returned {
            pid: receiver,
            at: exit,
        })
    }

    /// What becomes of an item that was delivered.
    fn afterwards(&mut self, item: i64, receiver: i32, end: usize, exit: usize) {
        let after: Vec<_> = self
            .index
            .item_after(item, end)
            .take_while(|at| *at < exit)
            .filter(|at| self.record(*at).pid == receiver)
            .collect();
        for at in after {
            let record = self.record(at);
            if record.field("reason") == Some("level") {
                let detail = "level-triggered: the next wait looks again";
                return self.step(at, "requeue", detail.to_owned());
            } else if record.is("repoll_disarm") {
                let detail = "ONESHOT: nothing more until MOD";
                return self.step(at, "disarm", detail.to_owned());
            }
        }
    }

    /// SELECT or POLL, from where it is told to its return.
    fn pass(&mut self, level: usize, task: i64, fd: i64, from: usize) -> Option<Returned> {
        let mut again = 0;
        let mut poll = None;
        let mut pass = None;
        let mut result = None;
        for at in self.index.call_after(task, from) {
            let record = self.record(at);
            match record.event() {
                "repoll_select_wake" if pass.is_none() => {
                    again += i64::from(record.number("matched") == Some(1))
                }
                "repoll_select_poll" if poll.is_none() && record.number("fd") == Some(fd) => {
                    poll = Some(at)
                }
                // One that had asked it before is not the one that was woken for it.
                "repoll_select_pass" if poll.is_some() || record.number("ready") != Some(0) => {
                    pass = Some(at)
                }
                // What is left over is not told to this call any more.
                "repoll_select_sleep" if pass.is_some() => break,
                "repoll_select_result" => {
                    result = Some(at);
                    break;
                }
                "repoll_select_setup" => break,
                _ => {}
            }
        }
        let Some(first) = poll.or(pass).or(result) else {
            self.miss("poll");
            return None;
        };
        self.looks(level, from, first);
        let mut useful = false;
        if let Some(poll) = poll.filter(|poll| pass.is_none_or(|pass| *poll < pass)) {
            let record = self.record(poll);
            useful = is_ready(record);
            let said = match useful {
                true => ready(record),
                false => "not ready any more".to_owned(),
            };
            let detail = format!("fd {fd} is asked: {said}{}", more(again, "wake-up"));
            self.step(poll, "poll", detail);
        }
        match pass {
            None if result.is_none() => self.miss("pass"),
            None => {}
            Some(pass) => {
                let record = self.record(pass);
                let asked = plural(record.number("polled").unwrap_or(0), "file");
                let detail = format!("{asked} asked, {} ready", record.show("ready"));
                self.step(pass, "pass", detail);
            }
        }
        let Some(result) = result else {
            if useful {
                self.miss("returns");
            }
            return None;
        };
        let record = self.record(result);
        let name = record.field("call").unwrap_or("the call").to_uppercase();
        let detail = match record.number("ret").unwrap_or(0) {
            error @ ..0 => format!("{name}: errno {}", -error),
            count => format!("{name}: {count} ready"),
        };
        self.step(result, "returns", detail);
        if !useful {
            return None;
        }
        self.receiver = format!("{} ({})", record.comm, record.pid);
        Some(Returned {
            pid: record.pid,
            at: result,
        })
    }

    /// What the thread does before it waits again: reads, and sends something.
    fn turnout(&mut self, pid: i32, exit: usize) {
        if let Some(message) = self.message {
            // A message is read once; another thread may be quicker, or this one reads an older one.
            let read = self.index.messages.read(message);
            if let Some(read) = read.filter(|read| *read > exit && self.record(*read).pid == pid) {
                return self.read_message(read);
            }
        }
        let fd = self.links.first().map(|link| link.who.fd());
        let Some(read) = self.turn(pid, exit, "sock_recv_length") else {
            let call = self.turn_where(pid, exit, |record| {
                record.event().starts_with("sys_enter_") && record.number("fd") == fd
            });
            if let Some(at) = call {
                let call = self.record(at).event().trim_start_matches("sys_enter_");
                let detail = format!("{call} on fd {}", fd.unwrap_or(-1));
                self.step(at, "use", detail);
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

    /// A message is read.
    pub(super) fn read_message(&mut self, at: usize) {
        let record = self.record(at);
        let detail = plural(record.number("ret").unwrap_or(0), "byte");
        self.step(at, "read", detail);
    }
}

fn more(again: i64, what: &str) -> String {
    match again {
        0 => String::new(),
        1 => format!(" (and 1 more {what})"),
        again => format!(" (and {again} more {what}s)"),
    }
}
