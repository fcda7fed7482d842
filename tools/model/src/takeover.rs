// SPDX-License-Identifier: GPL-2.0

//! Takeover: while an instance exists, the functions that serve it stay replaced, and afterwards
//! they are put back; and a stop beats a change of the policy that is under way.
//!
//! A twin of `serve::create()`, of `takes_over_now()`, `stop()` and `Change` of
//! `rust/takeover/policy.rs`, of `settle()`, `Settle` and `Hooks::release()` of
//! `rust/takeover/control.rs`, with `rust/eventpoll/lease.rs`: their accesses, in the same order,
//! and their barriers. Keep the twins in step.

use super::check::{check, full_barrier, join};
use loom::{
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering::AcqRel, Ordering::Relaxed},
        Arc, Mutex,
    },
    thread,
};

/// An order that a model lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lacks {
    Nothing,
    /// The task reads the policy, then takes its lease.
    LeaseFirst,
    /// No barrier between the task's lease and its look at the policy.
    BarrierOfTask,
    /// The switch reads the number of leases, then clears the policy.
    PolicyFirst,
    /// No barrier between the end of the last lease and the look at the policy.
    BarrierOfEnd,
    /// A change of the policy compares the stops, then sets the policy.
    SetFirst,
    /// A stop clears the policy, then counts itself.
    CountFirst,
}

struct Machine {
    /// `LEASES`.
    leases: AtomicUsize,
    /// `CALLS`.
    policy: AtomicBool,
    /// `STOPS`.
    stops: AtomicUsize,
    /// `HOOKS`: whether the functions that serve instances are replaced.
    replaced: Mutex<bool>,
}

/// A fully ordered read-modify-write, as one of the kernel without a suffix.
fn full<T>(access: impl FnOnce() -> T) -> T {
    full_barrier();
    let result = access();
    full_barrier();
    result
}

impl Machine {
    /// A machine with a policy or without one.
    fn new(policy: bool) -> Arc<Self> {
        Arc::new(Self {
            leases: AtomicUsize::new(0),
            policy: AtomicBool::new(policy),
            stops: AtomicUsize::new(0),
            replaced: Mutex::new(true),
        })
    }

    fn leases(&self) -> usize {
        full(|| self.leases.fetch_add(0, AcqRel))
    }

    fn set_policy(&self, on: bool) {
        full(|| self.policy.swap(on, AcqRel));
    }

    /// Makes an instance, if the policy says so, uses it, and closes it.
    fn task(&self, lacks: Lacks) {
        let early = lacks == Lacks::LeaseFirst && self.policy.load(Relaxed);
        let is_taken_over = if lacks == Lacks::BarrierOfTask {
            self.leases.fetch_add(1, Relaxed);
            self.policy.load(Relaxed)
        } else {
            full(|| self.leases.fetch_add(1, AcqRel));
            full(|| self.policy.fetch_or(false, AcqRel))
        };
        if is_taken_over || early {
            let replaced = *self.replaced.lock().expect("poison");
            assert!(replaced, "nothing serves the instance");
        }
        let left = if lacks == Lacks::BarrierOfEnd {
            self.leases.fetch_sub(1, Relaxed)
        } else {
            full(|| self.leases.fetch_sub(1, AcqRel))
        };
        if left == 1 && !self.policy.load(Relaxed) {
            let mut replaced = self.replaced.lock().expect("poison");
            if !self.policy.load(Relaxed) && self.leases() == 0 {
                *replaced = false;
            }
        }
    }

    /// Switches takeover off.
    fn off(&self, lacks: Lacks) {
        let mut replaced = self.replaced.lock().expect("poison");
        let early = (lacks == Lacks::PolicyFirst).then(|| self.leases());
        self.set_policy(false);
        if early.unwrap_or_else(|| self.leases()) == 0 {
            *replaced = false;
        }
    }

    fn stops(&self) -> usize {
        full(|| self.stops.fetch_add(0, AcqRel))
    }

    /// Puts a policy in force. Returns the number of stops at the beginning.
    fn change(&self, lacks: Lacks) -> usize {
        let begin = self.stops();
        let early = (lacks == Lacks::SetFirst).then(|| self.stops());
        self.set_policy(true);
        if early.unwrap_or_else(|| self.stops()) != begin {
            self.set_policy(false);
        }
        begin
    }

    /// SysRq-E, or an oops.
    fn stop(&self, lacks: Lacks) {
        if lacks == Lacks::CountFirst {
            self.set_policy(false);
        }
        full(|| self.stops.fetch_add(1, AcqRel));
        if lacks != Lacks::CountFirst {
            self.set_policy(false);
        }
    }
}

fn model_of_instance(name: &str, lacks: Lacks) {
    check(name, None, move || {
        let machine = Machine::new(true);
        let task = {
            let machine = machine.clone();
            thread::spawn(move || machine.task(lacks))
        };
        machine.off(lacks);
        join(task);
        let replaced = *machine.replaced.lock().expect("poison");
        assert!(!replaced, "the functions stay replaced");
    });
}

/// Store buffering: the task takes its lease and reads the policy, the switch clears the policy and
/// reads the leases.
#[test]
fn an_instance_is_served_until_it_is_closed() {
    model_of_instance("an_instance_is_served_until_it_is_closed", Lacks::Nothing);
}

/// The test above fails if the lease comes after the look.
#[test]
#[should_panic(expected = "nothing serves the instance")]
fn an_instance_is_not_served_if_its_lease_comes_late() {
    model_of_instance("a late lease", Lacks::LeaseFirst);
}

/// The test above fails without the barrier of the task.
#[test]
#[should_panic(expected = "nothing serves the instance")]
fn an_instance_is_not_served_without_the_barrier_of_the_task() {
    model_of_instance("without the task's barrier", Lacks::BarrierOfTask);
}

/// The test above fails if the leases are read before the policy is cleared.
#[test]
#[should_panic(expected = "nothing serves the instance")]
fn an_instance_is_not_served_if_the_leases_are_read_early() {
    model_of_instance("leases that are read early", Lacks::PolicyFirst);
}

/// The test above fails without the barrier of the last lease's end.
#[test]
#[should_panic(expected = "the functions stay replaced")]
fn the_functions_stay_replaced_without_the_barrier_of_the_end() {
    model_of_instance("without the end's barrier", Lacks::BarrierOfEnd);
}

fn model_of_stop(name: &str, lacks: Lacks) {
    check(name, None, move || {
        let machine = Machine::new(false);
        let stop = {
            let machine = machine.clone();
            thread::spawn(move || machine.stop(lacks))
        };
        let begin = machine.change(lacks);
        join(stop);
        let came_later = begin == 0;
        let is_on = machine.policy.load(Relaxed);
        assert!(!came_later || !is_on, "the stop is lost");
    });
}

/// Store buffering: the change sets the policy and reads the stops, the stop counts itself and
/// clears the policy.
#[test]
fn a_stop_beats_a_change() {
    model_of_stop("a_stop_beats_a_change", Lacks::Nothing);
}

/// The test above fails if the change compares the stops before it sets the policy.
#[test]
#[should_panic(expected = "the stop is lost")]
fn a_stop_is_lost_if_the_change_compares_early() {
    model_of_stop("a change that compares early", Lacks::SetFirst);
}

/// The test above fails if the stop counts itself after it has cleared the policy.
#[test]
#[should_panic(expected = "the stop is lost")]
fn a_stop_is_lost_if_it_is_counted_late() {
    model_of_stop("a stop that is counted late", Lacks::CountFirst);
}
