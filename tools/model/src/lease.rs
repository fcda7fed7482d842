// SPDX-License-Identifier: GPL-2.0

//! Takeover: while an instance exists, the functions that serve it stay replaced, and afterwards
//! they are put back.
//!
//! A twin of `serve::create()`, of `policy::takes_over_now()` and `stop()`, and of
//! `Hooks::release()` of `rust/takeover`, with `rust/eventpoll/lease.rs`: their accesses, in the
//! same order, and their barriers. Keep the twins in step.

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
}

struct Machine {
    /// `LEASES`.
    leases: AtomicUsize,
    /// `CALLS`.
    policy: AtomicBool,
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
    fn leases(&self) -> usize {
        full(|| self.leases.fetch_add(0, AcqRel))
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
        if full(|| self.leases.fetch_sub(1, AcqRel)) == 1 {
            // `SETTLE`.
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
        full(|| self.policy.swap(false, AcqRel));
        if early.unwrap_or_else(|| self.leases()) == 0 {
            *replaced = false;
        }
    }
}

fn model(name: &str, lacks: Lacks) {
    check(name, None, move || {
        let machine = Arc::new(Machine {
            leases: AtomicUsize::new(0),
            policy: AtomicBool::new(true),
            replaced: Mutex::new(true),
        });
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
    model("an_instance_is_served_until_it_is_closed", Lacks::Nothing);
}

/// The test above fails if the lease comes after the look.
#[test]
#[should_panic(expected = "nothing serves the instance")]
fn an_instance_is_not_served_if_its_lease_comes_late() {
    model("a late lease", Lacks::LeaseFirst);
}

/// The test above fails without the barrier of the task.
#[test]
#[should_panic(expected = "nothing serves the instance")]
fn an_instance_is_not_served_without_the_barrier_of_the_task() {
    model("without the task's barrier", Lacks::BarrierOfTask);
}

/// The test above fails if the leases are read before the policy is cleared.
#[test]
#[should_panic(expected = "nothing serves the instance")]
fn an_instance_is_not_served_if_the_leases_are_read_early() {
    model("leases that are read early", Lacks::PolicyFirst);
}
