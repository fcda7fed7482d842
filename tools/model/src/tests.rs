// SPDX-License-Identifier: GPL-2.0

//! The tests.
//!
//! loom runs a test in all interleavings of its threads' atomic accesses, and with all values that a
//! load may return in the C11 memory model; it knows whether two threads may access a link at the
//! same time, whether a thread waits for ever, and whether a reference leaks. An interrupt is a
//! thread that another one does not run during: no need to model it apart. Not modelled: several
//! exclusive waiters in one wait queue, and ordering by dependencies, which the kernel has and C11
//! has not (nothing here relies on it).
//!
//! All tests are exhaustive, but for those that give `check()` a bound of preemptions:
//! `wakeup_of_two_is_not_lost`, `level_reaches_sleeper` (2), `two_producers_of_an_item`,
//! `removed_item_stays_out` (3). With `--nocapture` each tells how many executions it has seen.
//!
//! # They can fail
//!
//! Each of these, done to a copy, made the tests named fail (and mostly others). That was before
//! `await_push()`; of the source as it is now, the tests have been seen to pass.
//!
//! | Break | Caught by |
//! |---|---|
//! | `push()`: returns early if a plain load finds the bit set | `event_during_poll_is_not_lost`, `event_during_scans_is_not_lost`, `two_producers_of_an_item`, `wakeup_of_two_is_not_lost` |
//! | `Flag::exchange()`: the same | the same |
//! | `Flag::exchange()`: relaxed | the same, `level_reaches_sleeper` (data races) |
//! | the bit is cleared after the poll | `event_during_poll_is_not_lost`, `event_during_scans_is_not_lost`, `two_producers_of_an_item`, `level_is_not_missed_with_interrupt` |
//! | the bit is cleared before the links are read | `event_during_poll_is_not_lost`, `two_producers_of_an_item`, `level_reaches_sleeper` (data races) |
//! | `BUSY` is cleared before the end of a scan takes the stack | `level_is_not_missed`, `put_back_is_not_missed` |
//! | `BUSY` is cleared before the level-triggered are appended | `level_is_not_missed`, `level_reaches_sleeper` |
//! | `is_empty()` ignores `BUSY`, or it is cleared always | `level_is_not_missed`, `put_back_is_not_missed`, `order_of_a_scan` |
//! | stack and `BUSY` in two fields, `BUSY` read first | `level_is_not_missed`, `put_back_is_not_missed` |
//! | `compare_exchange()`: relaxed | `event_during_scans_is_not_lost`, `order_of_arrival`, `drop_leaks_nothing` (data races) |
//! | `Word::exchange()`: relaxed | the same |
//! | `rest()` stores instead of compare-and-exchange | `event_during_scans_is_not_lost`, `order_of_arrival`, `wakeup_of_two_is_not_lost` |
//! | no fence in `has_sleepers()`, or none in `sleep()` | `wakeup_is_not_lost`, `wakeup_of_two_is_not_lost`, `level_reaches_sleeper` |
//! | wakes before it pushes; or does not wake if it has pushed | the same |
//! | `take()` does not reverse | `order_of_a_scan`, `order_of_arrival` |
//! | `requeue()` and `put_back()` do not wait for a push that is under way | `level_is_not_missed_with_callback`, `put_back_is_not_missed_with_callback` |
//! | `requeue()` does not ask what the bit was | `event_after_requeue_is_not_lost`, `level_is_not_missed_with_interrupt` |
//! | `requeue()` leaks a reference | `drop_leaks_nothing`, `level_is_not_missed` |
//! | `remove()` does not take the stack, or leaves the bit | `removal_from_any_place`, `removed_item_stays_out` |
//! | the dropped queue leaks its stack | `drop_leaks_nothing` |
//!
//! These are not caught, and are harmless: `Flag::exchange()` acquire-release instead of a full
//! barrier (the exchanges of one bit order all that must be; the kernel's is full for the
//! wake-up's sake, which has its own barrier); `Word::load()` relaxed (nothing is read through what
//! it returns); `push()` without `BUSY` (the pointer is as good, and only `take()` removes it, which
//! sets `BUSY`); no wake-up for `Push::Already` (it is for a second waiter, which is not modelled);
//! stack and `BUSY` in two fields, if the stack is read first (an item goes from the consumer to the
//! stack only by a new event, which the reader then comes before).

use super::{
    ready_queue::{Consumer, HasLinks, Links, Push, ReadyQueue, Scan},
    ready_sync::{Arc, ArcBorrow},
};
use loom::{
    model::Builder,
    sync::{
        atomic::{fence, AtomicBool, Ordering::Relaxed, Ordering::SeqCst},
        Condvar, Mutex,
    },
    thread,
};
use std::{
    sync::atomic::AtomicUsize as PlainUsize, // Not seen by loom.
};

const POISON: &str = "another thread has failed";

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
        model();
    });
    println!(
        "{name}: {} executions, {}, {:.2} s",
        runs.load(Relaxed),
        preemptions.map_or("exhaustive".into(), |n| format!("<= {n} preemptions")),
        begin.elapsed().as_secs_f32()
    );
}

/// An instance: the queue, its consumer under the lock, and those who wait.
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

/// An item, together with its file.
pub(crate) struct Item {
    links: Links<Item>,
    id: usize,
    /// The file's state: nothing that would order anything, of two sources (with a wait queue each).
    file: [AtomicBool; 2],
    drops: std::sync::Arc<PlainUsize>,
}

// SAFETY: The links are a part of the item.
unsafe impl HasLinks for Item {
    fn links(&self) -> &Links<Self> {
        &self.links
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Relaxed);
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

/// `N` items of a queue, and the number of those that were dropped.
pub(crate) fn items<const N: usize>(
    queue: &ReadyQueue<Item>,
) -> ([Arc<Item>; N], std::sync::Arc<PlainUsize>) {
    let drops = std::sync::Arc::new(PlainUsize::new(0));
    let items = std::array::from_fn(|id| {
        Arc::new(Item {
            links: Links::new(queue),
            id,
            file: [AtomicBool::new(false), AtomicBool::new(false)],
            drops: drops.clone(),
        })
    });
    (items, drops)
}

pub(crate) fn push(queue: &ReadyQueue<Item>, item: &Arc<Item>) -> Push {
    queue.push(ArcBorrow(item))
}

/// An event of the file's source `source`, and the callback: `Watcher::woken()`.
fn event(ep: &Instance, item: &Arc<Item>, source: usize) {
    item.file[source].store(true, Relaxed);
    push(&ep.ready, item);
    ep.waiters.wake();
}

/// Takes all that is ready; returns the ids.
pub(crate) fn drain(queue: &ReadyQueue<Item>, consumer: &mut Consumer<Item>) -> Vec<usize> {
    let mut scan = consumer.scan(queue);
    std::iter::from_fn(|| scan.next()).map(|i| i.id).collect()
}

fn take(scan: &mut Scan<'_, Item>, id: usize) -> Arc<Item> {
    let item = scan.next().expect("an item is missing");
    assert_eq!(item.id, id);
    item
}

/// A wait queue with room for one exclusive sleeper. It is entered and left under its lock;
/// `wq_has_sleeper()` looks without.
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

    fn has_sleepers(&self) -> bool {
        fence(SeqCst);
        self.entered.load(Relaxed)
    }

    /// `Eventpoll::wake()`. The sleeper leaves the queue, as by `wake_and_remove()`.
    fn wake(&self) {
        if self.has_sleepers() {
            let mut asleep = self.asleep.lock().expect(POISON);
            *asleep = false;
            self.entered.store(false, Relaxed);
            self.wakeup.notify_one();
        }
    }

    /// `WaitQueue::sleep_exclusive()`. loom fails the test if nobody wakes the sleeper.
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

/// WAIT, without a time-out, until `enough` says so of what the items were ready for.
fn wait(ep: &Instance, mut enough: impl FnMut(&Item, [bool; 2]) -> bool) {
    loop {
        if !ep.ready.is_empty() {
            let mut consumer = ep.consumer.lock().expect(POISON);
            let mut scan = consumer.scan(&ep.ready);
            let mut done = false;
            while let Some(item) = scan.next() {
                done |= enough(&item, item.poll());
            }
            if done {
                return;
            }
        }
        ep.waiters.sleep(|| !ep.ready.is_empty());
    }
}

/// (1) One event and one who waits for it: he gets it, and does not sleep for ever.
#[test]
fn wakeup_is_not_lost() {
    check("wakeup_is_not_lost", None, || {
        let ep = Instance::new();
        let ([item], _) = items(&ep.ready);
        let producer = {
            let (ep, item) = (ep.clone(), item.clone());
            thread::spawn(move || event(&ep, &item, 0))
        };
        wait(&ep, |_, ready| ready[0]);
        join(producer);
    });
}

/// (1) Two events of one item: the second callback may find the bit set by the first, which has not
/// pushed yet, and wake in vain; whoever waits for both events must get them.
#[test]
fn wakeup_of_two_is_not_lost() {
    check("wakeup_of_two_is_not_lost", Some(2), || {
        let ep = Instance::new();
        let ([item], _) = items(&ep.ready);
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

/// (2) An event that comes as the item is taken and polled: the poll sees it, or the item is in the
/// queue again, once.
#[test]
fn event_during_poll_is_not_lost() {
    check("event_during_poll_is_not_lost", None, || {
        let ep = Instance::new();
        let ([item], _) = items(&ep.ready);
        assert_eq!(push(&ep.ready, &item), Push::Queued);
        let producer = {
            let (ep, item) = (ep.clone(), item.clone());
            thread::spawn(move || {
                item.file[0].store(true, Relaxed);
                push(&ep.ready, &item);
            })
        };
        let mut consumer = ep.consumer.lock().expect(POISON);
        let mut scan = consumer.scan(&ep.ready);
        let seen = scan.next().expect("the item was queued").is_ready();
        assert!(scan.next().is_none());
        drop(scan);
        join(producer);
        let queued = !ep.ready.is_empty();
        let again = drain(&ep.ready, &mut consumer);
        assert_eq!(queued, !again.is_empty());
        assert!(seen || queued, "the event is lost");
        assert!(again.len() <= 1, "queued twice");
        assert_eq!(Arc::strong_count(&item), 1);
    });
}

/// (2) As before, for an edge-triggered item that is not queued at first, and two scans: one of them,
/// or the next, sees the event.
#[test]
fn event_during_scans_is_not_lost() {
    check("event_during_scans_is_not_lost", None, || {
        let ep = Instance::new();
        let ([item], _) = items(&ep.ready);
        let producer = {
            let (ep, item) = (ep.clone(), item.clone());
            thread::spawn(move || {
                for source in [0, 1] {
                    item.file[source].store(true, Relaxed);
                    push(&ep.ready, &item);
                }
            })
        };
        let mut consumer = ep.consumer.lock().expect(POISON);
        let mut seen = [false; 2];
        let mut scan = |consumer: &mut Consumer<Item>| {
            let mut scan = consumer.scan(&ep.ready);
            while let Some(item) = scan.next() {
                seen = item.poll();
            }
        };
        scan(&mut consumer);
        join(producer);
        scan(&mut consumer);
        assert_eq!(seen, [true, true]);
        assert!(ep.ready.is_empty());
    });
}

/// (2) An item that is requeued as a producer queues it, and taken again: it is queued once at a time,
/// and what comes later is not lost.
#[test]
fn event_after_requeue_is_not_lost() {
    check("event_after_requeue_is_not_lost", None, || {
        let ep = Instance::new();
        let ([item], drops) = items(&ep.ready);
        push(&ep.ready, &item);
        let producer = {
            let (ep, item) = (ep.clone(), item.clone());
            thread::spawn(move || {
                for source in [0, 1] {
                    item.file[source].store(true, Relaxed);
                    push(&ep.ready, &item);
                }
            })
        };
        let mut consumer = ep.consumer.lock().expect(POISON);
        let mut scan = consumer.scan(&ep.ready);
        let taken = take(&mut scan, 0);
        scan.requeue(taken);
        drop(scan);
        let mut seen = [false; 2];
        let mut scan = |consumer: &mut Consumer<Item>| {
            let mut scan = consumer.scan(&ep.ready);
            if let Some(item) = scan.next() {
                seen = item.poll();
            }
            assert!(scan.next().is_none(), "queued twice");
        };
        scan(&mut consumer);
        join(producer);
        scan(&mut consumer);
        assert_eq!(seen, [true, true]);
        assert!(ep.ready.is_empty());
        assert_eq!(Arc::strong_count(&item), 1);
        drop(item);
        assert_eq!(drops.load(Relaxed), 1);
    });
}

/// (3) Two producers of the same item, one of another as well, and a scan: each event is seen, the
/// references are balanced.
#[test]
fn two_producers_of_an_item() {
    check("two_producers_of_an_item", Some(3), || {
        let ep = Instance::new();
        let (items, drops) = items::<2>(&ep.ready);
        let producers = [0, 1].map(|source| {
            let (ep, items) = (ep.clone(), items.clone());
            thread::spawn(move || {
                items[0].file[source].store(true, Relaxed);
                push(&ep.ready, &items[0]);
                if source == 1 {
                    items[1].file[1].store(true, Relaxed);
                    assert_eq!(push(&ep.ready, &items[1]), Push::Queued);
                }
            })
        });
        let mut consumer = ep.consumer.lock().expect(POISON);
        let mut seen = [[false; 2]; 2];
        let mut scan = |consumer: &mut Consumer<Item>| {
            let mut scan = consumer.scan(&ep.ready);
            while let Some(item) = scan.next() {
                seen[item.id] = item.poll();
            }
        };
        scan(&mut consumer);
        for producer in producers {
            join(producer);
        }
        scan(&mut consumer);
        assert_eq!(seen, [[true, true], [false, true]]);
        assert!(ep.ready.is_empty());
        assert!(items.iter().all(|i| Arc::strong_count(i) == 1));
        drop(items);
        assert_eq!(drops.load(Relaxed), 2);
    });
}

/// (4) What was removed after its producers had finished is not delivered; producers of others, that
/// go on meanwhile, lose nothing.
#[test]
fn removed_item_stays_out() {
    check("removed_item_stays_out", Some(3), || {
        let ep = Instance::new();
        let (items, _) = items::<3>(&ep.ready);
        let finished = {
            let (ep, item) = (ep.clone(), items[0].clone());
            thread::spawn(move || push(&ep.ready, &item))
        };
        let other = {
            let (ep, items) = (ep.clone(), items.clone());
            thread::spawn(move || {
                push(&ep.ready, &items[1]);
                push(&ep.ready, &items[2]);
            })
        };
        assert_eq!(join(finished), Push::Queued);
        let mut consumer = ep.consumer.lock().expect(POISON);
        assert!(consumer.remove(&ep.ready, &items[0]));
        let mut got = drain(&ep.ready, &mut consumer);
        join(other);
        got.extend(drain(&ep.ready, &mut consumer));
        assert_eq!(got, [1, 2]);
        assert!(ep.ready.is_empty());
        assert!(!consumer.remove(&ep.ready, &items[0]));
        assert!(items.iter().all(|i| Arc::strong_count(i) == 1));
    });
}

/// (4) Removal from each place of the stack, and of the list.
#[test]
fn removal_from_any_place() {
    check("removal_from_any_place", None, || {
        for scanned in [false, true] {
            for gone in 0..3 {
                let ep = Instance::new();
                let (items, _) = items::<3>(&ep.ready);
                let mut consumer = ep.consumer.lock().expect(POISON);
                for item in &items {
                    push(&ep.ready, item);
                }
                if scanned {
                    drop(consumer.scan(&ep.ready));
                }
                assert!(consumer.remove(&ep.ready, &items[gone]));
                assert!(!consumer.remove(&ep.ready, &items[gone]));
                assert!(!ep.ready.is_empty());
                let left: Vec<_> = (0..3).filter(|&id| id != gone).collect();
                assert_eq!(drain(&ep.ready, &mut consumer), left);
                assert!(ep.ready.is_empty());
            }
        }
        // The only one; and then the queue says that it is empty.
        let ep = Instance::new();
        let ([item], _) = items(&ep.ready);
        let mut consumer = ep.consumer.lock().expect(POISON);
        push(&ep.ready, &item);
        assert!(consumer.remove(&ep.ready, &item));
        assert!(ep.ready.is_empty());
        assert_eq!(Arc::strong_count(&item), 1);
        // It could come again.
        assert_eq!(push(&ep.ready, &item), Push::Queued);
        assert_eq!(drain(&ep.ready, &mut consumer), [0]);
    });
}

/// Who may see a level-triggered item that is always ready.
#[derive(Clone, Copy, PartialEq)]
enum Callback {
    No,
    /// On the scanning CPU, in the middle of the scan.
    Interrupt,
    /// On another CPU, whenever it likes.
    Concurrent,
}

/// A scan finds an item ready and gives it back by `give_back`; somebody else's `is_empty()` must
/// never say that there is nothing.
fn level(
    name: &str,
    preemptions: Option<usize>,
    callback: Callback,
    give_back: fn(&mut Scan<'_, Item>, Arc<Item>),
) {
    check(name, preemptions, move || {
        let ep = Instance::new();
        let ([item], _) = items(&ep.ready);
        item.file[0].store(true, Relaxed);
        push(&ep.ready, &item);
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
            thread::spawn(move || push(&ep.ready, &item))
        });
        let mut consumer = ep.consumer.lock().expect(POISON);
        let mut scan = consumer.scan(&ep.ready);
        let taken = take(&mut scan, 0);
        assert!(taken.is_ready());
        if callback == Callback::Interrupt {
            assert_eq!(push(&ep.ready, &item), Push::Queued);
        }
        give_back(&mut scan, taken);
        drop(scan);
        join(observer);
        concurrent.map(join);
        assert_eq!(drain(&ep.ready, &mut consumer), [0]);
        assert!(ep.ready.is_empty());
        assert_eq!(Arc::strong_count(&item), 1);
    });
}

/// (5) Alone.
#[test]
fn level_is_not_missed() {
    level("level_is_not_missed", None, Callback::No, |scan, item| {
        scan.requeue(item)
    });
}

/// (5) With a callback that queues the item anew in the middle of the scan.
#[test]
fn level_is_not_missed_with_interrupt() {
    level(
        "level_is_not_missed_with_interrupt",
        None,
        Callback::Interrupt,
        |scan, item| scan.requeue(item),
    );
}

/// (5) With a callback at any time, on another CPU.
#[test]
fn level_is_not_missed_with_callback() {
    level(
        "level_is_not_missed_with_callback",
        None,
        Callback::Concurrent,
        |scan, item| scan.requeue(item),
    );
}

/// (5) With a callback on another CPU, and a second waiter who sleeps: he gets the item.
#[test]
fn level_reaches_sleeper() {
    check("level_reaches_sleeper", Some(2), || {
        let ep = Instance::new();
        let ([item], _) = items(&ep.ready);
        item.file[0].store(true, Relaxed);
        push(&ep.ready, &item);
        let second = {
            let ep = ep.clone();
            thread::spawn(move || wait(&ep, |_, ready| ready[0]))
        };
        let callback = {
            let (ep, item) = (ep.clone(), item.clone());
            thread::spawn(move || event(&ep, &item, 1))
        };
        let mut consumer = ep.consumer.lock().expect(POISON);
        let mut scan = consumer.scan(&ep.ready);
        if let Some(item) = scan.next() {
            assert!(item.is_ready());
            scan.requeue(item);
        }
        drop(scan);
        drop(consumer);
        // The end of `deliver()`.
        if !ep.ready.is_empty() {
            ep.waiters.wake();
        }
        join(second);
        join(callback);
    });
}

/// (5, 7) As for the level-triggered item, if it is put back.
#[test]
fn put_back_is_not_missed() {
    let name = "put_back_is_not_missed";
    level(name, None, Callback::No, |scan, item| scan.put_back(item));
    level(name, None, Callback::Interrupt, |scan, item| {
        scan.put_back(item)
    });
}

/// (5, 7) As for the level-triggered item, if it is put back, with a callback on another CPU.
#[test]
fn put_back_is_not_missed_with_callback() {
    level(
        "put_back_is_not_missed_with_callback",
        None,
        Callback::Concurrent,
        |scan, item| scan.put_back(item),
    );
}

/// (6) What is left, then what came, then what is level-triggered.
#[test]
fn order_of_a_scan() {
    check("order_of_a_scan", None, || {
        let ep = Instance::new();
        let (items, _) = items::<6>(&ep.ready);
        let mut consumer = ep.consumer.lock().expect(POISON);
        for item in &items[..4] {
            push(&ep.ready, item);
        }
        let mut scan = consumer.scan(&ep.ready);
        for id in [0, 1] {
            let item = take(&mut scan, id);
            scan.requeue(item);
        }
        push(&ep.ready, &items[4]);
        push(&ep.ready, &items[5]);
        drop(scan);
        assert!(!ep.ready.is_empty());
        assert_eq!(drain(&ep.ready, &mut consumer), [2, 3, 4, 5, 0, 1]);
        assert!(ep.ready.is_empty());
    });
}

/// (6) What one thread pushes comes in this order, whenever it is scanned.
#[test]
fn order_of_arrival() {
    check("order_of_arrival", None, || {
        let ep = Instance::new();
        let (items, _) = items::<3>(&ep.ready);
        let producer = {
            let ep = ep.clone();
            thread::spawn(move || {
                for item in &items {
                    push(&ep.ready, item);
                }
            })
        };
        let mut consumer = ep.consumer.lock().expect(POISON);
        let mut got = Vec::new();
        // A scan that takes one, then one that takes all.
        got.extend(consumer.scan(&ep.ready).next().map(|i| i.id));
        got.extend(drain(&ep.ready, &mut consumer));
        join(producer);
        got.extend(drain(&ep.ready, &mut consumer));
        assert_eq!(got, [0, 1, 2]);
        assert!(ep.ready.is_empty());
    });
}

/// (7) What is put back is the first of the next scan; if a producer has queued it meanwhile, it is in
/// the next scan, once.
#[test]
fn put_back_is_first() {
    check("put_back_is_first", None, || {
        let ep = Instance::new();
        let (items, _) = items::<3>(&ep.ready);
        let mut consumer = ep.consumer.lock().expect(POISON);
        for item in &items[..2] {
            push(&ep.ready, item);
        }
        let mut scan = consumer.scan(&ep.ready);
        let item = take(&mut scan, 0);
        push(&ep.ready, &items[2]);
        scan.put_back(item);
        drop(scan);
        // Queued once: a producer finds the bit set.
        assert_eq!(push(&ep.ready, &items[0]), Push::Already);
        let mut scan = consumer.scan(&ep.ready);
        let item = take(&mut scan, 0);
        push(&ep.ready, &items[0]);
        scan.put_back(item);
        drop(scan);
        let mut got = drain(&ep.ready, &mut consumer);
        got.sort();
        assert_eq!(got, [0, 1, 2]);
        assert!(ep.ready.is_empty());
        assert!(items.iter().all(|i| Arc::strong_count(i) == 1));
    });
}

/// (8) A queue and a consumer that are dropped with items on the stack, in the list, and of a scan.
#[test]
fn drop_leaks_nothing() {
    check("drop_leaks_nothing", None, || {
        let ep = Instance::new();
        let (items, drops) = items::<4>(&ep.ready);
        let producer = {
            let (ep, item) = (ep.clone(), items[3].clone());
            // The last one to leave drops the instance.
            thread::spawn(move || push(&ep.ready, &item))
        };
        let mut consumer = ep.consumer.lock().expect(POISON);
        for item in &items[..3] {
            push(&ep.ready, item);
        }
        let mut scan = consumer.scan(&ep.ready);
        let first = scan.next().expect("three are queued");
        scan.requeue(first);
        push(&ep.ready, &items[0]);
        drop(scan);
        drop(items);
        drop(consumer);
        join(producer);
        drop(ep);
        assert_eq!(drops.load(Relaxed), 4);
    });
}

/// An item of another queue is refused everywhere, and nothing of it is lost.
#[test]
fn queues_do_not_mix() {
    check("queues_do_not_mix", None, || {
        let (one, two) = (Instance::new(), Instance::new());
        let ([item], _) = items(&one.ready);
        let mut consumer = one.consumer.lock().expect(POISON);
        assert_eq!(push(&two.ready, &item), Push::Already);
        assert!(two.ready.is_empty());
        push(&one.ready, &item);
        let mut other = two.consumer.lock().expect(POISON);
        assert!(!other.remove(&two.ready, &item));
        assert_eq!(drain(&two.ready, &mut other), []);
        // A consumer is of the queue that it was first used with.
        drop(consumer.scan(&one.ready));
        assert!(!consumer.remove(&two.ready, &item));
        drop(consumer.scan(&two.ready));
        assert!(!one.ready.is_empty() && two.ready.is_empty());
        let mut scan = other.scan(&two.ready);
        scan.requeue(item.clone());
        scan.put_back(item.clone());
        drop(scan);
        assert_eq!(drain(&one.ready, &mut consumer), [0]);
        assert_eq!(Arc::strong_count(&item), 1);
    });
}
