// SPDX-License-Identifier: GPL-2.0

//! Runs a model in all of its interleavings, unchanged or with a weakness.

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
        // Created before the threads, as creating it later would order them.
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

/// Makes loom try both orders of two operations.
///
/// loom runs one thread after the other, and then again with another order of two operations that
/// depend on each other. It only considers the last access to a variable, so one thread's load
/// hides an earlier one of another thread, and it takes two fences for independent. A store before
/// each operation, to a variable that is never loaded, orders nothing but makes the operations
/// dependent.
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

/// A property that the module's source requires, and that one test takes away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weakness {
    None,
    /// `Acquire` is `Relaxed`.
    Acquire,
    /// `Release` is `Relaxed`.
    Release,
    /// A read-modify-write is a load, and then a store.
    Atomicity,
    /// `Flag::exchange()` with the present value is a load.
    FlagIsLoaded,
    /// `Flag::exchange()` is relaxed.
    Flag,
    /// `Word::exchange()` is relaxed.
    Word,
    /// `Word::compare_exchange()` is relaxed.
    CompareExchange,
    /// `Word::compare_exchange()` acquires and releases, but is no full barrier.
    CompareExchangeBarrier,
}

thread_local! {
    // loom runs the threads of a model on one thread of the system.
    static WEAKNESS: Cell<Weakness> = const { Cell::new(Weakness::None) };
    static CLOSELY: Cell<bool> = const { Cell::new(false) };
}

/// As [`check`], but the ready queue's word takes [`Turns`]. For small models, as this multiplies
/// the number of executions.
pub(crate) fn check_closely(name: &str, model: impl Fn() + Send + Sync + 'static) {
    CLOSELY.set(true);
    check(name, None, model);
    CLOSELY.set(false);
}

/// Whether [`check_closely`] runs the model.
pub(crate) fn closely() -> bool {
    CLOSELY.get()
}

/// Whether the model runs with this weakness.
pub(crate) fn has(weakness: Weakness) -> bool {
    WEAKNESS.get() == weakness
}

/// Runs `model` with a weakness. The model must fail.
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
