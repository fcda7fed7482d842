// SPDX-License-Identifier: GPL-2.0

//! Wait queues: to be polled, to sleep on with a time limit, and to wake.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use super::{
    atomic::{
        ordering::{Acquire, Relaxed, Release},
        Atomic, //
    },
    bindings as ext,
    hrtimeout::Deadline, //
};
use core::ptr;
use kernel::{
    bindings,
    ffi::{c_int, c_uint, c_void},
    prelude::*,
    sync::{
        rcu,
        LockClassKey, //
    },
    types::Opaque, //
};

/// Wraps the kernel's `wait_queue_head_t`.
///
/// Its own lock nests inside of every lock that a waker may hold, hard-interrupt context included.
///
/// # Invariants
///
/// `head` is initialised. Entries leave it before it goes away: those of sleepers since a sleeper
/// borrows the queue; those of pollers since they hold a reference to the file whose `->poll`
/// registered them, or are removed at that file's last close, and the queue lives as long as the file.
#[pin_data]
pub(crate) struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
    /// Written under the queue's lock, read under it by the entries that are being woken.
    depth: Opaque<c_uint>,
}

// SAFETY: A wait queue may be used from any thread.
unsafe impl Send for WaitQueue {}
// SAFETY: Its own lock protects it.
unsafe impl Sync for WaitQueue {}

/// Makes a [`WaitQueue`], with a lock class of its own.
macro_rules! new_wait_queue {
    ($name:literal) => {
        $crate::kernel_ext::wait_queue::WaitQueue::new(
            kernel::c_str!($name),
            kernel::static_lock_class!(),
        )
    };
}
pub(crate) use new_wait_queue;

impl WaitQueue {
    /// An empty queue; see `new_wait_queue!`.
    pub(crate) fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: The queue is initialised here.
            head <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid; name and key are static.
                unsafe { bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.as_ptr()) }
            }),
            depth: Opaque::new(0),
        })
    }

    /// The C structure, for [`PollTable::register`](super::poll_table::PollTable::register).
    pub(super) fn as_ptr(&self) -> *mut bindings::wait_queue_head {
        self.head.get()
    }

    /// Whether anyone is in the queue. Any context.
    ///
    /// Between what the caller changed, and this, a full barrier must come, such as
    /// [`ReadyQueue::push`](super::ready_queue::ReadyQueue::push) is: then whoever enters the queue and
    /// looks at its condition after that sees the change, if this does not see the entry.
    #[inline]
    pub(crate) fn has_entries(&self) -> bool {
        // SAFETY: The list is initialised, by the type's invariants. It may change meanwhile: this is
        // list_empty(), which reads one pointer and follows none.
        unsafe {
            let list = &raw const (*self.head.get()).head;
            (&raw const (*list).next).read_volatile().cast_const() != list
        }
    }

    /// Whether there are fewer than `max` entries in the queue; it takes the longer the more there
    /// are. Any context.
    pub(crate) fn has_room(&self, max: u32) -> bool {
        self.has_room_beside(max, None)
    }

    /// Whether there are fewer than `max` entries with another function than `function`. Skips all
    /// entries with `function`, one by one, with interrupts off. Any context.
    pub(crate) fn has_room_beside(&self, max: u32, function: bindings::wait_queue_func_t) -> bool {
        // SAFETY: The queue is initialised, by the type's invariants. The function is compared, and
        // not called.
        unsafe { ext::wait_queue_has_room(self.head.get(), max, function) }
    }

    /// Wakes one sleeper that came by [`WaitQueue::sleep_exclusive`]: the one that came last.
    /// `sync` says that the waker is about to sleep itself. Returns whether there was one to wake, as
    /// far as is known: a `sync` wake-up does not tell, and is taken to have found one. Any context.
    pub(crate) fn wake_up(&self, sync: bool) -> bool {
        let head = self.head.get();
        // SAFETY: The queue is initialised, by the type's invariants.
        unsafe {
            if sync {
                bindings::__wake_up_sync_key(head, bindings::TASK_NORMAL, ptr::null_mut());
                true
            } else {
                bindings::__wake_up(head, bindings::TASK_NORMAL, 1, ptr::null_mut()) != 0
            }
        }
    }

    /// Wakes all sleepers, and tells all pollers, the exclusive ones too, that `events` are there. Any
    /// context.
    pub(crate) fn wake_up_all(&self, events: u32) {
        let key = ptr::without_provenance_mut(events as usize);
        // SAFETY: The queue is initialised, by the type's invariants. The key is no pointer.
        unsafe { bindings::__wake_up(self.head.get(), bindings::TASK_NORMAL, 0, key) };
    }

    /// Tells those who poll the queue that `events` (`EPOLL*` bits) are there. Any context.
    ///
    /// If this is called by an entry of a queue of the same kind, `depth` is that queue's
    /// [`WaitQueue::depth`]; else it is 0, or 1 under the lock of a queue of another kind.
    pub(crate) fn wake_up_poll(&self, events: u32, depth: u32) {
        // SAFETY: The queue is initialised, by the type's invariants; `depth` is accessed under its
        // lock only.
        unsafe { ext::wake_up_poll(self.head.get(), events, depth, self.depth.get()) };
    }

    /// How deep in queues that wake each other those are that this queue wakes.
    ///
    /// # Guarantees
    ///
    /// Right in an entry's function that [`WaitQueue::wake_up_poll`] calls; else any number. It is for
    /// lockdep alone.
    pub(crate) fn depth(&self) -> u32 {
        // SAFETY: The cell is initialised. A concurrent write, under the lock that the caller may not
        // hold, makes the value meaningless, as documented; the access is volatile and of a word.
        unsafe { self.depth.get().read_volatile() }
    }

    /// Sleeps until woken, interrupted by a signal, or `deadline`, unless `ready` is true.
    ///
    /// `ready` is evaluated once, when the task is in the queue and before it sleeps, after a full
    /// barrier: so what it looks at can be changed without a lock, as long as whoever changes it
    /// then, after a full barrier, calls [`WaitQueue::has_entries`]. Wake-ups take one such sleeper
    /// each. A sleeper that was woken must look again: the wake-up may have been its alone.
    ///
    /// Returns whether the deadline has passed. Process context.
    pub(crate) fn sleep_exclusive(
        &self,
        deadline: Option<&Deadline>,
        ready: impl FnOnce() -> bool,
    ) -> bool {
        let prepare = |entry| {
            // SAFETY: As in `sleep`.
            unsafe { ext::prepare_to_wait_first(self.head.get(), entry) };
        };
        self.sleep(prepare, deadline, ready)
    }

    /// As [`WaitQueue::sleep_exclusive`], but the one that came first is woken first, and there is no
    /// time limit: what `prepare_to_wait_exclusive()` is for.
    pub(crate) fn sleep_in_line(&self, ready: impl FnOnce() -> bool) {
        let prepare = |entry| {
            let state = bindings::TASK_INTERRUPTIBLE as c_int;
            // SAFETY: As in `sleep`.
            unsafe { bindings::prepare_to_wait_exclusive(self.head.get(), entry, state) };
        };
        self.sleep(prepare, None, ready);
    }

    /// `prepare` puts the entry into the queue, and changes the task's state.
    #[inline]
    fn sleep(
        &self,
        prepare: impl FnOnce(*mut bindings::wait_queue_entry),
        deadline: Option<&Deadline>,
        ready: impl FnOnce() -> bool,
    ) -> bool {
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` is valid for writes and stays in place until `finish_wait()` has made sure
        // that it is in no queue; the queue is initialised.
        unsafe { ext::init_wait_func(entry.get(), Some(wake_and_remove)) };
        prepare(entry.get());
        let timed_out = !ready() && !Deadline::sleep(deadline);
        // SAFETY: As above. Sets the task running.
        unsafe { bindings::finish_wait(self.head.get(), entry.get()) };
        timed_out
    }
}

/// As `ep_autoremove_wake_function()`: the entry leaves the queue even if the task was awake
/// already, so the next wake-up goes to the next sleeper.
///
/// # Safety
///
/// Called by the wait queue, with its lock held, for an entry of [`WaitQueue::sleep_exclusive`].
unsafe extern "C" fn wake_and_remove(
    entry: *mut bindings::wait_queue_entry,
    mode: c_uint,
    sync: c_int,
    key: *mut c_void,
) -> c_int {
    // SAFETY: The entry is in the queue, so its owner has yet to leave `finish_wait()`, which looks
    // with list_empty_careful(): list_del_init_careful() is the last access.
    unsafe {
        let woken = bindings::default_wake_function(entry, mode, sync, key);
        ext::list_del_init_careful(&raw mut (*entry).entry);
        woken
    }
}

/// One entry in the wait queue of a polled file, with a function of our own.
///
/// # Invariants
///
/// `head` is null, or the queue that `entry` was added to and may still be in. The queue's owner
/// either tells before the queue goes away (`POLLFREE`; then `head` is null, or becomes so under the
/// queue's lock, and the queue's memory outlives an RCU grace period), or the queue lives as long as
/// the polled file.
///
/// `tools/model/src/pollfree.rs` is a twin of `remove`, `went_away` and `is_used`: change both.
#[repr(C)]
pub(crate) struct Entry {
    entry: Opaque<bindings::wait_queue_entry>,
    head: Atomic<*mut bindings::wait_queue_head>,
}

/// What a wake-up of an [`Entry`] says.
#[derive(Clone, Copy)]
pub(crate) struct WakeUp {
    /// The `EPOLL*` bits that the waker gave; 0 if it did not say which.
    pub(crate) events: u32,
    /// The waker is about to sleep.
    pub(crate) sync: bool,
    /// The queue is about to go away (`POLLFREE`).
    pub(crate) last: bool,
}

impl Entry {
    /// An entry that is in no queue.
    pub(crate) const fn new() -> Self {
        // INVARIANT: `head` is null.
        Self {
            entry: Opaque::zeroed(),
            head: Atomic::new(ptr::null_mut()),
        }
    }

    /// Whether the entry was added to a queue and has not been told that it went away. If not, the
    /// entry can be written again: pairs with the release in `went_away`, which is the last access.
    pub(crate) fn is_used(&self) -> bool {
        !self.head.load(Acquire).is_null()
    }

    /// Adds the entry to `head`. From now on `wake` is called in any context, under `head`'s lock.
    /// Of the `exclusive` entries of a queue, one wake-up calls only as many as it takes until one
    /// says that it was used.
    ///
    /// # Safety
    ///
    /// - `this` is valid, in no queue, and stays in place until [`Entry::remove`]. `wake` gets a
    ///   pointer that is made from it, and may reach what `this` may reach by it.
    /// - `head` is valid, and lives as long as [`Entry`]'s invariants ask for.
    /// - `wake` may be called with an entry whose [`Entry::private`] is `private` until
    ///   [`Entry::remove`] has returned.
    pub(crate) unsafe fn add(
        this: *const Self,
        head: *mut bindings::wait_queue_head,
        wake: bindings::wait_queue_func_t,
        private: *mut c_void,
        exclusive: bool,
    ) {
        // CAST: `entry` is the first field of an `Entry`, which is `repr(C)`.
        let entry = this.cast_mut().cast::<bindings::wait_queue_entry>();
        // SAFETY: The entry is not in use, by the contract, so it may be written; `head` is valid.
        unsafe {
            ext::init_waitqueue_func_entry(entry, wake);
            (*entry).private = private;
            // INVARIANT: `head` is the queue that the entry is added to. Relaxed: the queue's lock
            // orders it with `went_away`, which can't come before the entry is in the queue. Who
            // removes the entry is this task, or is ordered after it by `set_attached()`.
            (*this).head.store(head, Relaxed);
            if exclusive {
                bindings::add_wait_queue_exclusive(head, entry);
            } else {
                bindings::add_wait_queue(head, entry);
            }
        }
    }

    /// What was given to [`Entry::add`].
    ///
    /// # Safety
    ///
    /// `entry` is that of an [`Entry`] that was added.
    pub(crate) unsafe fn private(entry: *mut bindings::wait_queue_entry) -> *mut c_void {
        // SAFETY: The entry is valid and its `private` does not change while it is in a queue.
        unsafe { (*entry).private }
    }

    /// Takes the entry out of its queue, if it is in one. When this returns, no call of the wake
    /// function is running, and none will. Takes the queue's lock; does not sleep.
    pub(crate) fn remove(&self) {
        let _rcu = rcu::read_lock();
        // Pairs with the release in `went_away`. Null: the owner has taken the queue away, and the
        // wake function was done with the entry when it stored that. Else the queue's memory is
        // there for as long as we are in this RCU section, and its lock orders us with `went_away`,
        // after which the entry is an empty list of its own, which can be deleted again.
        let head = self.head.load(Acquire);
        if !head.is_null() {
            // SAFETY: As above.
            unsafe { bindings::remove_wait_queue(head, self.entry.get()) };
        }
    }

    /// Obeys `POLLFREE`: takes the entry out of the queue, which is about to go away.
    ///
    /// # Safety
    ///
    /// Called by the wake function as its last action, for the entry that it was called with, under
    /// the queue's lock. The entry may be gone when this returns.
    pub(crate) unsafe fn went_away(entry: *mut bindings::wait_queue_entry) {
        // CAST: `entry` is the first field of an `Entry`, which is `repr(C)`.
        let this = entry.cast::<Entry>();
        // SAFETY: The entry is valid until the store: a concurrent `remove` sees a head that is not
        // null and waits for the queue's lock, which our caller holds, or sees null after it.
        unsafe {
            ext::list_del_init(&raw mut (*entry).entry);
            // INVARIANT: The entry is in no queue.
            (*this).head.store(ptr::null_mut(), Release);
        }
    }
}
