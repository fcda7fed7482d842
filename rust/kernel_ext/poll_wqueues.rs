// SPDX-License-Identifier: GPL-2.0

//! Waiting for many files in one call, with an entry in the wait queue of each.
//!
//! C header: [`include/linux/poll.h`](srctree/include/linux/poll.h); the C side is `fs/select.c`
//!
//! # The raw API
//!
//! `struct poll_wqueues`: `->poll` of a file passes each of its wait queues to a queue function,
//! which adds an entry. The entry's function sets a flag, and wakes the task. The first entries are
//! in the structure itself, on the caller's stack; further ones are in pages.
//!
//! # The safe API
//!
//! [`PollWqueues::with`] pins a [`PollWqueues`] to the stack of the call that it is for, and lends
//! it: so it is dropped before the task that its entries wake exits. [`PollWqueues::poll`] polls a
//! file, and adds entries until [`PollWqueues::stop_adding`]. [`PollWqueues::sleep`] sleeps until
//! one of them has been woken. Dropping it removes all entries. Each entry holds its file, so the
//! file's wait queue lives as long as the entry.
//!
//! # No wake-up is lost
//!
//! The task adds its entries, polls the files, and sleeps. A waker changes a file's state, and
//! wakes its queue. Three races are possible. A barrier closes each, as in `fs/select.c`:
//!
//! - *The poll comes before the change, the wake-up before the entry.* An entry is added under the
//!   queue's lock before the file's state is read; `poll_wait()` has a full barrier between the
//!   two. The waker has one between its change and its check of the queue (it takes the queue's
//!   lock, or `wq_has_sleeper()` has the barrier). So the waker finds the entry, or the task finds
//!   the change.
//! - *The wake-up comes after the poll, and before the sleep.* The callback sets `triggered`, then
//!   wakes the task. The task sets its state, executes a full barrier (`set_current_state()`),
//!   loads `triggered`, then schedules. `try_to_wake_up()` has a full barrier before it loads the
//!   task's state. So either the task sees `triggered` and does not sleep, or the waker sees the
//!   state and sets it to running, and `schedule()` returns.
//! - *`triggered` is cleared although the next poll does not see the change for which it was set.*
//!   After the sleep the task exchanges it for 0, which is a full barrier, then polls the files
//!   again. If the exchange returns the value that a callback has set, the poll sees the change of
//!   the file's state before that. The `smp_wmb()` in the callback orders the two, since taking the
//!   queue's lock does not order earlier writes before later ones. If the exchange does not return
//!   it, the callback sets it later, and the next sleep sees it.
//!
//! In the last case `fs/select.c` stores the 0, by `smp_store_mb()`. A store that overwrites
//! another CPU's store is not ordered after the earlier writes of that CPU: the kernel's model
//! allows the poll to miss the change, and POWER may. (On x86 `smp_store_mb()` is an exchange;
//! arm64 has the order.) The first poll needs no barrier: nothing was cleared before it.
//!
//! `tools/model/src/pollwake.rs` is a twin of the last two: change both.
//!
//! # POLLFREE
//!
//! The owner of a queue that is freed before its file wakes non-blocking pollers with `POLLFREE`.
//! Such queues belong to tasks: signalfd's to the signal handlers of the polling task, binder's to
//! the polling thread. The polling task is in this call until the entries are removed, so
//! `fs/select.c` ignores `POLLFREE`. That argument depends on every driver. [`Entry`] obeys
//! `POLLFREE` for other users anyway, at the cost of one test, so nothing here depends on the
//! argument.
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::{
//!     bindings::EPOLLIN,
//!     fdget::Files,
//!     hrtimeout::Deadline,
//!     poll_wqueues::PollWqueues,
//! };
//!
//! /// Waits for one of the descriptors to become readable, for a second.
//! fn wait(fds: &[i32]) -> Result<i32> {
//!     let files = Files::current()?;
//!     let deadline = Deadline::after(1_000_000_000);
//!     PollWqueues::<()>::with(|queues| loop {
//!         for &fd in fds {
//!             if queues.poll(&*files.get(fd)?, fd, EPOLLIN) & EPOLLIN != 0 {
//!                 return Ok(fd);
//!             }
//!         }
//!         queues.stop_adding();
//!         if !queues.sleep(Some(&deadline)) {
//!             return Err(ETIMEDOUT);
//!         }
//!     })
//! }
//! ```

use super::{
    atomic::{
        ordering::{Full, Relaxed},
        smp_wmb,
        Atomic, //
    },
    bindings as ext,
    hrtimeout::Deadline,
    task,
    wait_queue::Entry, //
};
use core::{
    cell::{Cell, UnsafeCell},
    marker::{
        PhantomData,
        PhantomPinned, //
    },
    mem::MaybeUninit,
    ptr, //
};
use kernel::{
    bindings,
    current,
    ffi::{c_int, c_uint, c_void},
    fs::LocalFile,
    prelude::*,
    sync::aref::ARef,
    task::Pid,
    types::Opaque, //
};
use pin_init::stack_pin_init;

/// The number of entries in the structure: as many as fit into the stack space that `fs/select.c`
/// uses.
const INLINE: usize =
    (bindings::MAX_STACK_ALLOC - bindings::FRONTEND_STACK_ALLOC) as usize / size_of::<PollEntry>();
/// The number of entries in a [`Page`].
const PER_PAGE: usize = (bindings::PAGE_SIZE - 16) / size_of::<PollEntry>();

/// A wake-up of one of the entries, for [`Observer`].
#[derive(Clone, Copy)]
pub(crate) struct EntryWakeUp {
    /// The task that the call belongs to, as [`task::pid`].
    pub(crate) pid: Pid,
    /// The descriptor that the file was polled by.
    pub(crate) fd: i32,
    /// The `EPOLL*` bits that the waker passed; 0 if it passed none.
    pub(crate) events: u32,
    /// Whether the file was polled for any of these events.
    pub(crate) matches: bool,
}

/// Sees the wake-ups of a call, for a tracepoint.
pub(crate) trait Observer: 'static {
    /// An entry was called. Any context, under the lock of the file's wait queue: must not sleep,
    /// nor take a lock under which a wait queue is woken elsewhere.
    ///
    /// `wake` gathers the details when it is called; an observer that is off does not call it.
    fn called(wake: impl FnOnce() -> EntryWakeUp);
}

impl Observer for () {
    #[inline]
    fn called(_: impl FnOnce() -> EntryWakeUp) {}
}

/// The wait queues that one call of one task waits on; see the [module](self).
///
/// # Invariants
///
/// - `table` is first. Its queue function is [`add_entry::<O>`](add_entry), or none.
/// - `waiter.task` is the task that made this, and does not exit before this is dropped: only
///   [`PollWqueues::with`] makes one, on that task's stack, and drops it before it returns.
/// - The entries in `inline` and `pages` may be in wait queues; they and `waiter` stay in place.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub(crate) struct PollWqueues<O: Observer = ()> {
    #[pin]
    table: Opaque<bindings::poll_table_struct>,
    waiter: Waiter,
    /// The descriptor that is being polled, for [`add_entry`].
    fd: Cell<i32>,
    added: Cell<u32>,
    out_of_memory: Cell<bool>,
    inline: Entries<INLINE>,
    /// The page that is being filled, and from it the full ones.
    pages: Cell<Option<KBox<Page>>>,
    _observer: PhantomData<fn() -> O>,
    #[pin]
    _pin: PhantomPinned,
}

/// The fields that the callbacks use: any context, at any time while there are entries.
struct Waiter {
    task: *mut bindings::task_struct,
    pid: Pid,
    triggered: Atomic<u32>,
    wakeups: Atomic<u32>,
}

/// One entry in a wait queue of a file.
///
/// # Invariants
///
/// `entry` is first. It is in a queue of `file`, or was.
#[repr(C)]
struct PollEntry {
    entry: Entry,
    file: ARef<LocalFile>,
    /// Wake-ups for other events than these are ignored.
    events: u32,
    fd: i32,
}

// `add_entry` and `wake` cast between the two.
const _: () = assert!(core::mem::offset_of!(PollEntry, entry) == 0);

/// Room for `N` entries, which stay where they are.
///
/// # Invariants
///
/// The first `used` ones are initialised.
struct Entries<const N: usize> {
    used: Cell<usize>,
    entries: UnsafeCell<[MaybeUninit<PollEntry>; N]>,
}

struct Page {
    next: Option<KBox<Page>>,
    entries: Entries<PER_PAGE>,
}

const _: () = assert!(size_of::<Page>() <= bindings::PAGE_SIZE);

impl<const N: usize> Entries<N> {
    const fn new() -> Self {
        // INVARIANT: None is used.
        Self {
            used: Cell::new(0),
            entries: UnsafeCell::new([const { MaybeUninit::uninit() }; N]),
        }
    }

    /// Puts `entry` into the next free place, where it stays. Returns it as the error if all places
    /// are used.
    fn push(&self, entry: PollEntry) -> Result<&PollEntry, PollEntry> {
        let used = self.used.get();
        if used == N {
            return Err(entry);
        }
        // SAFETY: The place is in the array, and nobody has a reference to it, as it is not used.
        // INVARIANT: One more is initialised.
        unsafe {
            let place = self.entries.get().cast::<PollEntry>().add(used);
            place.write(entry);
            self.used.set(used + 1);
            Ok(&*place)
        }
    }

    /// Removes the entries from their wait queues, and puts the files.
    fn clear(&mut self) {
        let entries = self.entries.get().cast::<PollEntry>();
        // INVARIANT: None is used any more.
        for index in 0..self.used.replace(0) {
            // SAFETY: It is initialised. A callback may access it until it is removed. After that
            // nobody does, and it is dropped, once.
            unsafe {
                let entry = entries.add(index);
                (*entry).entry.remove();
                entry.drop_in_place();
            }
        }
    }
}

impl Page {
    fn new(next: Option<KBox<Page>>) -> Result<KBox<Self>, Option<KBox<Page>>> {
        let Ok(mut page) = KBox::<Self>::new_uninit(GFP_KERNEL_ACCOUNT) else {
            return Err(next);
        };
        let this = page.as_mut_ptr();
        // SAFETY: The fields are written one by one; the array of entries may be uninitialised.
        // INVARIANT: No entry is used.
        unsafe {
            (&raw mut (*this).next).write(next);
            (&raw mut (*this).entries.used).write(Cell::new(0));
            Ok(page.assume_init())
        }
    }
}

impl<O: Observer> PollWqueues<O> {
    /// Calls `call` with new wait queues for the current task, which have no entries yet. Process
    /// context.
    #[inline]
    pub(crate) fn with<R>(call: impl FnOnce(Pin<&Self>) -> R) -> R {
        stack_pin_init!(let queues = Self::new());
        call(queues.as_ref())
    }

    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: The queue function is `add_entry`; it is the current task.
            table <- Opaque::ffi_init(|table| {
                // SAFETY: `table` is valid for writes.
                unsafe { ext::init_poll_funcptr(table, Some(add_entry::<O>), 0) };
            }),
            waiter: Waiter {
                task: current!().as_ptr(),
                pid: task::pid(),
                triggered: Atomic::new(0),
                wakeups: Atomic::new(0),
            },
            fd: Cell::new(-1),
            added: Cell::new(0),
            out_of_memory: Cell::new(false),
            inline: Entries::new(),
            pages: Cell::new(None),
            _observer: PhantomData,
            _pin: PhantomPinned,
        })
    }

    /// The events that `file`, which is open as `fd`, is ready for. `events` (`EPOLL*` bits) is a
    /// hint to the file's driver, which may return others too. Until [`PollWqueues::stop_adding`],
    /// this adds entries: when the file has one of these events, it wakes [`PollWqueues::sleep`].
    /// Process context, sleeps.
    #[inline]
    pub(crate) fn poll(self: Pin<&Self>, file: &LocalFile, fd: i32, events: u32) -> u32 {
        self.fd.set(fd);
        // SAFETY: Nobody else uses the table. It is a part of `self`, as `add_entry` wants it; the
        // pointer is made from a reference to all of that. The file is alive.
        unsafe {
            (*self.table.get())._key = events;
            let table = ptr::from_ref(&*self).cast_mut();
            ext::vfs_poll(file.as_ptr(), table.cast())
        }
    }

    /// From now on [`PollWqueues::poll`] adds no entries.
    pub(crate) fn stop_adding(&self) {
        // SAFETY: Nobody else uses the table.
        // INVARIANT: There is no queue function.
        unsafe { (*self.table.get())._qproc = None };
    }

    /// The number of entries that have been added.
    pub(crate) fn added(&self) -> u32 {
        self.added.get()
    }

    /// Whether an entry could not be added for lack of memory, so that a wake-up may be missed.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        self.out_of_memory.get()
    }

    /// The number of wake-ups so far for polled events. It orders nothing; a concurrent wake-up may
    /// not be counted yet.
    pub(crate) fn wakeups(&self) -> u32 {
        self.waiter.wakeups.load(Relaxed)
    }

    /// Sleeps until a file wakes one of the entries, a signal arrives, or `deadline`. Does not
    /// sleep if an entry was woken since the last call. False if the deadline has passed. The files
    /// must be polled again after this, whatever it returns. Process context.
    pub(crate) fn sleep(&self, deadline: Option<&Deadline>) -> bool {
        let triggered = &self.waiter.triggered;
        // The state is set before the load: see the module.
        task::set_interruptible();
        let in_time = triggered.load(Relaxed) != 0 || Deadline::sleep(deadline);
        task::set_running();
        // It is cleared before the next poll of the files, which sees the writes that came before
        // `triggered` was set. An exchange, not smp_store_mb(): see the module.
        triggered.xchg(0, Full);
        in_time
    }

    /// Stores one more entry. `None` without memory.
    fn push(&self, entry: PollEntry) -> Option<&PollEntry> {
        let entry = match self.inline.push(entry) {
            Ok(entry) => return Some(entry),
            Err(entry) => entry,
        };
        // SAFETY: `push` and `drop` are the only ones to access the list, and neither calls the
        // other.
        let pages = unsafe { &mut *self.pages.as_ptr() };
        let is_full = pages
            .as_ref()
            .is_none_or(|page| page.entries.used.get() == PER_PAGE);
        if is_full {
            match Page::new(pages.take()) {
                Ok(page) => *pages = Some(page),
                Err(next) => {
                    *pages = next;
                    return None;
                }
            }
        }
        pages.as_ref()?.entries.push(entry).ok()
    }
}

#[pinned_drop]
impl<O: Observer> PinnedDrop for PollWqueues<O> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: Nothing is moved.
        let this = unsafe { self.get_unchecked_mut() };
        this.inline.clear();
        // One by one: there may be thousands, too many for a drop that recurses.
        let mut next = this.pages.take();
        while let Some(mut page) = next {
            page.entries.clear();
            next = page.next.take();
        }
    }
}

/// The queue function, `__pollwait()`.
///
/// # Safety
///
/// Called by a file's `->poll`, in process context, with the table of a [`PollWqueues`].
unsafe extern "C" fn add_entry<O: Observer>(
    file: *mut bindings::file,
    head: *mut bindings::wait_queue_head,
    table: *mut bindings::poll_table_struct,
) {
    // CAST: The table is the first field of a `PollWqueues`, which is `repr(C)`.
    let table = table.cast::<PollWqueues<O>>();
    // SAFETY: It is valid, by the contract, and pinned; its fields can be used through a shared
    // reference, but for `table`, which nobody writes to meanwhile.
    let (this, events) = unsafe { (&*table, (*(*table).table.get())._key) };
    let entry = PollEntry {
        entry: Entry::new(),
        // SAFETY: The file is alive for the call: the task that polls it has a reference.
        file: unsafe { LocalFile::from_raw_file(file) }.into(),
        events,
        fd: this.fd.get(),
    };
    let Some(entry) = this.push(entry) else {
        this.out_of_memory.set(true);
        return;
    };
    this.added.set(this.added.get() + 1);
    let waiter = ptr::from_ref(&this.waiter).cast_mut();
    // CAST: The entry is the first field of a `PollEntry`, which is `repr(C)` and what `wake`
    // wants.
    let entry = ptr::from_ref(entry).cast::<Entry>();
    // SAFETY: The entry is new. It and the waiter stay in place until it is removed, when `this` is
    // dropped. Until then it holds the file, and with it the queue, unless the queue is freed
    // before the file, with POLLFREE.
    unsafe { Entry::add(entry, head, Some(wake::<O>), waiter.cast::<c_void>(), false) };
}

/// The entries' function, `pollwake()`.
///
/// # Safety
///
/// Called by a wait queue, with its lock held, for an entry that `add_entry` added.
unsafe extern "C" fn wake<O: Observer>(
    entry: *mut bindings::wait_queue_entry,
    mode: c_uint,
    sync: c_int,
    key: *mut c_void,
) -> c_int {
    // CAST: The key of poll wake-ups is the event bits, not a pointer.
    let key = key as usize as u32;
    // CAST: The entry is the first field of an `Entry`, and that of a `PollEntry`; both are
    // `repr(C)`.
    // SAFETY: Entry and waiter are valid until the entry is removed, which waits for the queue's
    // lock.
    let (this, waiter) = unsafe {
        (
            &*entry.cast::<PollEntry>(),
            &*Entry::private(entry).cast::<Waiter>(),
        )
    };
    let matches = key == 0 || key & this.events != 0;
    O::called(|| EntryWakeUp {
        pid: waiter.pid,
        fd: this.fd,
        events: key,
        matches,
    });
    let woken = if matches {
        // SAFETY: The task is in the call that the entry belongs to.
        unsafe { waiter.wake(mode, sync) }
    } else {
        0
    };
    if key & ext::POLLFREE != 0 {
        // SAFETY: This is the last thing that we do.
        unsafe { Entry::went_away(entry) };
    }
    woken
}

impl Waiter {
    /// Wakes the task.
    ///
    /// # Safety
    ///
    /// The task has not exited.
    #[inline]
    unsafe fn wake(&self, mode: c_uint, sync: c_int) -> c_int {
        self.wakeups.fetch_add(1, Relaxed);
        // The writes of the file's owner come before that of `triggered`: pairs with the barrier in
        // `PollWqueues::sleep`. See the module.
        smp_wmb();
        self.triggered.store(1, Relaxed);
        // An entry that is in no queue: no other function passes `sync` to try_to_wake_up().
        let mut entry: bindings::wait_queue_entry = pin_init::zeroed();
        entry.private = self.task.cast();
        // SAFETY: The function reads only `private`, which is a task, by the contract.
        unsafe { bindings::default_wake_function(&raw mut entry, mode, sync, ptr::null_mut()) }
    }
}
