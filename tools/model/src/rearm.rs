// SPDX-License-Identifier: GPL-2.0

//! MOD against the callback: an event that arrives as MOD asks for it is not lost.
//!
//! A twin of `Item::set_interest()` of `rust/eventpoll/item.rs` and of `poll_callback()` of
//! `rust/eventpoll/callback.rs`, which need the kernel: their loads and stores, in the same order,
//! and their barriers. Keep the twins in step. The ready queue is the module's own.

use super::{
    check::{check, full_barrier, join},
    ready_queue::Push,
    tests::{drain, items, Instance},
};
use loom::{
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        Arc, Mutex,
    },
    thread,
};

/// The barriers that a model has.
#[derive(Clone, Copy)]
struct Barriers {
    modify: bool,
    callback: bool,
}

const ALL: Barriers = Barriers {
    modify: true,
    callback: true,
};

/// An eventfd. Its state changes under the lock of its wait queue, and is polled without the lock.
struct Eventfd {
    queue: Mutex<()>,
    readable: AtomicBool,
}

fn model(name: &str, barriers: Barriers) {
    check(name, None, move || {
        let ep = Instance::new();
        let items = items::<1>(&ep);
        let item = items[0].clone();
        // ONESHOT has fired: the item is not armed.
        let wanted = Arc::new(AtomicBool::new(false));
        let file = Arc::new(Eventfd {
            queue: Mutex::new(()),
            readable: AtomicBool::new(false),
        });
        let writer = {
            let (ep, item, wanted, file) = (ep.clone(), item.clone(), wanted.clone(), file.clone());
            thread::spawn(move || {
                let lock = file.queue.lock().expect("poison");
                file.readable.store(true, Relaxed);
                // The callback.
                let mut wants = wanted.load(Relaxed);
                if !wants {
                    if barriers.callback {
                        full_barrier();
                    }
                    wants = wanted.load(Relaxed);
                }
                if wants {
                    let _ = ep.ready.push(&item, || ());
                }
                drop(lock);
            })
        };
        // MOD: `set_interest()`, then `poll_now()` and `Locked::queue()`.
        let mut consumer = ep.consumer.lock().expect("poison");
        wanted.store(true, Relaxed);
        if barriers.modify {
            full_barrier();
        }
        if file.readable.load(Relaxed) && ep.ready.push(&item, || ()) == Push::Already {
            consumer.await_push(&ep.ready, &item);
        }
        join(writer);
        assert_eq!(drain(&ep.ready, &mut consumer), [0], "the event is lost");
    });
}

/// Store buffering: each thread stores before it loads the variable that the other one stores.
#[test]
fn event_that_comes_with_mod_is_not_lost() {
    model("event_that_comes_with_mod_is_not_lost", ALL);
}

/// The test above fails without the callback's barrier.
#[test]
#[should_panic(expected = "the event is lost")]
fn event_that_comes_with_mod_is_lost_without_a_barrier_in_the_callback() {
    model(
        "without the callback's barrier",
        Barriers {
            callback: false,
            ..ALL
        },
    );
}

/// The test above fails without MOD's barrier.
#[test]
#[should_panic(expected = "the event is lost")]
fn event_that_comes_with_mod_is_lost_without_a_barrier_in_mod() {
    model(
        "without MOD's barrier",
        Barriers {
            modify: false,
            ..ALL
        },
    );
}
