// SPDX-License-Identifier: GPL-2.0
//! A source without callees: a message that a read takes, or room for which a writer sleeps.

use super::follower::{Follower, NEAR};
use super::words::plural;

impl Follower<'_> {
    /// Follows a message from its arrival, or a sleeping writer from the wake-up for room. `false`
    /// if the wake-up belongs to a message, whose story covers it.
    pub(super) fn follow_message(&mut self, at: usize) -> bool {
        if self.is(at, "repoll_source_arrive") {
            self.follow_arrival(at);
            self.follow_read(at);
            return true;
        }
        if self.index.wakeups.arrival(at).is_some() {
            return false;
        }
        self.source = self.record(at).number("source");
        self.follow_context(at);
        self.follow_write(at);
        true
    }

    /// From the arrival to the read that takes the message.
    fn follow_read(&mut self, arrival: usize) {
        if let Some(wake) = self.index.wakeups.wake_of_arrival(arrival) {
            self.source_wakes(wake, "read");
        }
        let read = self.index.messages.read(arrival);
        let Some(read) = read.filter(|read| *read > arrival) else {
            return self.miss("read");
        };
        let record = self.record(read);
        self.keep_receiver(record.pid, read);
        self.receiver = format!("{} ({})", record.comm, record.pid);
        self.read_message(read);
    }

    /// From the wake-up for room to the end of the write that uses it.
    fn follow_write(&mut self, wake: usize) {
        self.source_wakes(wake, "write");
        let running = self.steps.iter().find(|step| step.name == "running");
        let Some((running, Some(pid))) =
            running.map(|step| (step.at, self.record(step.at).number("next_pid")))
        else {
            return;
        };
        let source = self.record(wake).number("source");
        let mut after = self.index.thread_after(pid as i32, running).take(NEAR);
        let end = after.find(|at| {
            let record = self.record(*at);
            matches!(
                record.event(),
                "repoll_source_write" | "repoll_source_sleep"
            ) && record.number("source") == source
        });
        let Some(end) = end else {
            return self.miss("write");
        };
        let record = self.record(end);
        if record.is("repoll_source_sleep") {
            return self.step(end, "sleep", "another writer took the room".to_owned());
        }
        self.receiver = format!("{} ({})", record.comm, record.pid);
        let detail = plural(record.number("ret").unwrap_or(0), "byte");
        self.step(end, "write", detail);
    }

    /// Adds a source's wake-up; a task that sleeps in `call` is followed.
    fn source_wakes(&mut self, wake: usize, call: &str) {
        let record = self.record(wake);
        let sleepers = record.number("sleepers") == Some(1);
        let mut whom = Vec::new();
        if sleepers {
            whom.push(format!("of a task that sleeps in a {call}"));
        }
        if record.number("pollers") == Some(1) {
            whom.push("of the source's pollers".to_owned());
        }
        if record.number("signal") == Some(1) {
            whom.push("by signal".to_owned());
        }
        self.step(wake, "wake-up", whom.join(", "));
        if sleepers {
            self.follow_wake_up(wake, usize::MAX, None);
        }
    }
}
