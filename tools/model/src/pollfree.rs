// SPDX-License-Identifier: GPL-2.0

//! POLLFREE against the removal of an entry: neither may use memory that the other has freed.
//!
//! A twin of `Entry::remove()`, `Entry::went_away()` and `Entry::is_used()` of
//! `rust/kernel_ext/wait_queue.rs`, which need the kernel. Keep the twins in step. RCU is modelled
//! as a readers-writer lock that a grace period takes once for writing. This gives exactly RCU's
//! guarantee: a reader ends before the grace period does, or begins after the grace period and sees
//! everything that came before it.

use super::check::{check, join};
use loom::{
    cell::UnsafeCell,
    sync::{
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Relaxed, Release},
        },
        Arc, Mutex, RwLock,
    },
    thread,
};

#[derive(Clone, Copy, PartialEq)]
enum Without {
    Nothing,
    /// The store of the null queue is relaxed.
    Release,
    /// The load of the queue is relaxed.
    Acquire,
    /// The null is stored before the entry is removed from the queue.
    LastTouch,
    /// The removal is not in an RCU section.
    Rcu,
}

struct Model {
    /// The queue's memory, freed by its owner.
    queue: UnsafeCell<()>,
    /// Whether the entry is in the queue's list, under the queue's lock.
    lock: Mutex<bool>,
    /// The entry's memory. The task that removes the entry frees it or reuses it.
    entry: UnsafeCell<()>,
    /// Whether `Entry::head` is not null.
    head: AtomicBool,
    rcu: RwLock<()>,
}

impl Model {
    /// The owner wakes the queue with POLLFREE, and frees it a grace period later.
    fn queue_goes(&self, without: Without) {
        let mut listed = self.lock.lock().expect("poison");
        if *listed {
            // The callback, and `went_away()`.
            let null = || {
                let order = if without == Without::Release {
                    Relaxed
                } else {
                    Release
                };
                self.head.store(false, order);
            };
            if without == Without::LastTouch {
                null();
            }
            self.entry.with_mut(|_| *listed = false);
            if without != Without::LastTouch {
                null();
            }
        }
        drop(listed);
        drop(self.rcu.write());
        self.queue.with_mut(|_| ());
    }

    /// `Entry::remove()`.
    fn remove(&self, without: Without) {
        let section = (without != Without::Rcu).then(|| self.rcu.read());
        let order = if without == Without::Acquire {
            Relaxed
        } else {
            Acquire
        };
        if self.head.load(order) {
            // The lock is in the queue's memory.
            self.queue.with(|_| ());
            let mut listed = self.lock.lock().expect("poison");
            self.queue.with(|_| ());
            self.entry.with_mut(|_| *listed = false);
        }
        drop(section);
    }
}

fn model(
    name: &str,
    without: Without,
    end: impl Fn(&Model, Without) + Copy + Send + Sync + 'static,
) {
    check(name, None, move || {
        let model = Arc::new(Model {
            queue: UnsafeCell::new(()),
            lock: Mutex::new(true),
            entry: UnsafeCell::new(()),
            head: AtomicBool::new(true),
            rcu: RwLock::new(()),
        });
        let owner = {
            let model = model.clone();
            thread::spawn(move || model.queue_goes(without))
        };
        end(&model, without);
        join(owner);
    });
}

/// The watch ends and is freed.
fn removed(model: &Model, without: Without) {
    model.remove(without);
    model.entry.with_mut(|_| ());
}

/// The entry is reused for another queue if the first queue has gone.
fn used_again(model: &Model, without: Without) {
    let order = if without == Without::Acquire {
        Relaxed
    } else {
        Acquire
    };
    if !model.head.load(order) {
        model.entry.with_mut(|_| ());
    }
}

#[test]
fn nothing_freed_is_touched() {
    model("nothing_freed_is_touched", Without::Nothing, removed);
}

#[test]
fn an_entry_is_used_again_after_the_last_touch() {
    let name = "an_entry_is_used_again_after_the_last_touch";
    model(name, Without::Nothing, used_again);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_freed_entry_is_touched_without_the_release() {
    model("without the release", Without::Release, removed);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_freed_entry_is_touched_without_the_acquire() {
    model("without the acquire", Without::Acquire, removed);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_freed_entry_is_touched_if_the_null_is_not_the_last_touch() {
    model("null first", Without::LastTouch, removed);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_freed_queue_is_touched_without_rcu() {
    model("without RCU", Without::Rcu, removed);
}

/// `is_used()` was once relaxed.
#[test]
#[should_panic(expected = "Causality violation")]
fn an_entry_is_used_again_too_early_without_the_acquire() {
    model("is_used() relaxed", Without::Acquire, used_again);
}
