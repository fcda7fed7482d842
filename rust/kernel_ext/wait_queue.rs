// SPDX-License-Identifier: GPL-2.0

//! Wait queues: sleeping with a time limit, waking sleepers and pollers, and entries with a
//! function in the wait queue of a polled file.
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
/// `head` is initialised. Entries leave it before it is freed: a sleeper borrows the queue; a
/// poller holds a reference to the file whose `->poll` registered it, or is removed at that file's
/// last close, and the queue lives as long as the file.
///
/// # Examples
///
/// ```
/// use crate::kernel_ext::{
///     atomic::{ordering::{Full, Relaxed}, smp_mb, Atomic},
///     hrtimeout::Deadline,
///     wait_queue::{new_wait_queue, WaitQueue},
/// };
///
/// #[pin_data]
/// struct Gate {
///     open: Atomic<bool>,
///     #[pin]
///     waiters: WaitQueue,
/// }
///
/// impl Gate {
///     fn new() -> impl PinInit<Self> {
///         pin_init!(Self {
///             open: Atomic::new(false),
///             waiters <- new_wait_queue!("Gate::waiters"),
///         })
///     }
///
///     /// Lets one waiter pass. Any context.
///     fn open(&self) {
///         self.open.store(true, Relaxed);
///         smp_mb(Full);
///         if self.waiters.has_entries() {
///             self.waiters.wake_up(false);
///         }
///     }
///
///     /// Whether the gate was opened within a second.
///     fn pass(&self) -> bool {
///         let deadline = Deadline::after(1_000_000_000);
///         let is_open = || self.open.load(Relaxed);
///         !self.waiters.sleep_exclusive(Some(&deadline), is_open) || is_open()
///     }
/// }
/// ```
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

    /// Whether the queue has an entry. Any context.
    ///
    /// The caller has changed a condition, and then executed a full barrier. A sleeper enters the
    /// queue, executes a full barrier, and then checks the condition. So if this does not see the
    /// sleeper's entry, the sleeper sees the change.
    #[inline]
    pub(crate) fn has_entries(&self) -> bool {
        // SAFETY: The list is initialised, by the type's invariants. It may change meanwhile: this
        // is list_empty(), which reads one pointer and follows none.
        unsafe {
            let list = &raw const (*self.head.get()).head;
            (&raw const (*list).next).read_volatile().cast_const() != list
        }
    }

    /// Whether the queue has fewer than `max` entries. Walks up to `max` entries. Any context.
    pub(crate) fn has_room(&self, max: u32) -> bool {
        self.has_room_beside(max, None)
    }

    /// Whether the queue has fewer than `max` entries with another function than `function`. Skips
    /// the entries with `function` one by one, with interrupts off. Any context.
    pub(crate) fn has_room_beside(&self, max: u32, function: bindings::wait_queue_func_t) -> bool {
        // SAFETY: The queue is initialised, by the type's invariants. The function is compared, and
        // not called.
        unsafe { ext::wait_queue_has_room(self.head.get(), max, function) }
    }

    /// Wakes one sleeper of [`WaitQueue::sleep_exclusive`]: the latest one. `sync` means that the
    /// waker is about to sleep itself. Returns whether a sleeper was woken. The kernel does not
    /// return that for a `sync` wake-up, for which this is always true. Any context.
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

    /// Wakes all sleepers, and notifies all pollers, the exclusive ones too, of `events`. Any
    /// context.
    pub(crate) fn wake_up_all(&self, events: u32) {
        let key = ptr::without_provenance_mut(events as usize);
        // SAFETY: The queue is initialised, by the type's invariants. The key is no pointer.
        unsafe { bindings::__wake_up(self.head.get(), bindings::TASK_NORMAL, 0, key) };
    }

    /// Notifies the pollers of `events` (`EPOLL*` bits). Any context.
    ///
    /// `depth` is the lockdep subclass of the queue's lock. If this is called by an entry of a
    /// queue of the same kind, `depth` is that queue's [`WaitQueue::depth`]; else it is 0, or 1
    /// under the lock of a queue of another kind.
    pub(crate) fn wake_up_poll(&self, events: u32, depth: u32) {
        // SAFETY: The queue is initialised, by the type's invariants; `depth` is accessed under its
        // lock only.
        unsafe { ext::wake_up_poll(self.head.get(), events, depth, self.depth.get()) };
    }

    /// The lockdep subclass for queues woken from this queue's entries.
    ///
    /// # Guarantees
    ///
    /// Correct in an entry's function that [`WaitQueue::wake_up_poll`] calls; elsewhere any number.
    pub(crate) fn depth(&self) -> u32 {
        // SAFETY: The cell is initialised. A concurrent write, under the lock that the caller may
        // not hold, makes the value meaningless, as documented. The access is volatile, and of a
        // word.
        unsafe { self.depth.get().read_volatile() }
    }

    /// Sleeps until woken, interrupted by a signal, or `deadline`, unless `ready` is true. Returns
    /// whether the deadline has passed. Process context.
    ///
    /// `ready` is evaluated once: after the task has entered the queue and executed a full barrier,
    /// and before it sleeps. So its condition can be changed without a lock, if the task that
    /// changes it then executes a full barrier, and calls [`WaitQueue::has_entries`].
    ///
    /// A wake-up wakes one such sleeper. The woken sleeper must check its condition again: no other
    /// sleeper was woken by that wake-up.
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

    /// As [`WaitQueue::sleep_exclusive`], but first come, first woken, and without a time limit: as
    /// `prepare_to_wait_exclusive()`.
    pub(crate) fn sleep_in_line(&self, ready: impl FnOnce() -> bool) {
        let prepare = |entry| {
            let state = bindings::TASK_INTERRUPTIBLE as c_int;
            // SAFETY: As in `sleep`.
            unsafe { bindings::prepare_to_wait_exclusive(self.head.get(), entry, state) };
        };
        self.sleep(prepare, None, ready);
    }

    /// Sleeps with an entry that `prepare` puts into the queue. `prepare` also changes the task's
    /// state.
    #[inline]
    fn sleep(
        &self,
        prepare: impl FnOnce(*mut bindings::wait_queue_entry),
        deadline: Option<&Deadline>,
        ready: impl FnOnce() -> bool,
    ) -> bool {
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` is valid for writes and stays in place until `finish_wait()` has made
        // sure that it is in no queue; the queue is initialised.
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
    // SAFETY: The entry is in the queue, so its owner has yet to leave `finish_wait()`, which
    // checks list_empty_careful(): list_del_init_careful() is the last access.
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
/// `head` is null, or the queue that `entry` was added to and may still be in. Either the queue
/// lives as long as the polled file. Or its owner wakes it with `POLLFREE` before it frees the
/// queue; then `head` is null, or becomes null under the queue's lock, and the queue's memory
/// outlives an RCU grace period.
///
/// `tools/model/src/pollfree.rs` is a twin of `remove`, `went_away` and `is_used`: change both.
#[repr(C)]
pub(crate) struct Entry {
    entry: Opaque<bindings::wait_queue_entry>,
    head: Atomic<*mut bindings::wait_queue_head>,
}

// `add` and `went_away` cast between the two.
const _: () = assert!(core::mem::offset_of!(Entry, entry) == 0);

/// A wake-up of an [`Entry`].
#[derive(Clone, Copy)]
pub(crate) struct WakeUp {
    /// The `EPOLL*` bits that the waker passed; 0 if it passed none.
    pub(crate) events: u32,
    /// The waker is about to sleep.
    pub(crate) sync: bool,
    /// The queue is about to be freed (`POLLFREE`).
    pub(crate) last: bool,
}

impl Entry {
    /// An entry that is in no queue.
    #[inline]
    pub(crate) const fn new() -> Self {
        // INVARIANT: `head` is null.
        Self {
            entry: Opaque::zeroed(),
            head: Atomic::new(ptr::null_mut()),
        }
    }

    /// Whether the entry was added to a queue, and the queue was not freed since. If not, the entry
    /// can be written again: pairs with the release in `went_away`, which is the last access.
    pub(crate) fn is_used(&self) -> bool {
        !self.head.load(Acquire).is_null()
    }

    /// Adds the entry to `head`. From now on `wake` is called in any context, under `head`'s lock.
    /// A wake-up calls `exclusive` entries until one of them returns that the wake-up was used.
    ///
    /// # Safety
    ///
    /// - `this` is valid, in no queue, and stays in place until [`Entry::remove`]. `wake` gets a
    ///   pointer that is made from it, and may reach what `this` may reach by it.
    /// - `head` is valid, and lives as long as [`Entry`]'s invariants ask for.
    /// - `wake` may be called with an entry whose [`Entry::private`] is `private` until
    ///   [`Entry::remove`] has returned.
    #[inline]
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
            // orders it with `went_away`, which can't come before the entry is in the queue. The
            // task that removes the entry is this one, or is ordered after it by the entry's owner.
            (*this).head.store(head, Relaxed);
            if exclusive {
                bindings::add_wait_queue_exclusive(head, entry);
            } else {
                bindings::add_wait_queue(head, entry);
            }
        }
    }

    /// The `private` pointer that was passed to [`Entry::add`].
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
        // Pairs with the release in `went_away`. Null: the owner frees the queue, and the wake
        // function was done with the entry when it stored the null. Else the queue's memory stays
        // valid in this RCU section, and its lock orders this with `went_away`, after which the
        // entry is an empty list of its own, which can be deleted again.
        let head = self.head.load(Acquire);
        if !head.is_null() {
            // SAFETY: As above.
            unsafe { bindings::remove_wait_queue(head, self.entry.get()) };
        }
    }

    /// Obeys `POLLFREE`: takes the entry out of the queue, which is about to be freed.
    ///
    /// # Safety
    ///
    /// Called by the wake function as its last action, for the entry that it was called with, under
    /// the queue's lock. The entry may be gone when this returns.
    #[inline]
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
