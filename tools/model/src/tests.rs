// SPDX-License-Identifier: GPL-2.0

//! Models of the ready queue.
//!
//! loom runs a model in all interleavings of its threads' atomic accesses, with all values that a
//! load may return in the C11 memory model. It detects whether two threads may access a link at the
//! same time, whether a thread waits for ever, and whether a reference leaks. An interrupt needs no
//! model of its own: it is a thread that runs while the interrupted one does not. Two things are
//! not modelled: several exclusive waiters in one wait queue, and ordering by dependencies, which
//! the kernel has and C11 lacks (this code does not rely on it).
//!
//! Models that would take many seconds bound the number of preemptions (3). The others try all
//! executions that loom can distinguish. [`Turns`](super::check::Turns) describes the executions
//! that it can't; `check_closely()` makes loom try them, too. With `--nocapture`, each test prints
//! its number of executions. If all threads of a model sleep, loom ends the process, not only the
//! test.
//!
//! # Breaks that the tests find
//!
//! `weakened.rs` takes single orders away, in each run. Each of the following breaks was applied to
//! a copy; the named tests failed. Four tests (`order_of_arrival`, `removed_item_stays_out`,
//! `..._with_callback`) were tried against a few breaks only.
//!
//! | Break | Caught by |
//! |---|---|
//! | `push()`: returns early if a plain load finds the bit set | `event_during_poll_is_not_lost`, `event_during_scans_is_not_lost`, `event_after_requeue_is_not_lost`, `event_that_comes_with_enrol_is_not_lost`, `removed_item_is_enrolled_again`, `two_producers_of_an_item`, `wakeup_of_two_is_not_lost` |
//! | `Flag::exchange()`: the same | the same |
//! | `Flag::exchange()`: relaxed | the same, `level_reaches_sleeper`, `level_is_not_missed_with_callback`, `put_back_is_not_missed_with_callback` (data races) |
//! | the bit is cleared after the poll | `event_during_poll_is_not_lost`, `event_during_scans_is_not_lost`, `event_after_requeue_is_not_lost`, `two_producers_of_an_item`, `wakeup_of_two_is_not_lost`, `level_is_not_missed_with_interrupt`, `put_back_is_not_missed`, `removal_from_any_place` |
//! | the bit is cleared before the links are read | `event_during_poll_is_not_lost`, `event_during_scans_is_not_lost`, `event_after_requeue_is_not_lost`, `two_producers_of_an_item`, `wakeup_of_two_is_not_lost`, `level_reaches_sleeper` (data races) |
//! | `BUSY` is cleared before the end of a scan takes the stack | `level_is_not_missed`, `level_is_not_missed_with_interrupt`, `put_back_is_not_missed` |
//! | `BUSY` is cleared before the level-triggered are appended | `level_is_not_missed`, `level_is_not_missed_with_callback` |
//! | `is_empty()` ignores `BUSY` | `level_is_not_missed`, `level_is_not_missed_with_interrupt`, `event_during_poll_is_not_lost`, `event_that_comes_with_enrol_is_not_lost` |
//! | `BUSY` is cleared always | `level_is_not_missed`, `put_back_is_not_missed`, `order_of_a_scan`, `event_during_poll_is_not_lost`, `removal_from_any_place`, `level_reaches_sleeper`, `wakeup_of_two_is_not_lost` |
//! | stack and `BUSY` in two fields, `BUSY` read first | `level_is_not_missed`, `level_is_not_missed_with_interrupt`, `put_back_is_not_missed`, and both with a callback |
//! | `compare_exchange()`: release, and no barrier | `wakeup_is_not_lost`, `wakeup_of_two_is_not_lost` |
//! | `compare_exchange()`: relaxed | the same, `event_during_scans_is_not_lost`, `event_that_comes_with_enrol_is_not_lost`, `two_producers_of_an_item` and four more (data races) |
//! | `Word::exchange()`: relaxed | `event_during_scans_is_not_lost`, `removal_waits_for_a_push`, `two_producers_of_an_item`, `level_reaches_sleeper` (data races) |
//! | `clear_busy()` stores instead of compare-and-exchange | `event_during_scans_is_not_lost`, `event_after_requeue_is_not_lost`, `removal_waits_for_a_push`, `two_producers_of_an_item`, `wakeup_of_two_is_not_lost` and two more |
//! | no fence in `sleep()`; wakes before it pushes; does not wake if it has pushed | `wakeup_is_not_lost`, `wakeup_of_two_is_not_lost` |
//! | `take()` does not reverse | `order_of_a_scan`, `put_back_is_first`, `removal_from_any_place` |
//! | `requeue()` and `put_back()` do not wait for a push that is under way | `level_is_not_missed_with_callback`, `put_back_is_not_missed_with_callback` |
//! | `requeue()` and `put_back()` do not ask what the bit was | `event_after_requeue_is_not_lost`, `level_is_not_missed_with_interrupt`, `put_back_is_not_missed`, `only_the_enrolled_are_queued` and three more |
//! | `await_push()` does not wait | `event_that_comes_with_enrol_is_not_lost` |
//! | `remove()` does not wait for a push that is under way | `removal_waits_for_a_push`, `removed_item_is_enrolled_again` |
//! | `remove()` does not look where the item is | the same, `removal_from_any_place`, `wakeup_of_two_is_not_lost` |
//! | `remove()` leaves the bit clear | `removal_from_any_place`, `removal_waits_for_a_push`, `removed_item_is_enrolled_again` |
//! | `remove()` leaves `BUSY` | `removal_from_any_place`, `level_reaches_sleeper`, `wakeup_of_two_is_not_lost` |
//! | `remove()` leaks the queue's reference | all that remove (`Arc` leaked) |
//! | an item is made with its bit clear | `only_the_enrolled_are_queued`, `event_that_comes_with_enrol_is_not_lost` |
//! | `push()` records after the push | `push_is_recorded_first` |
//! | `enrol()` takes an item twice | `only_the_enrolled_are_queued` |
//!
//! # Breaks that they do not find
//!
//! These breaks are harmless:
//!
//! * `Flag::exchange()` with acquire and release instead of a full barrier: the exchanges of one
//!   bit order everything that must be ordered here. The kernel's is full for the wake-up after
//!   `Push::Already`, which matters only to a second waiter.
//! * `Word::load()` relaxed: the loaded pointer is never followed.
//! * `push()` without `BUSY`: the pointer serves as well, and only `take()` removes it, which sets
//!   `BUSY`.
//! * The stack and `BUSY` in two fields, if the stack is read first: an item moves from the
//!   consumer to the stack only by a new event, which then comes after the read.
//! * No fence at the end of `deliver()`: the word is not zero from a push to the end of the last
//!   scan that finds an item, so the push has seen each sleeper.
//!
//! Two wake-ups are for a second waiter, which is not modelled here. `random.rs` tests the one at
//! the end of `deliver()`. No test of this crate fails without the one for `Push::Already`.

use super::{
    check::{check, check_closely, join, POISON},
    ready_queue::{Consumer, HasLinks, Links, Push, ReadyQueue, Scan},
    ready_sync::Arc,
};
use loom::{
    sync::{
        atomic::{fence, AtomicBool, Ordering::Relaxed, Ordering::SeqCst},
        Condvar, Mutex,
    },
    thread,
};
use std::ops::Deref;

/// An instance: the ready queue, its consumer under a lock, and the wait queue.
pub(crate) struct Instance {
    pub(crate) ready: ReadyQueue<Item>,
    pub(crate) consumer: Mutex<Consumer<Item>>,
    waiters: WaitQueue,
}

impl Instance {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            ready: ReadyQueue::new(),
            consumer: Mutex::new(Consumer::new()),
            waiters: WaitQueue::new(),
        })
    }
}

/// An item and its file.
pub(crate) struct Item {
    links: Links<Item>,
    id: usize,
    /// The file's state, of two sources with a wait queue each. Accesses to it order nothing.
    file: [AtomicBool; 2],
}

// SAFETY: The links are fields of the item.
unsafe impl HasLinks for Item {
    fn links(&self) -> &Links<Self> {
        &self.links
    }
}

impl Item {
    fn poll(&self) -> [bool; 2] {
        [self.file[0].load(Relaxed), self.file[1].load(Relaxed)]
    }

    fn is_ready(&self) -> bool {
        self.file[0].load(Relaxed)
    }
}

/// Items of an instance, removed from its queue on drop. loom reports references that leak.
pub(crate) struct Items<const N: usize> {
    ep: Arc<Instance>,
    items: [Arc<Item>; N],
}

impl<const N: usize> Deref for Items<N> {
    type Target = [Arc<Item>; N];
    fn deref(&self) -> &Self::Target {
        &self.items
    }
}

impl<const N: usize> Drop for Items<N> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let mut consumer = self.ep.consumer.lock().expect(POISON);
        for item in &self.items {
            assert!(remove(&self.ep.ready, &mut consumer, item), "not enrolled");
        }
        assert!(self.ep.ready.is_empty());
    }
}

/// Enrols `N` items of `ep`. Must be dropped while its consumer is not locked.
pub(crate) fn items<const N: usize>(ep: &Arc<Instance>) -> Items<N> {
    let items = std::array::from_fn(|id| new_item(&ep.ready, id));
    let mut consumer = ep.consumer.lock().expect(POISON);
    for item in items.iter() {
        consumer.enrol(&ep.ready, item.clone());
    }
    drop(consumer);
    let ep = ep.clone();
    Items { ep, items }
}

/// Makes an item that is not enrolled.
fn new_item(queue: &ReadyQueue<Item>, id: usize) -> Arc<Item> {
    Arc::new(Item {
        links: queue.new_links(),
        id,
        file: [AtomicBool::new(false), AtomicBool::new(false)],
    })
}

/// Removes `item` from the queue. Returns false if it was not enrolled.
fn remove(queue: &ReadyQueue<Item>, consumer: &mut Consumer<Item>, item: &Arc<Item>) -> bool {
    match consumer.remove(queue, item) {
        Some(owned) => {
            assert!(Arc::ptr_eq(&owned, item));
            true
        }
        None => false,
    }
}

/// Begins a scan of a queue with its consumer.
fn begin_scan<'a>(queue: &'a ReadyQueue<Item>, consumer: &'a mut Consumer<Item>) -> Scan<'a, Item> {
    consumer.scan(queue).expect("not the queue's consumer")
}

/// Makes the file's source `source` ready and runs the callback.
fn event(ep: &Instance, item: &Arc<Item>, source: usize) {
    item.file[source].store(true, Relaxed);
    let _ = ep.ready.push(item, || ());
    ep.waiters.wake();
}

/// Takes all items and returns their ids.
pub(crate) fn drain(queue: &ReadyQueue<Item>, consumer: &mut Consumer<Item>) -> Vec<usize> {
    let mut scan = begin_scan(queue, consumer);
    std::iter::from_fn(|| scan.next()).map(|i| i.id).collect()
}

fn take<'a>(scan: &mut Scan<'a, Item>, id: usize) -> &'a Item {
    let item = scan.next().expect("an item is missing");
    assert_eq!(item.id, id);
    item
}

/// A wait queue with room for one exclusive sleeper. The sleeper enters and leaves it under its
/// lock; `has_entries()` reads it without the lock.
struct WaitQueue {
    entered: AtomicBool,
    asleep: Mutex<bool>,
    wakeup: Condvar,
}

impl WaitQueue {
    fn new() -> Self {
        Self {
            entered: AtomicBool::new(false),
            asleep: Mutex::new(false),
            wakeup: Condvar::new(),
        }
    }

    /// `Eventpoll::wake()`. Removes the sleeper from the queue. This needs no barrier, as the push
    /// before it is one.
    fn wake(&self) {
        if self.entered.load(Relaxed) {
            let mut asleep = self.asleep.lock().expect(POISON);
            *asleep = false;
            self.entered.store(false, Relaxed);
            self.wakeup.notify_one();
        }
    }

    /// `WaitQueue::sleep_exclusive()`. loom fails the test if no thread wakes the sleeper.
    fn sleep(&self, ready: impl FnOnce() -> bool) {
        let mut asleep = self.asleep.lock().expect(POISON);
        *asleep = true;
        self.entered.store(true, Relaxed);
        drop(asleep);
        fence(SeqCst);
        let ready = ready();
        let mut asleep = self.asleep.lock().expect(POISON);
        while !ready && *asleep {
            asleep = self.wakeup.wait(asleep).expect(POISON);
        }
        *asleep = false;
        self.entered.store(false, Relaxed);
    }
}

impl Instance {
    /// The end of `deliver()`: wakes the next waiter if items are left.
    fn pass_on(&self) {
        if !self.ready.is_empty() {
            fence(SeqCst);
            self.waiters.wake();
        }
    }
}

/// WAIT without a time-out. Ends when `enough`, given each item and its readiness, returns true.
fn wait(ep: &Instance, mut enough: impl FnMut(&Item, [bool; 2]) -> bool) {
    loop {
        if !ep.ready.is_empty() {
            let mut consumer = ep.consumer.lock().expect(POISON);
            let mut scan = begin_scan(&ep.ready, &mut consumer);
            let mut done = false;
            while let Some(item) = scan.next() {
                done |= enough(item, item.poll());
            }
            if done {
                return;
            }
        }
        ep.waiters.sleep(|| !ep.ready.is_empty());
    }
}

/// (1) One event and one waiter, which must get it and not sleep for ever.
#[test]
fn wakeup_is_not_lost() {
    check_closely("wakeup_is_not_lost", || {
        let ep = Instance::new();
        let items = items::<1>(&ep);
        let item = items[0].clone();
        let producer = {
            let (ep, item) = (ep.clone(), item.clone());
            thread::spawn(move || event(&ep, &item, 0))
        };
        wait(&ep, |_, ready| ready[0]);
        join(producer);
    });
}

/// (1) Two events of one item. The second callback may find the bit set by the first one, which has
/// not pushed yet, and wake in vain. A waiter for both events must still get them.
#[test]
fn wakeup_of_two_is_not_lost() {
    check("wakeup_of_two_is_not_lost", Some(3), || {
        let ep = Instance::new();
        let items = items::<1>(&ep);
        let item = items[0].clone();
        let producers = [0, 1].map(|source| {
            let (ep, item) = (ep.clone(), item.clone());
            thread::spawn(move || event(&ep, &item, source))
        });
        wait(&ep, |_, ready| ready == [true, true]);
        for producer in producers {
            join(producer);
        }
    });
}

/// (2) An event arrives while the item is taken and polled. Either the poll sees it, or the item is
/// in the queue again, once.
pub(crate) fn event_during_poll() {
    let ep = Instance::new();
    let items = items::<1>(&ep);
    let item = items[0].clone();
    assert_eq!(ep.ready.push(&item, || ()), Push::Queued);
    let producer = {
        let (ep, item) = (ep.clone(), item.clone());
        thread::spawn(move || {
            item.file[0].store(true, Relaxed);
            let _ = ep.ready.push(&item, || ());
        })
    };
    let mut consumer = ep.consumer.lock().expect(POISON);
    let mut scan = begin_scan(&ep.ready, &mut consumer);
    let seen = scan.next().expect("the item was queued").is_ready();
    assert!(scan.next().is_none());
    drop(scan);
    join(producer);
    let queued = !ep.ready.is_empty();
    let again = drain(&ep.ready, &mut consumer);
    assert_eq!(queued, !again.is_empty());
    assert!(seen || queued, "the event is lost");
    assert!(again.len() <= 1, "queued twice");
    assert_eq!(Arc::strong_count(&item), 3);
}

#[test]
fn event_during_poll_is_not_lost() {
    check_closely("event_during_poll_is_not_lost", event_during_poll);
}

/// The record of a push comes before all that the consumer does with the item.
#[test]
fn push_is_recorded_first() {
    check("push_is_recorded_first", None, || {
        let ep = Instance::new();
        let items = items::<1>(&ep);
        let recorded = items[0].clone();
        let producer = {
            let (ep, item) = (ep.clone(), items[0].clone());
            thread::spawn(move || ep.ready.push(&item, || item.file[0].store(true, Relaxed)))
        };
        let mut consumer = ep.consumer.lock().expect(POISON);
        if !drain(&ep.ready, &mut consumer).is_empty() {
            assert!(
                recorded.file[0].load(Relaxed),
                "taken before it was recorded"
            );
        }
        assert_eq!(join(producer), Push::Queued);
    });
}

/// (2) As before, with an edge-triggered item that is not queued at first, and two scans. One of
/// them, or the next scan, sees the event.
pub(crate) fn event_during_scans() {
    let ep = Instance::new();
    let items = items::<1>(&ep);
    let item = items[0].clone();
    let producer = {
        let (ep, item) = (ep.clone(), item.clone());
        thread::spawn(move || {
            for source in [0, 1] {
                item.file[source].store(true, Relaxed);
                let _ = ep.ready.push(&item, || ());
            }
        })
    };
    let mut consumer = ep.consumer.lock().expect(POISON);
    let mut seen = [false; 2];
    let mut pass = |consumer: &mut Consumer<Item>| {
        let mut scan = begin_scan(&ep.ready, consumer);
        while let Some(item) = scan.next() {
            seen = item.poll();
        }
    };
    pass(&mut consumer);
    join(producer);
    pass(&mut consumer);
    assert_eq!(seen, [true, true]);
    assert!(ep.ready.is_empty());
}

#[test]
fn event_during_scans_is_not_lost() {
    check("event_during_scans_is_not_lost", None, event_during_scans);
}

/// (2) An item is requeued while a producer queues it, and taken again. It is queued once at a
/// time, and later events are not lost.
#[test]
fn event_after_requeue_is_not_lost() {
    check("event_after_requeue_is_not_lost", None, || {
        let ep = Instance::new();
        let items = items::<1>(&ep);
        let item = items[0].clone();
        let _ = ep.ready.push(&item, || ());
        let producer = {
            let (ep, item) = (ep.clone(), item.clone());
            thread::spawn(move || {
                for source in [0, 1] {
                    item.file[source].store(true, Relaxed);
                    let _ = ep.ready.push(&item, || ());
                }
            })
        };
        let mut consumer = ep.consumer.lock().expect(POISON);
        let mut first = begin_scan(&ep.ready, &mut consumer);
        let taken = take(&mut first, 0);
        first.requeue(taken);
        drop(first);
        let mut seen = [false; 2];
        let mut pass = |consumer: &mut Consumer<Item>| {
            let mut scan = begin_scan(&ep.ready, consumer);
            if let Some(item) = scan.next() {
                seen = item.poll();
            }
            assert!(scan.next().is_none(), "queued twice");
        };
        pass(&mut consumer);
        join(producer);
        pass(&mut consumer);
        assert_eq!(seen, [true, true]);
        assert!(ep.ready.is_empty());
        assert_eq!(Arc::strong_count(&item), 3);
    });
}

/// (3) Two producers of the same item, one of them also of another item, and a scan. Each event is
/// seen, and references are balanced.
#[test]
fn two_producers_of_an_item() {
    check("two_producers_of_an_item", Some(3), || {
        let ep = Instance::new();
        let items = items::<2>(&ep);
        let producers = [0, 1].map(|source| {
            let (ep, items) = (ep.clone(), items.each_ref().map(Arc::clone));
            thread::spawn(move || {
                items[0].file[source].store(true, Relaxed);
                let _ = ep.ready.push(&items[0], || ());
                if source == 1 {
                    items[1].file[1].store(true, Relaxed);
                    assert_eq!(ep.ready.push(&items[1], || ()), Push::Queued);
                }
            })
        });
        let mut consumer = ep.consumer.lock().expect(POISON);
        let mut seen = [[false; 2]; 2];
        let mut pass = |consumer: &mut Consumer<Item>| {
            let mut scan = begin_scan(&ep.ready, consumer);
            while let Some(item) = scan.next() {
                seen[item.id] = item.poll();
            }
        };
        pass(&mut consumer);
        for producer in producers {
            join(producer);
        }
        pass(&mut consumer);
        assert_eq!(seen, [[true, true], [false, true]]);
        assert!(ep.ready.is_empty());
        assert!(items.iter().all(|i| Arc::strong_count(i) == 2));
    });
}

/// (4) An item that is removed after its producers have finished is not delivered. Concurrent
/// events of other items are not lost.
#[test]
fn removed_item_stays_out() {
    check("removed_item_stays_out", Some(3), || {
        let ep = Instance::new();
        let items = items::<3>(&ep);
        let finished = {
            let (ep, item) = (ep.clone(), items[0].clone());
            thread::spawn(move || ep.ready.push(&item, || ()))
        };
        let other = {
            let (ep, items) = (ep.clone(), [items[1].clone(), items[2].clone()]);
            thread::spawn(move || {
                for item in &items {
                    let _ = ep.ready.push(item, || ());
                }
            })
        };
        assert_eq!(join(finished), Push::Queued);
        let mut consumer = ep.consumer.lock().expect(POISON);
        assert!(remove(&ep.ready, &mut consumer, &items[0]));
        let mut got = drain(&ep.ready, &mut consumer);
        join(other);
        got.extend(drain(&ep.ready, &mut consumer));
        assert_eq!(got, [1, 2]);
        assert!(ep.ready.is_empty());
        assert!(!remove(&ep.ready, &mut consumer, &items[0]));
        consumer.enrol(&ep.ready, items[0].clone());
    });
}

/// (4) Removal of an item that is not queued, on the stack, in the list, or left by a scan that was
/// forgotten. References are balanced.
#[test]
fn removal_from_any_place() {
    #[derive(Clone, Copy, PartialEq)]
    enum Place {
        Idle,
        Stack,
        List,
        Forgotten,
    }
    for place in [Place::Idle, Place::Stack, Place::List, Place::Forgotten] {
        for gone in 0..3 {
            check("removal_from_any_place", None, move || {
                let ep = Instance::new();
                let items = items::<3>(&ep);
                let mut consumer = ep.consumer.lock().expect(POISON);
                let queued = |&&id: &&usize| place != Place::Idle || id != gone;
                for &id in [0, 1, 2].iter().filter(queued) {
                    assert_eq!(ep.ready.push(&items[id], || ()), Push::Queued);
                }
                match place {
                    Place::Idle | Place::Stack => {}
                    Place::List => drop(begin_scan(&ep.ready, &mut consumer)),
                    Place::Forgotten => {
                        // One item in each of the three lists.
                        let mut scan = begin_scan(&ep.ready, &mut consumer);
                        let item = take(&mut scan, 0);
                        scan.requeue(item);
                        let item = take(&mut scan, 1);
                        assert_eq!(ep.ready.push(item, || ()), Push::Queued);
                        scan.requeue(item);
                        std::mem::forget(scan);
                    }
                }
                assert_eq!(Arc::strong_count(&items[gone]), 2);
                assert!(remove(&ep.ready, &mut consumer, &items[gone]));
                assert_eq!(Arc::strong_count(&items[gone]), 1);
                assert!(!remove(&ep.ready, &mut consumer, &items[gone]));
                assert_eq!(ep.ready.push(&items[gone], || ()), Push::Already);
                assert!(!ep.ready.is_empty());
                let order = match place {
                    Place::Forgotten => [2, 1, 0],
                    _ => [0, 1, 2],
                };
                let left: Vec<_> = order.into_iter().filter(|&id| id != gone).collect();
                assert_eq!(drain(&ep.ready, &mut consumer), left);
                assert!(ep.ready.is_empty());
                consumer.enrol(&ep.ready, items[gone].clone());
            });
        }
    }
    check("removal_of_the_only_one", None, || {
        // Removes the only item; then the queue is empty.
        let ep = Instance::new();
        let items = items::<1>(&ep);
        let mut consumer = ep.consumer.lock().expect(POISON);
        let _ = ep.ready.push(&items[0], || ());
        assert!(remove(&ep.ready, &mut consumer, &items[0]));
        assert!(ep.ready.is_empty());
        // The item may be enrolled again.
        consumer.enrol(&ep.ready, items[0].clone());
        assert_eq!(Arc::strong_count(&items[0]), 2);
        assert!(ep.ready.is_empty());
        assert_eq!(ep.ready.push(&items[0], || ()), Push::Queued);
        assert_eq!(drain(&ep.ready, &mut consumer), [0]);
    });
}

/// (4) Removal of an item whose producer has set the bit but not pushed yet. Removal waits for the
/// push, so the item is in no list when it returns, and later events are refused. Other items on
/// the stack are kept.
pub(crate) fn removal_during_a_push() {
    let ep = Instance::new();
    let items = items::<2>(&ep);
    let producer = {
        let (ep, items) = (ep.clone(), items.each_ref().map(Arc::clone));
        thread::spawn(move || {
            let _ = ep.ready.push(&items[0], || ());
            assert_eq!(ep.ready.push(&items[1], || ()), Push::Queued);
            // The item may be removed already.
            let _ = ep.ready.push(&items[0], || ());
        })
    };
    let mut consumer = ep.consumer.lock().expect(POISON);
    assert!(remove(&ep.ready, &mut consumer, &items[0]));
    assert_eq!(ep.ready.push(&items[0], || ()), Push::Already);
    join(producer);
    assert_eq!(Arc::strong_count(&items[0]), 1);
    assert_eq!(drain(&ep.ready, &mut consumer), [1]);
    assert!(ep.ready.is_empty());
    consumer.enrol(&ep.ready, items[0].clone());
}

#[test]
fn removal_waits_for_a_push() {
    check("removal_waits_for_a_push", None, removal_during_a_push);
}

/// (4) As before, but the item is then enrolled again while the producer continues. Only later
/// events queue it.
#[test]
fn removed_item_is_enrolled_again() {
    check("removed_item_is_enrolled_again", None, || {
        let ep = Instance::new();
        let items = items::<1>(&ep);
        let item = items[0].clone();
        let producer = {
            let (ep, item) = (ep.clone(), item.clone());
            thread::spawn(move || {
                [0, 1].map(|source| {
                    item.file[source].store(true, Relaxed);
                    ep.ready.push(&item, || ())
                })
            })
        };
        let mut consumer = ep.consumer.lock().expect(POISON);
        assert!(remove(&ep.ready, &mut consumer, &item));
        consumer.enrol(&ep.ready, item.clone());
        // As ADD does: poll, then queue.
        let mut seen = item.poll();
        let _ = join(producer);
        let mut scan = begin_scan(&ep.ready, &mut consumer);
        if let Some(item) = scan.next() {
            seen = item.poll();
        }
        assert!(scan.next().is_none(), "queued twice");
        drop(scan);
        assert_eq!(seen, [true, true], "the event is lost");
        assert!(ep.ready.is_empty());
    });
}

/// (4) An item can be enrolled once at a time; an item that is not enrolled is refused.
#[test]
fn only_the_enrolled_are_queued() {
    check("only_the_enrolled_are_queued", None, || {
        let ep = Instance::new();
        let item = new_item(&ep.ready, 7);
        let mut consumer = ep.consumer.lock().expect(POISON);
        assert_eq!(ep.ready.push(&item, || ()), Push::Already);
        assert!(ep.ready.is_empty());
        assert!(!remove(&ep.ready, &mut consumer, &item));
        // await_push(), requeue() and put_back() refuse it, too.
        consumer.await_push(&ep.ready, &item);
        let mut pass = begin_scan(&ep.ready, &mut consumer);
        pass.requeue(&item);
        pass.put_back(&item);
        drop(pass);
        assert!(ep.ready.is_empty());
        for queued in [false, true] {
            consumer.enrol(&ep.ready, item.clone());
            if queued {
                assert_eq!(ep.ready.push(&item, || ()), Push::Queued);
            }
            assert_eq!(Arc::strong_count(&item), 2);
            consumer.enrol(&ep.ready, item.clone());
            assert_eq!(Arc::strong_count(&item), 2, "enrolled twice");
            if !queued {
                assert_eq!(ep.ready.push(&item, || ()), Push::Queued);
            }
            assert_eq!(drain(&ep.ready, &mut consumer), [7]);
            assert!(remove(&ep.ready, &mut consumer, &item));
            assert!(!remove(&ep.ready, &mut consumer, &item));
            assert_eq!(Arc::strong_count(&item), 1);
        }
    });
}

/// (4) ADD against an event. Either the event is refused, and then ADD's poll finds it, or it
/// queues the item.
#[test]
fn event_that_comes_with_enrol_is_not_lost() {
    check_closely("event_that_comes_with_enrol_is_not_lost", || {
        let ep = Instance::new();
        let item = new_item(&ep.ready, 7);
        let producer = {
            let (ep, item) = (ep.clone(), item.clone());
            thread::spawn(move || {
                item.file[0].store(true, Relaxed);
                ep.ready.push(&item, || ())
            })
        };
        let mut consumer = ep.consumer.lock().expect(POISON);
        consumer.enrol(&ep.ready, item.clone());
        if item.is_ready() && ep.ready.push(&item, || ()) == Push::Already {
            // `Locked::queue()`.
            consumer.await_push(&ep.ready, &item);
            assert!(!ep.ready.is_empty(), "the next WAIT finds nothing");
        }
        let _ = join(producer);
        assert_eq!(drain(&ep.ready, &mut consumer), [7], "the event is lost");
        assert!(remove(&ep.ready, &mut consumer, &item));
    });
}

/// The callback that runs during a scan of a level-triggered item.
#[derive(Clone, Copy, PartialEq)]
enum Callback {
    No,
    /// It runs on the scanning CPU, in the middle of the scan.
    Interrupt,
    /// It runs on another CPU, at any time.
    Concurrent,
}

/// A scan finds an item ready and returns it to the queue by `give_back`. Meanwhile `is_empty()` on
/// another thread must never return true.
fn level(
    name: &str,
    preemptions: Option<usize>,
    callback: Callback,
    give_back: fn(&mut Scan<'_, Item>, &Item) -> bool,
) {
    check(name, preemptions, move || {
        let ep = Instance::new();
        let items = items::<1>(&ep);
        let item = items[0].clone();
        item.file[0].store(true, Relaxed);
        let _ = ep.ready.push(&item, || ());
        let observer = {
            let ep = ep.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    assert!(!ep.ready.is_empty(), "the second waiter misses the item");
                }
            })
        };
        let concurrent = (callback == Callback::Concurrent).then(|| {
            let (ep, item) = (ep.clone(), item.clone());
            thread::spawn(move || ep.ready.push(&item, || ()))
        });
        let mut consumer = ep.consumer.lock().expect(POISON);
        let mut scan = begin_scan(&ep.ready, &mut consumer);
        let taken = take(&mut scan, 0);
        assert!(taken.is_ready());
        if callback == Callback::Interrupt {
            assert_eq!(ep.ready.push(&item, || ()), Push::Queued);
        }
        give_back(&mut scan, taken);
        drop(scan);
        join(observer);
        concurrent.map(join);
        assert_eq!(drain(&ep.ready, &mut consumer), [0]);
        assert!(ep.ready.is_empty());
        assert_eq!(Arc::strong_count(&item), 3);
    });
}

/// (5) Without a callback.
#[test]
fn level_is_not_missed() {
    level("level_is_not_missed", None, Callback::No, |scan, item| {
        scan.requeue(item)
    });
}

/// (5) With a callback that queues the item again in the middle of the scan.
#[test]
fn level_is_not_missed_with_interrupt() {
    level(
        "level_is_not_missed_with_interrupt",
        None,
        Callback::Interrupt,
        |scan, item| scan.requeue(item),
    );
}

/// (5) With a callback on another CPU, at any time.
#[test]
fn level_is_not_missed_with_callback() {
    level(
        "level_is_not_missed_with_callback",
        Some(3),
        Callback::Concurrent,
        |scan, item| scan.requeue(item),
    );
}

/// (5) With a callback on another CPU and a second waiter, which sleeps and must get the item.
#[test]
fn level_reaches_sleeper() {
    check("level_reaches_sleeper", Some(3), || {
        let ep = Instance::new();
        let items = items::<1>(&ep);
        let item = items[0].clone();
        item.file[0].store(true, Relaxed);
        let _ = ep.ready.push(&item, || ());
        let second = {
            let ep = ep.clone();
            thread::spawn(move || wait(&ep, |_, ready| ready[0]))
        };
        let callback = {
            let (ep, item) = (ep.clone(), item.clone());
            thread::spawn(move || event(&ep, &item, 1))
        };
        let mut consumer = ep.consumer.lock().expect(POISON);
        let mut scan = begin_scan(&ep.ready, &mut consumer);
        if let Some(item) = scan.next() {
            assert!(item.is_ready());
            scan.requeue(item);
        }
        drop(scan);
        drop(consumer);
        ep.pass_on();
        join(second);
        join(callback);
    });
}

/// (5, 7) As for the level-triggered item, but the item is put back.
#[test]
fn put_back_is_not_missed() {
    let name = "put_back_is_not_missed";
    level(name, None, Callback::No, |scan, item| scan.put_back(item));
    level(name, None, Callback::Interrupt, |scan, item| {
        scan.put_back(item)
    });
}

/// (5, 7) The item is put back, with a callback on another CPU.
#[test]
fn put_back_is_not_missed_with_callback() {
    level(
        "put_back_is_not_missed_with_callback",
        Some(3),
        Callback::Concurrent,
        |scan, item| scan.put_back(item),
    );
}

/// (6) First the items that are left, then new ones, then level-triggered ones.
#[test]
fn order_of_a_scan() {
    check("order_of_a_scan", None, || {
        let ep = Instance::new();
        let items = items::<6>(&ep);
        let mut consumer = ep.consumer.lock().expect(POISON);
        for item in &items[..4] {
            let _ = ep.ready.push(item, || ());
        }
        let mut scan = begin_scan(&ep.ready, &mut consumer);
        for id in [0, 1] {
            let item = take(&mut scan, id);
            scan.requeue(item);
        }
        let _ = ep.ready.push(&items[4], || ());
        let _ = ep.ready.push(&items[5], || ());
        drop(scan);
        assert!(!ep.ready.is_empty());
        assert_eq!(drain(&ep.ready, &mut consumer), [2, 3, 4, 5, 0, 1]);
        assert!(ep.ready.is_empty());
    });
}

/// (6) Items that one thread pushes come in this order, whenever they are scanned.
#[test]
fn order_of_arrival() {
    check("order_of_arrival", Some(3), || {
        let ep = Instance::new();
        let items = items::<3>(&ep);
        let producer = {
            let (ep, items) = (ep.clone(), items.each_ref().map(Arc::clone));
            thread::spawn(move || {
                for item in &items {
                    let _ = ep.ready.push(item, || ());
                }
            })
        };
        let mut consumer = ep.consumer.lock().expect(POISON);
        let mut got = Vec::new();
        // The first scan takes one item, the second takes all.
        got.extend(begin_scan(&ep.ready, &mut consumer).next().map(|i| i.id));
        got.extend(drain(&ep.ready, &mut consumer));
        join(producer);
        got.extend(drain(&ep.ready, &mut consumer));
        assert_eq!(got, [0, 1, 2]);
        assert!(ep.ready.is_empty());
    });
}

/// (7) An item that is put back is the first of the next scan. If a producer has queued it
/// meanwhile, it is in the next scan once.
#[test]
fn put_back_is_first() {
    check("put_back_is_first", None, || {
        let ep = Instance::new();
        let items = items::<3>(&ep);
        let mut consumer = ep.consumer.lock().expect(POISON);
        for item in &items[..2] {
            let _ = ep.ready.push(item, || ());
        }
        let mut scan = begin_scan(&ep.ready, &mut consumer);
        let item = take(&mut scan, 0);
        let _ = ep.ready.push(&items[2], || ());
        scan.put_back(item);
        drop(scan);
        // The item is queued once, as a producer finds the bit set.
        assert_eq!(ep.ready.push(&items[0], || ()), Push::Already);
        let mut scan = begin_scan(&ep.ready, &mut consumer);
        let item = take(&mut scan, 0);
        let _ = ep.ready.push(&items[0], || ());
        scan.put_back(item);
        drop(scan);
        let mut got = drain(&ep.ready, &mut consumer);
        got.sort();
        assert_eq!(got, [0, 1, 2]);
        assert!(ep.ready.is_empty());
        assert!(items.iter().all(|i| Arc::strong_count(i) == 2));
    });
}

/// Each method refuses an item of another queue, and loses no reference.
#[test]
fn queues_do_not_mix() {
    check("queues_do_not_mix", None, || {
        let (one, two) = (Instance::new(), Instance::new());
        let items = items::<1>(&one);
        let item = &items[0];
        let mut consumer = one.consumer.lock().expect(POISON);
        assert_eq!(two.ready.push(item, || ()), Push::Already);
        assert!(two.ready.is_empty());
        let _ = one.ready.push(item, || ());
        let mut other = two.consumer.lock().expect(POISON);
        assert!(!remove(&two.ready, &mut other, item));
        other.enrol(&two.ready, item.clone());
        assert_eq!(Arc::strong_count(item), 2);
        assert_eq!(drain(&two.ready, &mut other), []);
        // A consumer belongs to the first queue that it was used with, which has no other consumer.
        assert!(consumer.scan(&two.ready).is_none());
        assert!(other.scan(&one.ready).is_none());
        assert!(Consumer::new().scan(&one.ready).is_none());
        assert!(!remove(&two.ready, &mut consumer, item));
        assert!(!remove(&one.ready, &mut other, item));
        other.await_push(&one.ready, item);
        assert!(!one.ready.is_empty() && two.ready.is_empty());
        let mut scan = begin_scan(&two.ready, &mut other);
        scan.requeue(item);
        scan.put_back(item);
        drop(scan);
        assert_eq!(drain(&one.ready, &mut consumer), [0]);
        assert_eq!(Arc::strong_count(item), 2);
    });
}
