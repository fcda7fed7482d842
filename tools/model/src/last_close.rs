// SPDX-License-Identifier: GPL-2.0

//! The table of watched files against the hook of a file's last close.
//!
//! A twin of `Registration::register()`, `unlink()`, `file()` and `Table::end_watches()` of
//! `rust/watch/file_table.rs`, and of `Watch::detach()` of `watch.rs`, which need the kernel. Keep
//! the twins in step. RCU is modelled as in `pollfree.rs`. The bucket's lock is no RCU section
//! here; the code does not rely on it being one in the kernel.

use super::check::{check, join};
use loom::{
    cell::UnsafeCell,
    sync::{
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
        Arc, Mutex, RwLock,
    },
    thread,
};

#[derive(Clone, Copy, PartialEq)]
enum Without {
    Nothing,
    /// The store of the bucket's first entry is relaxed.
    Release,
    /// The hook's load of the first entry is relaxed.
    Acquire,
    /// The put of a reference to the file is relaxed.
    Put,
    /// The watch leaves the table before its entries leave the wait queues.
    EntriesFirst,
    /// The watch's file pointer is cleared after the watch has left the table.
    PointerFirst,
}

/// A watch. Its number in the bucket is its index plus one; 0 is no watch.
struct Watch {
    /// The file's wait queue, which holds the watch's entry and is freed with the file.
    queue: UnsafeCell<()>,
    /// Whether `Registration::file` is not null.
    file: AtomicBool,
    /// The memory of the `struct file`, which is freed a grace period after the last close.
    memory: UnsafeCell<()>,
}

struct Table<const N: usize> {
    without: Without,
    watches: [Watch; N],
    first: AtomicUsize,
    /// The bucket's list, under its lock.
    bucket: Mutex<Vec<usize>>,
    rcu: RwLock<()>,
}

impl<const N: usize> Table<N> {
    fn new(without: Without) -> Arc<Self> {
        Arc::new(Self {
            without,
            watches: std::array::from_fn(|_| Watch {
                queue: UnsafeCell::new(()),
                file: AtomicBool::new(false),
                memory: UnsafeCell::new(()),
            }),
            first: AtomicUsize::new(0),
            bucket: Mutex::new(Vec::new()),
            rcu: RwLock::new(()),
        })
    }

    fn has(&self, part: Without) -> bool {
        self.without != part
    }

    fn store_first(&self, list: &[usize]) {
        let order = if self.has(Without::Release) {
            Release
        } else {
            Relaxed
        };
        self.first.store(list.last().map_or(0, |at| at + 1), order);
    }

    /// ADD: `register()`, then adds the entry to the wait queue.
    fn register(&self, watch: usize) {
        let mut list = self.bucket.lock().expect("poison");
        self.watches[watch].file.store(true, Release);
        list.push(watch);
        self.store_first(&list);
        drop(list);
        self.watches[watch].queue.with_mut(|_| ());
    }

    /// `unlink()`. The first entry of the list is the last element of the vector.
    fn unlink(&self, list: &mut Vec<usize>, watch: usize) {
        let clear = || self.watches[watch].file.store(false, Release);
        if self.has(Without::PointerFirst) {
            clear();
        }
        let was_first = list.last() == Some(&watch);
        list.retain(|other| *other != watch);
        if was_first {
            self.store_first(list);
        }
        if !self.has(Without::PointerFirst) {
            clear();
        }
    }

    /// `Watch::detach()` by the release of the instance, which holds no reference to the file.
    fn detach(&self, watch: usize) {
        let mut list = self.bucket.lock().expect("poison");
        if !list.contains(&watch) {
            return;
        }
        let remove_entries = || self.watches[watch].queue.with_mut(|_| ());
        if self.has(Without::EntriesFirst) {
            remove_entries();
        }
        self.unlink(&mut list, watch);
        if !self.has(Without::EntriesFirst) {
            remove_entries();
        }
    }

    /// `__fput()`: runs the hook, then frees the file's wait queue. Returns whether the hook found
    /// the watch.
    fn last_close(&self, watch: usize) -> bool {
        let order = if self.has(Without::Acquire) {
            Acquire
        } else {
            Relaxed
        };
        let mut found = false;
        if self.first.load(order) != 0 {
            let mut list = self.bucket.lock().expect("poison");
            found = list.contains(&watch);
            if found {
                self.unlink(&mut list, watch);
                self.watches[watch].queue.with_mut(|_| ());
            }
        }
        self.watches[watch].queue.with_mut(|_| ());
        found
    }

    /// Frees the memory of the file.
    fn free(&self, watch: usize) {
        drop(self.rcu.write());
        self.watches[watch].memory.with_mut(|_| ());
    }

    /// `file()`: follows the pointer in an RCU section.
    fn follow(&self, watch: usize) {
        let _section = self.rcu.read();
        if self.watches[watch].file.load(Relaxed) {
            self.watches[watch].memory.with(|_| ());
        }
    }
}

/// One task adds the file and puts its reference; another task puts its own. The task with the last
/// reference runs the hook, which must find the watch.
fn notice(name: &str, without: Without) {
    check(name, None, move || {
        let table = Table::<1>::new(without);
        let references = Arc::new(AtomicUsize::new(2));
        let put = move |references: &AtomicUsize, table: &Table<1>| {
            let order = if without == Without::Put {
                Relaxed
            } else {
                AcqRel
            };
            (references.fetch_sub(1, order) == 1).then(|| table.last_close(0))
        };
        let other = {
            let (table, references) = (table.clone(), references.clone());
            thread::spawn(move || put(&references, &table))
        };
        table.register(0);
        let ours = put(&references, &table);
        let found = join(other).or(ours);
        assert_eq!(found, Some(true), "the notice is lost");
    });
}

#[test]
fn the_last_close_finds_the_watch() {
    notice("the_last_close_finds_the_watch", Without::Nothing);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn the_last_close_misses_the_watch_if_a_put_is_relaxed() {
    notice("with a relaxed put", Without::Put);
}

/// Two files are in one bucket; the watch of the first comes after that of the second. The release
/// of an instance ends both, while the first file is closed.
fn detach(name: &str, without: Without) {
    check(name, None, move || {
        let table = Table::<2>::new(without);
        table.register(0);
        table.register(1);
        let release = [0, 1].map(|watch| {
            let table = table.clone();
            thread::spawn(move || table.detach(watch))
        });
        table.last_close(0);
        release.map(join);
    });
}

#[test]
fn a_file_goes_after_its_watch_has_left() {
    detach("a_file_goes_after_its_watch_has_left", Without::Nothing);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_file_goes_too_early_without_the_release() {
    detach("without the release", Without::Release);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_file_goes_too_early_without_the_acquire() {
    detach("without the acquire", Without::Acquire);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_file_goes_too_early_if_the_table_is_first() {
    detach("table first", Without::EntriesFirst);
}

/// A watch ends while its file is closed and a third task is about to poll the file.
fn pointer(name: &str, without: Without) {
    check(name, None, move || {
        let table = Table::<1>::new(without);
        table.register(0);
        let release = {
            let table = table.clone();
            thread::spawn(move || table.detach(0))
        };
        let poller = {
            let table = table.clone();
            thread::spawn(move || table.follow(0))
        };
        table.last_close(0);
        table.free(0);
        join(release);
        join(poller);
    });
}

#[test]
fn a_freed_file_is_not_followed() {
    pointer("a_freed_file_is_not_followed", Without::Nothing);
}

/// The code once cleared the pointer last. It then relied on the bucket's lock being an RCU
/// section.
#[test]
#[should_panic(expected = "Causality violation")]
fn a_freed_file_is_followed_if_the_pointer_is_cleared_last() {
    pointer("pointer last", Without::PointerFirst);
}
