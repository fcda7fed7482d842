// SPDX-License-Identifier: GPL-2.0

//! Cases that are too large for an exhaustive test, under random schedules of shuttle.
//!
//! Many files, producers and tasks in WAIT, with MOD, DEL and small buffers, use the module's own
//! ready queue. The code around it (callback, WAIT, MOD, DEL: `rust/eventpoll/`) needs the kernel,
//! so this file has short twins of it, with the accesses in the same order.
//!
//! The seed of a run determines all its schedules. It is random and printed; to repeat a failed
//! run, set `REPOLL_MODEL_SEED` to it. `REPOLL_MODEL_RUNS` multiplies the number of schedules.
//!
//! # Breaks that the tests find
//!
//! Each of these breaks was applied to a copy. The named tests failed within the everyday number of
//! schedules.
//!
//! | Break | Caught by |
//! |---|---|
//! | the callback wakes before it pushes, or not if it has pushed | `a_level_reaches_all_waiters`, `level_triggered`, `edge_triggered`, `oneshot`, `all_triggers_and_a_delete` |
//! | `deliver()` does not wake the next one | `a_level_reaches_all_waiters` |
//! | `requeue()` and `put_back()` do not ask what the bit was | `a_level_is_never_missed`, `level_triggered`, `edge_triggered`, `oneshot`, `all_triggers_and_a_delete` |
//! | `clear_busy()` stores instead of compare-and-exchange | `level_triggered`, `edge_triggered`, `oneshot`, `all_triggers_and_a_delete` |
//! | `BUSY` is cleared before the level-triggered are appended | `a_level_is_never_missed`, `a_level_reaches_all_waiters`, `level_triggered`, `all_triggers_and_a_delete` |
//!
//! Not found: `push()` that returns early if a plain load finds the bit set (a matter of memory
//! order, for loom), and `requeue()` and `put_back()` that do not wait for a push (loom's tests
//! find it).

#[path = "../../../rust/watch/ready_queue.rs"]
mod ready_queue;
mod ready_sync;

use ready_queue::{Consumer, HasLinks, Links, Push, ReadyQueue};
use ready_sync::Arc;
use shuttle::{
    rand::{thread_rng, Rng},
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        Condvar, Mutex,
    },
    thread, Config, Runner,
};
use std::collections::VecDeque;

const POISON: &str = "another thread has failed";

/// The trigger of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trigger {
    Level,
    Edge,
    Oneshot,
}

/// An item and its file, which behaves like an eventfd that counts.
struct Item {
    links: Links<Item>,
    id: usize,
    trigger: Trigger,
    /// The number of writes that have not been read yet.
    count: AtomicUsize,
    /// Whether the item is armed; a ONESHOT item that has fired is not.
    armed: AtomicBool,
    /// Whether our entry is in the file's wait queue, under the queue's lock.
    entry: Mutex<bool>,
    /// DEL has returned.
    deleted: AtomicBool,
    drops: Arc<AtomicUsize>,
}

// SAFETY: The links are fields of the item.
unsafe impl HasLinks for Item {
    fn links(&self) -> &Links<Self> {
        &self.links
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        self.drops.fetch_add(1, SeqCst);
    }
}

/// An instance.
struct Instance {
    ready: ReadyQueue<Item>,
    consumer: Mutex<Consumer<Item>>,
    waiters: WaitQueue,
}

/// A wait queue with exclusive waiters, woken in order.
struct WaitQueue {
    entered: AtomicUsize,
    sleepers: Mutex<VecDeque<Arc<Sleeper>>>,
}

struct Sleeper {
    woken: Mutex<bool>,
    wakeup: Condvar,
}

impl WaitQueue {
    /// `Eventpoll::wake()`: wakes one waiter and removes it from the queue.
    fn wake_one(&self) {
        if self.entered.load(SeqCst) == 0 {
            return;
        }
        let sleeper = {
            let mut sleepers = self.sleepers.lock().expect(POISON);
            let sleeper = sleepers.pop_front();
            self.entered.store(sleepers.len(), SeqCst);
            sleeper
        };
        if let Some(sleeper) = sleeper {
            *sleeper.woken.lock().expect(POISON) = true;
            sleeper.wakeup.notify_one();
        }
    }

    /// `WaitQueue::sleep_exclusive()`. shuttle fails a test in which all threads sleep.
    fn sleep(&self, ready: impl FnOnce() -> bool) {
        let sleeper = Arc::new(Sleeper {
            woken: Mutex::new(false),
            wakeup: Condvar::new(),
        });
        {
            let mut sleepers = self.sleepers.lock().expect(POISON);
            sleepers.push_back(sleeper.clone());
            self.entered.store(sleepers.len(), SeqCst);
        }
        if !ready() {
            let mut woken = sleeper.woken.lock().expect(POISON);
            while !*woken {
                woken = sleeper.wakeup.wait(woken).expect(POISON);
            }
        }
        let mut sleepers = self.sleepers.lock().expect(POISON);
        sleepers.retain(|other| !Arc::ptr_eq(other, &sleeper));
        self.entered.store(sleepers.len(), SeqCst);
    }
}

impl Instance {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            ready: ReadyQueue::new(),
            consumer: Mutex::new(Consumer::new()),
            waiters: WaitQueue {
                entered: AtomicUsize::new(0),
                sleepers: Mutex::new(VecDeque::new()),
            },
        })
    }

    /// Adds an item with nothing to read.
    fn item(&self, id: usize, trigger: Trigger, drops: &Arc<AtomicUsize>) -> Arc<Item> {
        let item = Arc::new(Item {
            links: self.ready.new_links(),
            id,
            trigger,
            count: AtomicUsize::new(0),
            armed: AtomicBool::new(true),
            entry: Mutex::new(true),
            deleted: AtomicBool::new(false),
            drops: drops.clone(),
        });
        let mut consumer = self.consumer.lock().expect(POISON);
        consumer.enrol(&self.ready, item.clone());
        item
    }

    /// Writes to the file and runs the callback. Returns false if the file is not watched.
    fn write(&self, item: &Arc<Item>) -> bool {
        let entry = item.entry.lock().expect(POISON);
        if *entry {
            item.count.fetch_add(1, SeqCst);
            if item.armed.load(SeqCst) {
                let _ = self.ready.push(item, || ());
                self.waiters.wake_one();
            }
        }
        *entry
    }

    /// WAIT for up to `max` items. Returns the id of each and the number of writes read. Sleeps
    /// until there is an item, or until `over`. Reads edge-triggered and ONESHOT files until they
    /// are empty, level-triggered ones once.
    fn wait(&self, max: usize, over: &AtomicBool) -> Vec<(usize, usize)> {
        loop {
            if !self.ready.is_empty() {
                let got = self.scan(max);
                // The end of `deliver()`.
                if !self.ready.is_empty() {
                    self.waiters.wake_one();
                }
                if !got.is_empty() {
                    return got;
                }
            }
            if over.load(SeqCst) {
                return Vec::new();
            }
            self.waiters
                .sleep(|| !self.ready.is_empty() || over.load(SeqCst));
        }
    }

    fn scan(&self, max: usize) -> Vec<(usize, usize)> {
        let mut consumer = self.consumer.lock().expect(POISON);
        let mut scan = consumer.scan(&self.ready).expect("its consumer");
        let mut got: Vec<(usize, usize)> = Vec::new();
        while got.len() < max {
            let Some(item) = scan.next() else { break };
            assert!(!item.deleted.load(SeqCst), "delivered after DEL");
            assert!(
                got.iter().all(|(id, _)| *id != item.id),
                "an item twice in a scan"
            );
            // `poll_now()`.
            if !item.armed.load(SeqCst) || item.count.load(SeqCst) == 0 {
                continue;
            }
            if thread_rng().gen_ratio(1, 8) {
                // The user's buffer can't be written.
                scan.put_back(item);
                break;
            }
            match item.trigger {
                Trigger::Oneshot => item.armed.store(false, SeqCst),
                Trigger::Edge => {}
                Trigger::Level => {
                    scan.requeue(item);
                }
            }
            // The program reads the file. It does so under the lock, so there is one reader at a
            // time.
            let read = match item.trigger {
                Trigger::Level => {
                    item.count.fetch_sub(1, SeqCst);
                    1
                }
                Trigger::Edge | Trigger::Oneshot => item.count.swap(0, SeqCst),
            };
            got.push((item.id, read));
        }
        got
    }

    /// MOD that arms the item again.
    fn rearm(&self, item: &Arc<Item>) {
        let mut consumer = self.consumer.lock().expect(POISON);
        item.armed.store(true, SeqCst);
        if item.count.load(SeqCst) == 0 {
            return;
        }
        // `Locked::queue()`. MOD does not know about deleted items.
        if item.deleted.load(SeqCst) {
            return;
        }
        match self.ready.push(item, || ()) {
            Push::Queued => self.waiters.wake_one(),
            Push::Already => consumer.await_push(&self.ready, item),
        }
    }

    /// DEL. Returns the number of writes that have not been read.
    fn delete(&self, item: &Arc<Item>) -> usize {
        let mut consumer = self.consumer.lock().expect(POISON);
        *item.entry.lock().expect(POISON) = false;
        assert!(consumer.remove(&self.ready, item).is_some(), "not enrolled");
        item.deleted.store(true, SeqCst);
        item.count.swap(0, SeqCst)
    }
}

impl Instance {
    /// `Eventpoll::release()`.
    fn release(&self, items: &[Arc<Item>]) {
        for item in items {
            if !item.deleted.load(SeqCst) {
                self.delete(item);
            }
        }
        assert!(self.ready.is_empty());
    }
}

/// Runs `model` under `schedules` random schedules, and the same number with random priorities.
fn check(name: &'static str, schedules: usize, model: fn()) {
    let number = |name| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let schedules = schedules * number("REPOLL_MODEL_RUNS").unwrap_or(1).max(1) as usize;
    let seed = number("REPOLL_MODEL_SEED").unwrap_or_else(|| {
        use std::hash::{BuildHasher, Hasher, RandomState};
        RandomState::new().build_hasher().finish()
    });
    println!("{name}: {schedules} schedules of either kind, REPOLL_MODEL_SEED={seed}");
    let random = RandomScheduler::new_from_seed(seed, schedules);
    // Few preemptions, at random places. This finds errors that need a thread to pause for long.
    let priorities = PctScheduler::new_from_seed(seed, 4, schedules);
    run(random, model);
    run(priorities, model);
}

fn run(scheduler: impl Scheduler + 'static, model: fn()) {
    Runner::new(scheduler, Config::new()).run(model);
}

const FILES: usize = 4;
const WRITERS: usize = 3;
const WAITERS: usize = 3;
const WRITES: usize = 4;

/// Each writer writes to all files, and waiters read the files that are reported to them.
/// Optionally, one file is deleted meanwhile. All writes to watched files must be read, no thread
/// may sleep for ever, and nothing may leak.
fn all_is_read(trigger_of: fn(usize) -> Trigger, delete: Option<usize>) {
    let ep = Instance::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let items: Vec<_> = (0..FILES)
        .map(|id| ep.item(id, trigger_of(id), &drops))
        .collect();
    let left = Left {
        count: Arc::new(AtomicUsize::new(FILES * WRITERS * WRITES)),
        over: Arc::new(AtomicBool::new(false)),
    };
    let mut threads = Vec::new();
    for writer in 0..WRITERS {
        let (ep, items, left) = (ep.clone(), items.clone(), left.clone());
        threads.push(thread::spawn(move || {
            for write in 0..WRITES * FILES {
                let watched = ep.write(&items[(writer + write) % FILES]);
                left.less(&ep, usize::from(!watched));
            }
        }));
    }
    for waiter in 0..WAITERS {
        let (ep, items, left) = (ep.clone(), items.clone(), left.clone());
        threads.push(thread::spawn(move || loop {
            let got = ep.wait(1 + waiter, &left.over);
            if got.is_empty() {
                // The thread that ended the run wakes one waiter, which wakes the next.
                ep.waiters.wake_one();
                return;
            }
            for (id, read) in got {
                if items[id].trigger == Trigger::Oneshot {
                    ep.rearm(&items[id]);
                }
                left.less(&ep, read);
            }
        }));
    }
    if let Some(id) = delete {
        let (ep, item, left) = (ep.clone(), items[id].clone(), left.clone());
        threads.push(thread::spawn(move || left.less(&ep, ep.delete(&item))));
    }
    for thread in threads {
        thread.join().expect(POISON);
    }
    assert!(items.iter().all(|item| item.count.load(SeqCst) == 0));
    // Level-triggered items that are no longer ready may be left.
    let mut consumer = ep.consumer.lock().expect(POISON);
    let mut scan = consumer.scan(&ep.ready).expect("its consumer");
    while scan.next().is_some() {}
    drop(scan);
    assert!(ep.ready.is_empty());
    drop(consumer);
    ep.release(&items);
    assert!(items.iter().all(|item| Arc::strong_count(item) == 1));
    drop(items);
    assert_eq!(drops.load(SeqCst), FILES);
}

/// The number of writes that remain to be read.
#[derive(Clone)]
struct Left {
    count: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Left {
    fn less(&self, ep: &Instance, done: usize) {
        if done > 0 && self.count.fetch_sub(done, SeqCst) == done {
            self.over.store(true, SeqCst);
            ep.waiters.wake_one();
        }
    }
}

#[test]
fn level_triggered() {
    check("level_triggered", 2000, || {
        all_is_read(|_| Trigger::Level, None)
    });
}

#[test]
fn edge_triggered() {
    check("edge_triggered", 2000, || {
        all_is_read(|_| Trigger::Edge, None)
    });
}

#[test]
fn oneshot() {
    check("oneshot", 2000, || all_is_read(|_| Trigger::Oneshot, None));
}

#[test]
fn all_triggers_and_a_delete() {
    check("all_triggers_and_a_delete", 2000, || {
        let trigger = |id| match id % 3 {
            0 => Trigger::Level,
            1 => Trigger::Edge,
            _ => Trigger::Oneshot,
        };
        let deleted = thread_rng().gen_range(0..FILES);
        all_is_read(trigger, Some(deleted));
    });
}

/// One event with one write to read for each waiter. Each waiter must get one, as waiters pass the
/// wake-up on.
#[test]
fn a_level_reaches_all_waiters() {
    check("a_level_reaches_all_waiters", 2000, || {
        let ep = Instance::new();
        let item = ep.item(0, Trigger::Level, &Arc::default());
        item.count.store(WAITERS, SeqCst);
        let waiters: Vec<_> = (0..WAITERS)
            .map(|_| {
                let ep = ep.clone();
                thread::spawn(move || {
                    let got = ep.wait(1, &AtomicBool::new(false));
                    assert_eq!(got, [(0, 1)]);
                })
            })
            .collect();
        // Earlier writes count, too.
        item.count.fetch_sub(1, SeqCst);
        ep.write(&item);
        for waiter in waiters {
            waiter.join().expect(POISON);
        }
        assert_eq!(item.count.load(SeqCst), 0);
        ep.release(&[item]);
    });
}

/// A level-triggered item stays ready, with other items, scans and callbacks at any time. A check
/// for ready items must always find some.
#[test]
fn a_level_is_never_missed() {
    check("a_level_is_never_missed", 2000, || {
        const MANY: usize = 1000;
        let ep = Instance::new();
        let items = [0, 1].map(|id| ep.item(id, Trigger::Level, &Arc::default()));
        items[0].count.store(MANY, SeqCst);
        ep.write(&items[0]);
        let mut threads = Vec::new();
        for writer in 0..2 {
            let (ep, items) = (ep.clone(), items.clone());
            threads.push(thread::spawn(move || {
                for write in 0..4 {
                    ep.write(&items[(writer + write) % 2]);
                }
            }));
        }
        for max in 1..=2 {
            let ep = ep.clone();
            threads.push(thread::spawn(move || {
                for _ in 0..4 {
                    assert!(!ep.wait(max, &AtomicBool::new(false)).is_empty());
                }
            }));
        }
        let observed = ep.clone();
        threads.push(thread::spawn(move || {
            for _ in 0..8 {
                assert!(
                    !observed.ready.is_empty(),
                    "the second waiter misses the item"
                );
                thread::yield_now();
            }
        }));
        for thread in threads {
            thread.join().expect(POISON);
        }
        ep.release(&items);
    });
}
