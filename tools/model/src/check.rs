// SPDX-License-Identifier: GPL-2.0

//! Runs a model in all of its interleavings, as it is or with a weakness.

use loom::{
    model::Builder,
    sync::atomic::{fence, AtomicUsize, Ordering::SeqCst},
    thread,
};
use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize as PlainUsize, Ordering::Relaxed}, // Not seen by loom.
};

pub(crate) const POISON: &str = "another thread has failed";

pub(crate) fn join<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect(POISON)
}

/// Runs `model` in all of its interleavings, or in those with at most `preemptions` preemptions.
pub(crate) fn check(
    name: &str,
    preemptions: Option<usize>,
    model: impl Fn() + Send + Sync + 'static,
) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    let runs = std::sync::Arc::new(PlainUsize::new(0));
    let count = runs.clone();
    let begin = std::time::Instant::now();
    builder.check(move || {
        count.fetch_add(1, Relaxed);
        // Made before there are threads, which its making would order.
        FENCES.turn();
        model();
    });
    println!(
        "{name}: {} executions, {}, {:.2} s",
        runs.load(Relaxed),
        preemptions.map_or("exhaustive".into(), |n| format!("<= {n} preemptions")),
        begin.elapsed().as_secs_f32()
    );
}

/// Has loom try both orders of two operations.
///
/// loom runs one thread after the other, and then again with another order of two operations that
/// depend on each other. It finds those by the last access to a variable alone, so one thread's load
/// hides another one's before it; and to loom two fences do not depend on each other. A store before
/// each operation, of a variable that nobody loads, orders nothing, and makes them dependent.
pub(crate) struct Turns(AtomicUsize);

impl Turns {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(crate) fn turn(&self) {
        self.0.store(0, loom::sync::atomic::Ordering::Relaxed);
    }
}

loom::lazy_static! {
    static ref FENCES: Turns = Turns::new();
}

/// A full memory barrier.
pub(crate) fn full_barrier() {
    FENCES.turn();
    fence(SeqCst);
}

/// An order that the module's source asks for and, for one test, does not get.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weakness {
    None,
    /// `Acquire` is `Relaxed`.
    Acquire,
    /// `Release` is `Relaxed`.
    Release,
    /// A read-modify-write is a load, and then a store.
    Atomicity,
    /// `Flag::exchange()` of what is there already is a load.
    FlagIsLoaded,
    /// `Flag::exchange()` is relaxed.
    Flag,
    /// `Word::exchange()` is relaxed.
    Word,
    /// `Word::compare_exchange()` is relaxed.
    CompareExchange,
    /// `Word::compare_exchange()` acquires and releases, and is no barrier.
    CompareExchangeBarrier,
}

thread_local! {
    // loom runs the threads of a model on one thread of the system.
    static WEAKNESS: Cell<Weakness> = const { Cell::new(Weakness::None) };
    static CLOSELY: Cell<bool> = const { Cell::new(false) };
}

/// As [`check`], and the ready queue's word takes [`Turns`]: for small models, since that makes very
/// many more executions.
pub(crate) fn check_closely(name: &str, model: impl Fn() + Send + Sync + 'static) {
    CLOSELY.set(true);
    check(name, None, model);
    CLOSELY.set(false);
}

/// Whether the test asked for it.
pub(crate) fn closely() -> bool {
    CLOSELY.get()
}

/// Whether the test is about this weakness.
pub(crate) fn has(weakness: Weakness) -> bool {
    WEAKNESS.get() == weakness
}

/// Runs `model` with a weakness. It is to fail.
pub(crate) fn weakened(weakness: Weakness, model: impl Fn() + Send + Sync + 'static) {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            WEAKNESS.set(Weakness::None);
        }
    }
    let _reset = Reset;
    WEAKNESS.set(weakness);
    check("weakened", None, model);
}
