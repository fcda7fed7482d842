// SPDX-License-Identifier: GPL-2.0
//! The delivery of a queued item by WAIT.

use super::consumer::Returned;
use super::follower::Follower;
use super::words::{more, plural};
use crate::story::event_bits::{self, is_ready, ready};

/// The records of one item, from the ready queue to its delivery, or to where it turns out not to
/// be ready or is removed.
struct Delivery {
    /// Callbacks that found the item already queued.
    again: i64,
    poll: Option<usize>,
    /// A `repoll_deliver`, a `repoll_remove`, or a `repoll_poll` that found nothing.
    end: usize,
}

impl Follower<'_> {
    /// Adds the steps of an item from the ready queue to the return of WAIT. `above` is the return
    /// of the outer instance's WAIT, from which the thread knows that this instance is ready.
    pub(super) fn delivery(
        &mut self,
        level: usize,
        item: i64,
        above: Option<Returned>,
    ) -> Option<Returned> {
        let from = above.map_or(self.links[level].at, |above| above.at);
        let Some(Delivery { again, poll, end }) = self.find_delivery(item, from) else {
            self.miss("delivery");
            return None;
        };
        let receiver = self.record(end).pid;
        if above.is_some_and(|above| above.pid != receiver) {
            // Another thread got the event first; it has a story of its own.
            return None;
        }
        self.asks_inner(level, from, poll.unwrap_or(end));
        if let Some(poll) = poll {
            let record = self.record(poll);
            let (fd, again) = (record.show("fd"), more(again, "callback"));
            self.step(
                poll,
                "poll",
                format!("of fd {fd}: {}{again}", ready(record)),
            );
        }
        let record = self.record(end);
        if !record.is("repoll_deliver") {
            if record.is("repoll_remove") {
                let detail = format!("of item {item}: {}", record.show("reason"));
                self.step(end, "removal", detail);
            }
            return None;
        }
        self.receiver = format!("{} ({receiver})", record.comm);
        let data = record.number("data").unwrap_or(0) as u64;
        let (fd, events) = (record.show("fd"), event_bits::named(record, "events"));
        self.step(
            end,
            "delivery",
            format!("fd {fd}: {events}, data {data:#x}"),
        );
        let Some(exit) = self.before_next_wait(receiver, end, "repoll_wait_exit") else {
            self.miss("wait returns");
            return None;
        };
        self.requeue_or_disarm(item, receiver, end, exit);
        let returned = plural(self.record(exit).number("ret").unwrap_or(0), "event");
        self.step(exit, "wait returns", returned);
        Some(Returned {
            pid: receiver,
            at: exit,
        })
    }

    fn find_delivery(&self, item: i64, from: usize) -> Option<Delivery> {
        let mut again = 0;
        let mut queued_again = false;
        let mut poll = None;
        for at in self.index.item_after(item, from) {
            let record = self.record(at);
            match record.event() {
                "repoll_callback" if record.field("outcome") == Some("already-queued") => {
                    again += 1
                }
                // One callback may queue the item between where WAIT takes it out and where WAIT
                // polls it: that poll covers both.
                "repoll_callback" if record.field("outcome") == Some("queued") => {
                    if queued_again {
                        return None;
                    }
                    queued_again = true;
                }
                // These follow a delivery, so the delivery is missing.
                "repoll_disarm" => return None,
                "repoll_queue" if record.field("reason") == Some("level") => return None,
                "repoll_poll" => {
                    poll = Some(at);
                    if !is_ready(record) {
                        return Some(Delivery {
                            again,
                            poll,
                            end: at,
                        });
                    }
                }
                "repoll_deliver" | "repoll_remove" => {
                    return Some(Delivery {
                        again,
                        poll,
                        end: at,
                    })
                }
                _ => {}
            }
        }
        None
    }

    /// Adds the requeue of a level-triggered item, or the disarming of a ONESHOT item, after its
    /// delivery.
    fn requeue_or_disarm(&mut self, item: i64, receiver: i32, end: usize, exit: usize) {
        let after: Vec<_> = self
            .index
            .item_after(item, end)
            .take_while(|at| *at < exit)
            .filter(|at| self.record(*at).pid == receiver)
            .collect();
        for at in after {
            let record = self.record(at);
            if record.field("reason") == Some("level") {
                let detail = "level-triggered: the next WAIT polls it again";
                return self.step(at, "requeue", detail.to_owned());
            } else if record.is("repoll_disarm") {
                let detail = "ONESHOT: disabled until MOD";
                return self.step(at, "disarm", detail.to_owned());
            }
        }
    }
}
