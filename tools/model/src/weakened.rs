// SPDX-License-Identifier: GPL-2.0

//! The ready queue's own source with one order less. A model of `tests.rs` must then fail.
//!
//! `tests.rs` has a table of other breaks, which were applied to a copy.

use super::{
    check::{check, full_barrier, join, weakened, Weakness},
    tests::{event_during_poll, event_during_scans, items, removal_during_a_push, Instance},
};
use loom::{
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        Arc,
    },
    thread,
};

#[test]
#[should_panic(expected = "the event is lost")]
fn event_is_lost_if_a_bit_that_is_set_is_only_loaded() {
    weakened(Weakness::FlagIsLoaded, event_during_poll);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn links_are_written_too_early_if_the_bits_exchange_is_relaxed() {
    weakened(Weakness::Flag, event_during_poll);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn links_are_read_too_early_if_the_stack_is_taken_relaxed() {
    weakened(Weakness::Word, event_during_scans);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn links_are_read_too_early_if_a_removal_takes_the_stack_relaxed() {
    weakened(Weakness::Word, removal_during_a_push);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn links_are_read_too_early_if_the_push_is_relaxed() {
    weakened(Weakness::CompareExchange, event_during_scans);
}

/// A callback, and a task that enters the wait queue, checks and sleeps, as in
/// `wakeup_is_not_lost`. Here, a lost wake-up is computed at the end, as a model in which all
/// threads sleep ends the process.
fn wakeup(barrier: bool) {
    let ep = Instance::new();
    let items = items::<1>(&ep);
    let item = items[0].clone();
    let entered = Arc::new(AtomicBool::new(false));
    let callback = {
        let (ep, entered) = (ep.clone(), entered.clone());
        thread::spawn(move || {
            let _ = ep.ready.push(&item, || ());
            // `WaitQueue::has_entries()`.
            entered.load(Relaxed)
        })
    };
    entered.store(true, Relaxed);
    if barrier {
        full_barrier();
    }
    let seen = !ep.ready.is_empty();
    let woken = join(callback);
    assert!(seen || woken, "the waiter sleeps on");
}

#[test]
fn a_push_or_the_look_after_it_is_seen() {
    check("a_push_or_the_look_after_it_is_seen", None, || wakeup(true));
}

#[test]
#[should_panic(expected = "the waiter sleeps on")]
fn wakeup_is_lost_if_the_push_is_no_barrier() {
    weakened(Weakness::CompareExchangeBarrier, || wakeup(true));
}

#[test]
#[should_panic(expected = "the waiter sleeps on")]
fn wakeup_is_lost_without_the_sleepers_barrier() {
    check("without the sleeper's barrier", None, || wakeup(false));
}
