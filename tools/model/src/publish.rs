// SPDX-License-Identifier: GPL-2.0

//! Flags that publish earlier writes, and the end of the last-close hook.
//!
//! Twins of `MiscDeviceRegistration::live` of `rust/kernel_ext/miscdevice.rs`, `SetOnce` of
//! `set_once.rs`, the table's state and `Registration::attached` of `file_table.rs`, and `Inside`
//! of `kernel_ext/ftrace.rs`, which need the kernel. Keep the twins in step.

use super::check::{check, join};
use loom::{
    cell::UnsafeCell,
    sync::{
        atomic::{
            AtomicBool, AtomicU32,
            Ordering::{Acquire, Relaxed, Release},
        },
        Arc, RwLock,
    },
    thread,
};

#[derive(Clone, Copy, PartialEq)]
enum Without {
    Nothing,
    Release,
    Acquire,
}

/// `go_live()` against `open()`: a task that sees the flag sees all writes of the module's
/// initialisation. The table's state, `SetOnce` and `attached` work in the same way.
fn publish(name: &str, without: Without) {
    check(name, None, move || {
        let made = Arc::new(UnsafeCell::new(0));
        let live = Arc::new(AtomicBool::new(false));
        let open = {
            let (made, live) = (made.clone(), live.clone());
            let order = if without == Without::Acquire {
                Relaxed
            } else {
                Acquire
            };
            thread::spawn(move || {
                if live.load(order) {
                    // SAFETY: loom checks it.
                    made.with(|at| assert_eq!(unsafe { *at }, 1));
                }
            })
        };
        // SAFETY: loom checks it.
        made.with_mut(|at| unsafe { *at = 1 });
        let order = if without == Without::Release {
            Relaxed
        } else {
            Release
        };
        live.store(true, order);
        join(open);
    });
}

#[test]
fn who_opens_sees_what_was_made() {
    publish("who_opens_sees_what_was_made", Without::Nothing);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn who_opens_is_too_early_without_the_release() {
    publish("without the release", Without::Release);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn who_opens_is_too_early_without_the_acquire() {
    publish("without the acquire", Without::Acquire);
}

const UNUSED: u32 = 0;
const CLAIMED: u32 = 1;

/// The module is loaded twice, one load after the other. Each has the table for itself.
fn claim(name: &str, without: Without) {
    check(name, None, move || {
        let table = Arc::new(UnsafeCell::new(()));
        let state = Arc::new(AtomicU32::new(UNUSED));
        let load = move |table: &UnsafeCell<()>, state: &AtomicU32| {
            let order = if without == Without::Acquire {
                Relaxed
            } else {
                Acquire
            };
            let claim = state.compare_exchange(UNUSED, CLAIMED, order, Relaxed);
            if claim.is_ok() {
                table.with_mut(|_| ());
                let order = if without == Without::Release {
                    Relaxed
                } else {
                    Release
                };
                state.store(UNUSED, order);
            }
        };
        let other = {
            let (table, state) = (table.clone(), state.clone());
            thread::spawn(move || load(&table, &state))
        };
        load(&table, &state);
        join(other);
    });
}

#[test]
fn the_table_is_had_by_one_at_a_time() {
    claim("the_table_is_had_by_one_at_a_time", Without::Nothing);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn the_table_is_had_by_two_without_the_release() {
    claim("without the release", Without::Release);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn the_table_is_had_by_two_without_the_acquire() {
    claim("without the acquire", Without::Acquire);
}

#[derive(Clone, Copy, PartialEq)]
enum Drain {
    AsItIs,
    /// Tasks in the hook are not counted.
    Uncounted,
    /// There is no grace period before the count is checked.
    NotBefore,
    /// There is no grace period after the count is checked.
    NotAfter,
}

/// An unload on PREEMPT_RT: the hook's code must be freed only when no task is in it. A sleeping
/// task does not delay a grace period of Tasks RCU. So the model ends the task's section where it
/// may sleep, and begins another one after.
fn drain(name: &str, drain: Drain) {
    check(name, Some(3), move || {
        let code = Arc::new(UnsafeCell::new(()));
        let rcu = Arc::new(RwLock::new(()));
        let inside = Arc::new(AtomicU32::new(0));
        let on = Arc::new(AtomicBool::new(true));
        let closes = {
            let (code, rcu, inside, on) = (code.clone(), rcu.clone(), inside.clone(), on.clone());
            thread::spawn(move || {
                let runs = rcu.read();
                // The function is patched; later callers do not call the hook.
                if !on.load(Relaxed) {
                    return;
                }
                code.with(|_| ());
                if drain != Drain::Uncounted {
                    inside.fetch_add(1, Relaxed);
                }
                drop(runs);
                // The task sleeps, and then continues in the hook's code.
                let runs = rcu.read();
                code.with(|_| ());
                if drain != Drain::Uncounted {
                    inside.fetch_sub(1, Release);
                }
                // The last instructions of the hook.
                code.with(|_| ());
                drop(runs);
            })
        };
        on.store(false, Relaxed);
        let grace_period = || drop(rcu.write());
        if drain != Drain::NotBefore {
            grace_period();
        }
        while inside.load(Acquire) != 0 {
            thread::yield_now();
        }
        if drain != Drain::NotAfter {
            grace_period();
        }
        code.with_mut(|_| ());
        join(closes);
    });
}

#[test]
fn no_task_is_in_the_hook_when_its_code_is_freed() {
    drain(
        "no_task_is_in_the_hook_when_its_code_is_freed",
        Drain::AsItIs,
    );
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_task_sleeps_in_freed_code_if_it_is_not_counted() {
    drain("uncounted", Drain::Uncounted);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_task_is_in_freed_code_without_the_first_grace_period() {
    drain("no first grace period", Drain::NotBefore);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_task_is_in_freed_code_without_the_second_grace_period() {
    drain("no second grace period", Drain::NotAfter);
}
