// SPDX-License-Identifier: GPL-2.0
//! A source's message that nobody watches for, and room that somebody waits for: sleepers are woken.

use super::{plural, Way};

impl Way<'_> {
    /// A message that has arrived, or a wake-up without one: there is room. `false` if it is a part of another
    /// story.
    pub(super) fn queued(&mut self, at: usize) -> bool {
        if self.is(at, "repoll_source_arrive") {
            self.arrival(at);
            self.read(at);
            return true;
        }
        // Told with the message.
        if self.index.wakeups.arrival(at).is_some() {
            return false;
        }
        self.source = self.record(at).number("source");
        self.cause_by_context(at);
        self.write(at);
        true
    }

    /// From the arrival to the read that takes the message.
    fn read(&mut self, arrival: usize) {
        if let Some(wake) = self.index.wakeups.telling(arrival) {
            self.told(wake, "read");
        }
        let read = self.index.messages.read(arrival);
        let Some(read) = read.filter(|read| *read > arrival) else {
            return self.miss("read");
        };
        let record = self.record(read);
        self.taken(record.pid, read);
        self.receiver = format!("{} ({})", record.comm, record.pid);
        self.read_message(read);
    }

    /// From where there is room to the end of the write that takes it.
    fn write(&mut self, wake: usize) {
        self.told(wake, "write");
        let running = self.steps.iter().find(|step| step.name == "running");
        let Some((running, Some(pid))) =
            running.map(|step| (step.at, self.record(step.at).number("next_pid")))
        else {
            return;
        };
        let source = self.record(wake).number("source");
        let mut after = self
            .index
            .thread_after(pid as i32, running)
            .take(super::NEAR);
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
            return self.step(end, "sleep", "another writer was quicker".to_owned());
        }
        self.receiver = format!("{} ({})", record.comm, record.pid);
        let detail = plural(record.number("ret").unwrap_or(0), "byte");
        self.step(end, "write", detail);
    }

    /// Who is told, and how.
    fn told(&mut self, wake: usize, call: &str) {
        let record = self.record(wake);
        let sleepers = record.number("sleepers") == Some(1);
        let mut whom = Vec::new();
        if sleepers {
            whom.push(format!("of a task that sleeps in a {call}"));
        }
        if record.number("pollers") == Some(1) {
            whom.push("of those who poll it".to_owned());
        }
        if record.number("signal") == Some(1) {
            whom.push("by signal".to_owned());
        }
        self.step(wake, "wake-up", whom.join(", "));
        if sleepers {
            self.wake(wake, usize::MAX, None);
        }
    }
}
