// SPDX-License-Identifier: GPL-2.0

//! SELECT and POLL: no wake-up is lost.
//!
//! A twin of `PollWqueues::sleep()` and `Waiter::wake()` of `rust/kernel_ext/poll_wqueues.rs`,
//! which need the kernel, and of the accesses of `set_current_state()` and `try_to_wake_up()` to
//! the task's state. Keep the twins in step.

use super::check::{check, full_barrier, join, Turns};
use loom::{
    sync::{
        atomic::{
            fence, AtomicBool,
            Ordering::{AcqRel, Relaxed, Release},
        },
        Arc,
    },
    thread,
};

/// The part that a test leaves out.
#[derive(Clone, Copy, PartialEq)]
enum Without {
    Nothing,
    /// `smp_wmb()` in the callback.
    WriteBarrier,
    /// The exchange that clears `triggered`; a store and a full barrier replace it, as in
    /// `fs/select.c`.
    Exchange,
    /// The barriers of the exchange.
    ExchangeBarriers,
    /// The full barrier in `set_current_state()`.
    StateBarrier,
    /// The full barrier in `try_to_wake_up()`.
    WakeBarrier,
}

struct Call {
    /// The file's state.
    readable: AtomicBool,
    triggered: AtomicBool,
    turns: Turns,
    /// The task's state: true if `schedule()` blocks.
    interruptible: AtomicBool,
}

/// One event. An earlier event has woken the task, which is about to clear `triggered` and to check
/// the file again. If the file is not ready, the task sleeps.
fn model(name: &str, without: Without) {
    check(name, None, move || {
        let has = move |part| without != part;
        let call = Arc::new(Call {
            readable: AtomicBool::new(false),
            triggered: AtomicBool::new(false),
            turns: Turns::new(),
            interruptible: AtomicBool::new(false),
        });
        let waker = {
            let call = call.clone();
            thread::spawn(move || {
                call.readable.store(true, Relaxed);
                // `Waiter::wake()`. smp_wmb() orders only stores, this fence also loads. There is
                // no load here for which that matters.
                if has(Without::WriteBarrier) {
                    fence(Release);
                }
                // A store in the module. loom does not know that no store comes between the two
                // halves of another thread's exchange, unless the store is an exchange, too.
                call.turns.turn();
                call.triggered.swap(true, Relaxed);
                // `try_to_wake_up()`.
                if has(Without::WakeBarrier) {
                    full_barrier();
                }
                if call.interruptible.load(Relaxed) {
                    call.interruptible.store(false, Relaxed);
                }
            })
        };
        // The end of `PollWqueues::sleep()`.
        let clear = || {
            call.turns.turn();
            match without {
                Without::Exchange => {
                    call.triggered.store(false, Relaxed);
                    full_barrier();
                }
                Without::ExchangeBarriers => {
                    call.triggered.swap(false, Relaxed);
                }
                _ => {
                    full_barrier();
                    call.triggered.swap(false, AcqRel);
                    full_barrier();
                }
            }
        };
        let look = || call.readable.load(Relaxed);
        clear();
        let mut seen = look();
        let mut blocks = false;
        if !seen {
            // `PollWqueues::sleep()`.
            call.interruptible.store(true, Relaxed);
            if has(Without::StateBarrier) {
                full_barrier();
            }
            if call.triggered.load(Relaxed) {
                call.interruptible.store(false, Relaxed);
                clear();
                seen = look();
                assert!(seen, "the event is lost");
            } else {
                blocks = true;
            }
        }
        join(waker);
        let sleeps = blocks && call.interruptible.load(Relaxed);
        assert!(!sleeps, "the event is lost");
    });
}

#[test]
fn wakeup_is_not_lost() {
    model("wakeup_is_not_lost", Without::Nothing);
}

#[test]
#[should_panic(expected = "the event is lost")]
fn wakeup_is_lost_without_the_write_barrier() {
    model("without smp_wmb()", Without::WriteBarrier);
}

/// The kernel's memory model allows this, too, unlike arm64 and x86: pattern R with one
/// `smp_wmb()`.
#[test]
#[should_panic(expected = "the event is lost")]
fn wakeup_is_lost_if_triggered_is_cleared_by_a_store() {
    model("with smp_store_mb()", Without::Exchange);
}

#[test]
#[should_panic(expected = "the event is lost")]
fn wakeup_is_lost_if_the_exchange_is_no_barrier() {
    model("with a relaxed exchange", Without::ExchangeBarriers);
}

#[test]
#[should_panic(expected = "the event is lost")]
fn wakeup_is_lost_without_the_barrier_before_the_look_at_triggered() {
    model("with __set_current_state()", Without::StateBarrier);
}

#[test]
#[should_panic(expected = "the event is lost")]
fn wakeup_is_lost_without_the_barrier_of_the_waker() {
    model("without the waker's barrier", Without::WakeBarrier);
}
