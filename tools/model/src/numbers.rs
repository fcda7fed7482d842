// SPDX-License-Identifier: GPL-2.0

//! Lock-free counters: `rust/kernel_ext/limits.rs` and `throttle.rs` themselves.

use super::{
    check::{check, join, weakened, Weakness},
    hrtimeout,
    limits::{Count, Limit},
    throttle::{Throttle, Turn},
};
use loom::{sync::Arc, thread};

/// Two charges, of which the limit allows one. That one is then returned while another one is made.
fn count() {
    let count = Arc::new(Count::new());
    let other = {
        let count = count.clone();
        thread::spawn(move || count.add(3, 5))
    };
    let ours = count.add(4, 5);
    let other = join(other);
    assert!(ours != other, "charged beyond the limit, or not at all");
    let taken = if ours { 4 } else { 3 };
    let back = {
        let count = count.clone();
        thread::spawn(move || count.sub(taken))
    };
    let one = u64::from(count.add(1, 5));
    join(back);
    assert!(
        count.add(5 - one, 5) && !count.add(1, 5),
        "the count is wrong"
    );
}

#[test]
fn charges_do_not_exceed_the_limit() {
    check("charges_do_not_exceed_the_limit", None, count);
}

#[test]
#[should_panic(expected = "charged beyond the limit")]
fn charges_exceed_the_limit_if_each_is_a_load_and_a_store() {
    weakened(Weakness::Atomicity, count);
}

fn limit() {
    let limit = Arc::new(Limit::new(9));
    let other = {
        let limit = limit.clone();
        thread::spawn(move || limit.lower(5))
    };
    limit.lower(3);
    join(other);
    assert_eq!(limit.get(), 3, "the limit was raised");
}

#[test]
fn a_limit_is_only_lowered() {
    check("a_limit_is_only_lowered", None, limit);
}

#[test]
#[should_panic(expected = "the limit was raised")]
fn a_limit_is_raised_if_each_change_is_a_load_and_a_store() {
    weakened(Weakness::Atomicity, limit);
}

/// Two pieces of work end on two CPUs. The pause that follows must pay for both.
fn throttle() {
    const BEGAN: i64 = 1_000_000_000;
    const LONG: i64 = 200_000;
    hrtimeout::set(BEGAN);
    let throttle = Arc::new(Throttle::new());
    let works = [1, 2].map(|number| {
        let throttle = throttle.clone();
        thread::spawn(move || {
            hrtimeout::set(BEGAN);
            // The other piece of work may have started a pause.
            match throttle.begin() {
                Turn::Rest(_) => None,
                Turn::Work(work) => {
                    hrtimeout::set(BEGAN + number * LONG);
                    work.end();
                    Some(number * LONG)
                }
            }
        })
    });
    let took: i64 = works.map(|work| join(work).unwrap_or(0)).into_iter().sum();
    hrtimeout::set(BEGAN);
    let rest = match throttle.begin() {
        Turn::Rest(nanoseconds) => nanoseconds,
        Turn::Work(_) => 0,
    };
    assert!(rest >= 3 * took, "a piece of work was not paid for");
}

#[test]
fn all_work_is_paid_for() {
    check("all_work_is_paid_for", None, throttle);
}

#[test]
#[should_panic(expected = "a piece of work was not paid for")]
fn work_is_not_paid_for_if_each_payment_is_a_load_and_a_store() {
    weakened(Weakness::Atomicity, throttle);
}
