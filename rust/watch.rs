// SPDX-License-Identifier: GPL-2.0

//! Watches of files: a Rust callback in the wait queues of a file of any driver.
//!
//! C header: [`include/linux/poll.h`](srctree/include/linux/poll.h)
//!
//! # The raw API
//!
//! `vfs_poll()` with a queue function: the file's `->poll` passes each of its wait queues to that
//! function, which adds an entry. A wake-up of the queue then calls the entry's function under the
//! queue's lock, in the waker's context, which may be a hard interrupt. A file may have several
//! queues.
//!
//! # The safe API
//!
//! A [`Watch`] has such entries and a value of the user's type, which implements [`WatchOps`]. It
//! is in an [`Arc`], of which the watch itself owns one reference from [`Watch::attach`] until it
//! ends. It ends in one of two ways, which exclude each other by the lock of the file's bucket in
//! the table of watched files (`file_table`):
//!
//! - [`Watch::detach`] ends it while the file lives;
//! - the file's last close ends it (`last_close`), and passes the reference to
//!   [`WatchOps::closed`].
//!
//! Both remove all entries from their queues, so no callback runs any more. A watch holds no
//! reference to its file; [`Watch::file`] takes one, to poll the file.

mod closed_list;
mod file_table;
pub(crate) mod last_close;
pub(crate) mod ready_queue;
mod ready_sync;
pub(crate) mod topology;

pub(crate) use file_table::FileId;

use crate::kernel_ext::{
    bindings as ext,
    llist::HasLink,
    poll_table::PollTable,
    rbtree::{
        HasNode,
        Node, //
    },
    wait_queue::{
        Entry,
        WaitQueue,
        WakeUp, //
    }, //
};
use core::{
    any::TypeId,
    cell::UnsafeCell,
    marker::{
        PhantomData,
        PhantomPinned, //
    },
    mem::offset_of,
    ops::Deref, //
};
use file_table::{
    Registration,
    SameFile, //
};
use kernel::{
    bindings,
    ffi::{c_int, c_uint, c_void},
    fs::LocalFile,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow,
        UniqueArc, //
    }, //
};
use last_close::LastClose;
use ready_queue::{
    Consumer,
    HasLinks,
    Links,
    ReadyQueue, //
};

/// A watch with a value of the type `T`, after the last close of its file.
pub(crate) type Closed<T> = closed_list::Closed<Watch<T>>;

/// A list of such watches.
pub(crate) type ClosedList<T> = closed_list::ClosedList<Watch<T>>;

/// The operations of a watch's value.
pub(crate) trait WatchOps: Sized + Send + Sync + 'static {
    /// The key of a watch in a [`Tree`](crate::kernel_ext::rbtree::Tree).
    type Key: Ord;

    /// The watch's key. Does not change.
    fn key(&self) -> Self::Key;

    /// Checks whether the watch may be added to the file's existing ones, `others`. Its error is
    /// that of [`Watch::attach`].
    ///
    /// Process context, under the lock of the file's bucket: must not sleep, nor take a lock under
    /// which that lock is taken.
    fn admit(&self, others: Others<'_, Self>) -> Result;

    /// The file woke one of its wait queues.
    ///
    /// Any context, under the queue's lock: must not sleep, nor take a lock under which a wait
    /// queue is woken elsewhere. Returns whether the wake-up was used, in the sense of
    /// `WQ_FLAG_EXCLUSIVE`.
    fn poll_callback(this: ArcBorrow<'_, Watch<Self>>, wake: WakeUp) -> bool;

    /// The file has been closed for the last time, and the watch has ended.
    ///
    /// Process context, under a spinlock: must not sleep. Dropping the reference may sleep, so it
    /// must be pushed to a [`ClosedList`].
    fn closed(this: Closed<Self>);
}

/// A watch of a file; see the [module](self).
///
/// # Invariants
///
/// While an entry is in a wait queue, the watch owns a reference to the [`Arc`] that it is in.
/// `entry` and the list of `extra` entries belong to [`Watch::attach`] until `registration` is
/// attached; then to the holder of the lock of the registration's bucket, until it is unlinked.
/// When it is not linked, none of them is in a wait queue.
#[repr(C)]
#[pin_data]
pub(crate) struct Watch<T: WatchOps> {
    // First, so that a pointer to it is a pointer to the watch.
    registration: Registration,
    entry: Entry,
    extra: UnsafeCell<Option<KBox<ExtraEntry>>>,
    links: Links<Self>,
    node: Node,
    value: T,
    #[pin]
    _pin: PhantomPinned,
}

/// An entry for a file's second and later wait queues.
struct ExtraEntry {
    entry: Entry,
    next: Option<KBox<ExtraEntry>>,
}

// SAFETY: The invariants protect the fields with interior mutability. The value is of a type that
// can be used on any thread.
unsafe impl<T: WatchOps> Send for Watch<T> {}
// SAFETY: As above.
unsafe impl<T: WatchOps> Sync for Watch<T> {}

// SAFETY: The links are a part of the watch.
unsafe impl<T: WatchOps> HasLinks for Watch<T> {
    fn links(&self) -> &Links<Self> {
        &self.links
    }
}

// SAFETY: It is a field of the registration, whose pointer to a registration is one to a watch. A
// registration that is not linked in the table leaves it to its owner.
unsafe impl<T: WatchOps> HasLink for Watch<T> {
    fn link(&self) -> *mut *mut Self {
        // CAST: The registration is the watch's first field.
        self.registration.next().cast()
    }
}

// SAFETY: The node is there.
unsafe impl<T: WatchOps> HasNode for Watch<T> {
    const OFFSET: usize = offset_of!(Self, node);
    type Key = T::Key;

    fn key(&self) -> T::Key {
        self.value.key()
    }
}

impl<T: WatchOps> Deref for Watch<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: WatchOps> Watch<T> {
    /// Ends watches of this kind at the last close of their files, while the result lives. There
    /// can be one kind. `functions` selects the functions that the hook may be on, as for
    /// [`LastClose::register`]; 0 is the default. Sleeps, some 75 ms.
    pub(crate) fn notice_last_close(functions: u32) -> Result<LastClose> {
        // SAFETY: `attach` registers, for this type, registrations of watches of this type.
        unsafe { LastClose::register(TypeId::of::<T>(), closed::<T>, functions) }
    }

    /// A watch that is not attached to a file yet, and may be queued on `queue`.
    pub(crate) fn new(value: T, queue: &ReadyQueue<Self>) -> Result<Pin<UniqueArc<Self>>> {
        // A pointer to the registration is cast to one to the watch.
        const { assert!(offset_of!(Self, registration) == 0) };
        UniqueArc::pin_init(
            pin_init!(Self {
                // INVARIANT: Not linked, no entries.
                registration: Registration::new(),
                entry: Entry::new(),
                extra: UnsafeCell::new(None),
                links: queue.new_links(),
                node: Node::new(),
                value,
                _pin: PhantomPinned,
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Starts to watch `file`, as an item of `queue`, and returns the events that it is ready for.
    /// `events` (`EPOLL*` bits) is a hint to the file's driver, which may return others too.
    /// Callbacks may come at once. A wake-up of the file calls its `exclusive` watches until one
    /// has used it.
    ///
    /// `poll` polls the file; [`poll_file`] is the usual one. `check` runs first, and may refuse
    /// the watch: [`Watch::for_each_of`] finds the watch by then, but no wake-up calls it yet.
    ///
    /// EINVAL, and nothing has changed, if it was attached before. The error of [`WatchOps::admit`]
    /// or of `check`, or ENOMEM without memory for an extra entry; then the watch has ended, and is
    /// not in the queue. Process context, sleeps.
    pub(crate) fn attach(
        this: &Arc<Self>,
        (queue, consumer): (&ReadyQueue<Self>, &mut Consumer<Self>),
        file: &LocalFile,
        (events, exclusive): (u32, bool),
        check: impl FnOnce() -> Result,
        poll: impl FnOnce(&PollTable<'_>) -> u32,
    ) -> Result<u32> {
        // It succeeds once.
        this.registration.prepare(file, TypeId::of::<T>())?;
        let own = Arc::into_raw(this.clone()).cast_mut();
        // SAFETY: It was prepared for the file just now, for the first time, as of its own kind.
        // `own` keeps it alive, and in place, until it is unlinked; `closed` may have that
        // reference.
        let linked = unsafe {
            Registration::register(own.cast(), file, |registrations| {
                this.admit(Others {
                    registrations,
                    _kind: PhantomData,
                })
            })
        };
        if let Err(e) = linked {
            // SAFETY: Not linked, so the watch need not own the reference.
            drop(unsafe { Arc::from_raw(own) });
            return Err(e);
        }
        // The caller holds the file, so the hook does not run for it, and `detach` does nothing
        // before the watch is attached. So the watch stays linked, and the entries stay ours.
        consumer.enrol(queue, this.clone());
        let mut table = Attach::<T> {
            table: pin_init::zeroed(),
            watch: this,
            exclusive,
            result: Ok(()),
        };
        let mut result = check();
        let mut ready = 0;
        if result.is_ok() {
            // SAFETY: The file is alive. The table is the first field of an `Attach<T>`, as the
            // queue function wants it, and valid for the call.
            ready = unsafe {
                let raw = (&raw mut table).cast::<bindings::poll_table_struct>();
                ext::init_poll_funcptr(raw, Some(add_entry::<T>), events);
                poll(&PollTable::from_raw(file, raw))
            };
            result = table.result;
        }
        // INVARIANT: From here on the entries belong to the holder of the bucket's lock.
        this.registration.set_attached();
        if let Err(e) = result {
            this.detach();
            consumer.remove(queue, this);
            return Err(e);
        }
        Ok(ready)
    }

    /// Ends the watch, unless it has ended, or [`Watch::attach`] has yet to return. When this
    /// returns it has ended: no callback runs, and [`WatchOps::closed`] has been called if the
    /// file's last close has ended it.
    ///
    /// Returns whether this call has ended it. Process context; not under a lock that
    /// [`WatchOps::closed`] takes.
    pub(crate) fn detach(&self) -> bool {
        if !self.registration.is_attached() {
            return false;
        }
        let Some(linked) = self.registration.lock() else {
            return false;
        };
        // First the entries, then the table: if the hook finds no watch in the bucket, it does not
        // take the lock, and the file and its wait queues are freed.
        // SAFETY: The registration is linked, and we hold the bucket's lock.
        unsafe { self.remove_entries() };
        // CAST: The registration is the watch's first field. The pointer is the one that `attach`
        // made of the reference.
        let own = linked.unlink().cast::<Self>();
        // SAFETY: The watch owned this reference while it was linked.
        drop(unsafe { Arc::from_raw(own) });
        true
    }

    /// Removes all entries from their wait queues.
    ///
    /// # Safety
    ///
    /// The entries are the caller's: it holds the bucket's lock, and the registration is attached
    /// and linked, or was linked until the caller unlinked it.
    unsafe fn remove_entries(&self) {
        self.entry.remove();
        // SAFETY: The list is the caller's.
        let mut extra = unsafe { &*self.extra.get() };
        while let Some(this) = extra {
            this.entry.remove();
            extra = &this.next;
        }
    }

    /// The file, with a reference; `None` if it is closed, or the watch has ended. Process context.
    #[inline]
    pub(crate) fn file(&self) -> Option<ARef<LocalFile>> {
        self.registration.file()
    }

    /// Calls `f` for each watch of this kind that `file` has now, under the lock of the file's
    /// bucket: `f` must not sleep, nor take a lock under which that lock is taken.
    ///
    /// The time grows with the number of watches in the bucket. Process context.
    pub(crate) fn for_each_of(file: FileId, mut f: impl FnMut(ArcBorrow<'_, Self>)) -> Result {
        Registration::with_all_of(file, TypeId::of::<T>(), |registrations| {
            for registration in registrations {
                // SAFETY: It is the registration of a `Watch<T>`, as `attach` says. It is linked,
                // so the watch owns a reference to itself.
                f(unsafe { ArcBorrow::from_raw(registration.cast::<Self>()) });
            }
        })
    }

    /// Whether `queue` has fewer than `max` entries other than watches of this kind. Skips those
    /// watches one by one. Any context.
    pub(crate) fn has_room_for_others(queue: &WaitQueue, max: u32) -> bool {
        queue.has_room_beside(max, Some(poll_callback::<T>))
    }
}

/// The watches of one file; see [`WatchOps::admit`].
pub(crate) struct Others<'a, T: WatchOps> {
    registrations: SameFile<'a>,
    _kind: PhantomData<&'a Watch<T>>,
}

impl<T: WatchOps> Clone for Others<'_, T> {
    fn clone(&self) -> Self {
        Self {
            registrations: self.registrations.clone(),
            _kind: PhantomData,
        }
    }
}

impl<'a, T: WatchOps> Iterator for Others<'a, T> {
    type Item = &'a Watch<T>;

    fn next(&mut self) -> Option<&'a Watch<T>> {
        let registration = self.registrations.next()?;
        // SAFETY: It is the registration of a `Watch<T>`, as `attach` says, and it is linked for
        // `'a`: so the watch owns a reference to itself.
        Some(unsafe { &*registration.cast::<Watch<T>>() })
    }
}

/// The fields of a watched file that `/proc/PID/fdinfo` shows.
pub(crate) struct FileInfo {
    /// The file position.
    pub(crate) pos: i64,
    /// The inode's number.
    pub(crate) ino: u64,
    /// The device of the file system, in the kernel's encoding.
    pub(crate) dev: u32,
}

impl<T: WatchOps> Watch<T> {
    /// Fields of the file; `None` if it is closed, or the watch has ended. Process context.
    pub(crate) fn file_info(&self) -> Option<FileInfo> {
        let file = self.registration.file()?;
        let file = file.as_ptr();
        // SAFETY: We hold a reference. The position may change meanwhile; any value is correct.
        unsafe {
            Some(FileInfo {
                pos: (&raw const (*file).f_pos).read_volatile(),
                ino: ext::file_ino(file),
                dev: ext::file_dev(file),
            })
        }
    }
}

/// Polls a file by its driver's `->poll`; for [`Watch::attach`].
pub(crate) fn poll_file(table: &PollTable<'_>) -> u32 {
    table.poll_file()
}

/// The poll table of [`Watch::attach`].
#[repr(C)]
struct Attach<'a, T: WatchOps> {
    table: bindings::poll_table_struct,
    watch: &'a Arc<Watch<T>>,
    exclusive: bool,
    result: Result,
}

/// The queue function: adds an entry to one of the file's wait queues.
///
/// # Safety
///
/// Called by a file's `->poll`, in process context, with the table of an `Attach<T>`.
unsafe extern "C" fn add_entry<T: WatchOps>(
    _file: *mut bindings::file,
    head: *mut bindings::wait_queue_head,
    table: *mut bindings::poll_table_struct,
) {
    // SAFETY: The table is the first field of an `Attach<T>`, which nobody else uses meanwhile.
    let attach = unsafe { &mut *table.cast::<Attach<'_, T>>() };
    let watch = attach.watch;
    if attach.result.is_err() || head.is_null() {
        return;
    }
    // SAFETY: Called from within `attach`, before the registration is attached: the list is ours.
    let extra = unsafe { &mut *watch.extra.get() };
    // The embedded entry serves the first queue.
    let entry = if watch.entry.is_used() {
        let new = ExtraEntry {
            entry: Entry::new(),
            next: None,
        };
        match KBox::new(new, GFP_KERNEL_ACCOUNT) {
            Ok(mut new) => {
                new.next = extra.take();
                &extra.insert(new).entry
            }
            Err(e) => {
                attach.result = Err(e.into());
                return;
            }
        }
    } else {
        &watch.entry
    };
    // SAFETY: The entry is new. It stays in place, inside of the watch or of a box of the watch's,
    // and is removed by `attach`, or when the watch is unlinked, while it owns a reference to
    // itself. The queue belongs to the file, whose last close comes before the queue is freed; or
    // its owner wakes it with POLLFREE first.
    unsafe {
        Entry::add(
            entry,
            head,
            Some(poll_callback::<T>),
            Arc::as_ptr(watch).cast_mut().cast::<c_void>(),
            attach.exclusive,
        );
    }
}

/// The entries' function, which calls [`WatchOps::poll_callback`].
///
/// # Safety
///
/// Called by a wait queue, with its lock held, for an entry that `add_entry::<T>` added.
unsafe extern "C" fn poll_callback<T: WatchOps>(
    entry: *mut bindings::wait_queue_entry,
    _mode: c_uint,
    sync: c_int,
    key: *mut c_void,
) -> c_int {
    // CAST: The key of poll wake-ups is the event bits, not a pointer.
    let key = key as usize as u32;
    // SAFETY: The watch owns a reference to itself until the entry is removed, which waits for the
    // queue's lock.
    let watch = unsafe { ArcBorrow::from_raw(Entry::private(entry).cast::<Watch<T>>()) };
    let wake = WakeUp {
        events: key & !ext::POLLFREE,
        sync: sync != 0,
        last: key & ext::POLLFREE != 0,
    };
    let used = T::poll_callback(watch, wake);
    if wake.last {
        // SAFETY: This is the last thing that we do.
        unsafe { Entry::went_away(entry) };
    }
    c_int::from(used)
}

/// The hook's function, which calls [`WatchOps::closed`].
///
/// # Safety
///
/// Called by the hook for the registration of a `Watch<T>`, which it has just unlinked, under the
/// bucket's lock.
unsafe fn closed<T: WatchOps>(registration: *mut Registration) {
    // CAST: The registration is the watch's first field.
    let watch = registration.cast::<Watch<T>>();
    // SAFETY: The watch owned a reference to itself, so it is valid. It is not linked any more, so
    // its entries, its link and the reference are ours to pass on.
    unsafe {
        (*watch).remove_entries();
        T::closed(Closed::new(Arc::from_raw(watch)));
    }
}
