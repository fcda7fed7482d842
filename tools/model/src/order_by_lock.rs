// SPDX-License-Identifier: GPL-2.0

//! Relaxed accesses that are ordered by a lock.
//!
//! Twins of `rust/eventpoll/nesting.rs` (ADD against ADD) and of `rust/source/queue.rs` (a message
//! against a reader), which need the kernel. Keep the twins in step.

use super::check::{check, join};
use loom::{
    sync::{
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
        Arc, Mutex,
    },
    thread,
};

/// One ADD nests the instance, another ADD adds a file to it. Either the first finds the file in
/// the list, or the second finds that the instance is nested.
fn nest(name: &str, looks_under_lock: bool) {
    check(name, None, move || {
        let outers = Arc::new(AtomicU32::new(0));
        let list = Arc::new(Mutex::new(Vec::new()));
        let nesting = {
            let (outers, list) = (outers.clone(), list.clone());
            thread::spawn(move || {
                // `Inner::new()`, then the walk down.
                outers.fetch_add(1, Relaxed);
                let list = list.lock().expect("poison");
                list.contains(&7)
            })
        };
        let early = outers.load(Relaxed) != 0;
        let mut list = list.lock().expect("poison");
        // `TopologyState::is_nested()`.
        let is_nested = if looks_under_lock {
            outers.load(Relaxed) != 0
        } else {
            early
        };
        list.push(7);
        drop(list);
        let sees_file = join(nesting);
        assert!(is_nested || sees_file, "nobody checks the file's paths");
    });
}

#[test]
fn a_file_below_a_new_link_is_checked() {
    nest("a_file_below_a_new_link_is_checked", true);
}

#[test]
#[should_panic(expected = "nobody checks the file's paths")]
fn a_file_below_a_new_link_is_not_checked_without_the_mutex() {
    nest("outers before the mutex", false);
}

/// Two ADDs of a file to two nested instances. Each watch enters the table before it is checked
/// under the topology's lock, so the second check sees both. `with_all_of()` first checks without
/// the bucket's lock whether the bucket has any watch.
fn check_both(name: &str, registers_first: bool) {
    check(name, None, move || {
        let first = Arc::new(AtomicBool::new(false));
        let bucket = Arc::new(Mutex::new(0));
        let topology = Arc::new(Mutex::new(()));
        let add = move |first: &AtomicBool, bucket: &Mutex<u32>, topology: &Mutex<()>| {
            let register = || {
                let mut bucket = bucket.lock().expect("poison");
                *bucket += 1;
                first.store(true, Relaxed);
            };
            if registers_first {
                register();
            }
            let lock = topology.lock().expect("poison");
            let seen = if first.load(Relaxed) {
                *bucket.lock().expect("poison")
            } else {
                0
            };
            drop(lock);
            if !registers_first {
                register();
            }
            seen
        };
        let other = {
            let (first, bucket, topology) = (first.clone(), bucket.clone(), topology.clone());
            thread::spawn(move || add(&first, &bucket, &topology))
        };
        let ours = add(&first, &bucket, &topology);
        let other = join(other);
        assert_eq!(ours.max(other), 2, "no check sees both paths");
    });
}

#[test]
fn the_second_check_sees_both_watches() {
    check_both("the_second_check_sees_both_watches", true);
}

#[test]
#[should_panic(expected = "no check sees both paths")]
fn the_second_check_misses_a_watch_that_is_registered_after_it() {
    check_both("checked before it is registered", false);
}

#[derive(Clone, Copy, PartialEq)]
enum Source {
    AsItIs,
    /// The reader checks the state before it enters the wait queue.
    LooksFirst,
    /// The writer checks for readers before it takes the lock.
    WakesFirst,
}

/// A message arrives while a reader is about to sleep. The only barrier is the lock of the queue's
/// state: the writer checks the wait queues and the list of signal receivers after it.
fn message(name: &str, source: Source) {
    check(name, None, move || {
        let state = Arc::new(Mutex::new(0));
        let entered = Arc::new(AtomicBool::new(false));
        let writer = {
            let (state, entered) = (state.clone(), entered.clone());
            thread::spawn(move || {
                let early = entered.load(Relaxed);
                *state.lock().expect("poison") += 1;
                // `WaitQueue::has_entries()`.
                if source == Source::WakesFirst {
                    early
                } else {
                    entered.load(Relaxed)
                }
            })
        };
        let look = || *state.lock().expect("poison") != 0;
        let early = source == Source::LooksFirst && look();
        entered.store(true, Relaxed);
        let seen = if source == Source::LooksFirst {
            early
        } else {
            look()
        };
        let woken = join(writer);
        assert!(seen || woken, "the reader sleeps on");
    });
}

#[test]
fn a_message_wakes_its_reader() {
    message("a_message_wakes_its_reader", Source::AsItIs);
}

#[test]
#[should_panic(expected = "the reader sleeps on")]
fn a_message_is_missed_if_the_reader_looks_first() {
    message("looks first", Source::LooksFirst);
}

#[test]
#[should_panic(expected = "the reader sleeps on")]
fn a_message_is_missed_if_the_writer_wakes_first() {
    message("wakes first", Source::WakesFirst);
}
