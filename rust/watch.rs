// SPDX-License-Identifier: GPL-2.0

//! Watching a file that is somebody else's: a Rust callback in its wait queues.
//!
//! C header: [`include/linux/poll.h`](srctree/include/linux/poll.h)
//!
//! # The raw API
//!
//! `vfs_poll()` with a queue function: the file's `->poll` hands each wait queue that it has to
//! that function, which adds an entry. A wake-up of the queue then calls the entry's function, in
//! whatever context it comes from, hard interrupt included, under the queue's lock. A file may have
//! several queues.
//!
//! # The safe API
//!
//! A [`Watch`] is such entries and a value of the user's choice, which implements [`WatchOps`]. It
//! is in an [`Arc`], of which the watch itself owns one reference from [`Watch::attach`] until it
//! ends. It ends in one of two ways, which exclude each other by the lock of the file's bucket in
//! [`last_close`](last_close):
//!
//! - [`Watch::detach`], at the user's wish, while the file lives;
//! - at the file's last close, when [`WatchOps::closed`] is called and is handed the reference.
//!
//! Either way all entries are out of their queues when it has happened, so no callback runs any
//! more. No reference to the file is held; [`Watch::file`] takes one for as long as it is polled.

mod closed_list;
mod file_table;
pub(crate) mod last_close;
mod ready_list;
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

/// A [`closed_list::Closed`] watch with a value of the type `T`.
pub(crate) type Closed<T> = closed_list::Closed<Watch<T>>;

/// A [`closed_list::ClosedList`] of watches with values of the type `T`.
pub(crate) type ClosedList<T> = closed_list::ClosedList<Watch<T>>;

/// What a user of [`Watch`] does about events.
pub(crate) trait WatchOps: Sized + Send + Sync + 'static {
    /// What a watch is found by in a [`Tree`](super::tree::Tree). Does not change.
    type Key: Ord;

    /// The watch's key.
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
    /// Process context, under a spinlock: must not sleep. To drop the reference may sleep, so it
    /// must be put away, in a [`ClosedList`].
    fn closed(this: Closed<Self>);
}

/// A watch of a file; see the [module](self).
///
/// # Invariants
///
/// While an entry is in a wait queue, the watch owns a reference to the [`Arc`] that it is in.
/// `entry` and the list of `further` ones belong to [`Watch::attach`] until `registration` is
/// attached; then to the holder of the lock of the registration's bucket, until it is unlinked.
/// When it is not linked, none of them is in a wait queue.
#[repr(C)]
#[pin_data]
pub(crate) struct Watch<T: WatchOps> {
    // First, so that a pointer to it is one to the watch.
    registration: Registration,
    entry: Entry,
    further: UnsafeCell<Option<KBox<Further>>>,
    links: Links<Self>,
    node: Node,
    value: T,
    #[pin]
    _pin: PhantomPinned,
}

/// An entry for a file's second and later wait queues.
struct Further {
    entry: Entry,
    next: Option<KBox<Further>>,
}

// SAFETY: What has interior mutability is protected as the invariants say; the value is of a type
// that can be used on any thread.
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
    /// Has the last close of files noticed, which this kind of watch needs, while the result lives.
    /// There can be one kind. `functions` says which of the kernel's functions may give the notice,
    /// as for [`LastClose::register`]; 0 for the default. Sleeps, some 75 ms.
    pub(crate) fn notice_last_close(functions: u32) -> Result<LastClose> {
        // SAFETY: `attach` registers, for this type, registrations of watches of this type.
        unsafe { LastClose::register(TypeId::of::<T>(), closed::<T>, functions) }
    }

    /// A watch of nothing yet, that may be queued on `queue`.
    pub(crate) fn new(value: T, queue: &ReadyQueue<Self>) -> Result<Pin<UniqueArc<Self>>> {
        UniqueArc::pin_init(
            pin_init!(Self {
                // INVARIANT: Not linked, no entries.
                registration: Registration::new(),
                entry: Entry::new(),
                further: UnsafeCell::new(None),
                links: queue.new_links(),
                node: Node::new(),
                value,
                _pin: PhantomPinned,
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Starts to watch `file`, as an item of `queue`, and returns what it is ready for, of `events`
    /// (`EPOLL*` bits, a hint to the file's driver as in poll(2)). Callbacks may come at once. Of
    /// several `exclusive` watches of the file, a wake-up calls as many as it takes until one has
    /// used it.
    ///
    /// `poll` polls the file; [`poll_file`] does so for files that need nothing special. `check`
    /// runs first and may refuse the watch: [`Watch::for_each_of`] finds the watch by then, but no
    /// wake-up calls it yet.
    ///
    /// EINVAL, and nothing has changed, if it was attached before. The error of [`WatchOps::admit`]
    /// or of `check`, or ENOMEM without memory for a further entry; then the watch has ended, and
    /// is not in the queue. Process context, sleeps.
    pub(crate) fn attach(
        this: &Arc<Self>,
        (queue, consumer): (&ReadyQueue<Self>, &mut Consumer<Self>),
        file: &LocalFile,
        (events, exclusive): (u32, bool),
        check: impl FnOnce() -> Result,
        poll: impl FnOnce(&PollTable<'_>) -> u32,
    ) -> Result<u32> {
        // Nobody else comes past this.
        this.registration.prepare(file, TypeId::of::<T>())?;
        let own = Arc::into_raw(this.clone()).cast_mut();
        // SAFETY: It was prepared for the file, just now, and never before. `own` keeps it alive,
        // and in place, until it is unlinked.
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
        // The file is held, so the hook does not come; and `detach` does nothing before the watch
        // is attached. So it stays linked, and the entries stay ours.
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
    /// returns it has ended: no callback runs, and [`WatchOps::closed`] has been called if it was
    /// the file's last close that ended it.
    ///
    /// Returns whether it was this call. Process context; not under a lock that
    /// [`WatchOps::closed`] takes.
    pub(crate) fn detach(&self) -> bool {
        if !self.registration.is_attached() {
            return false;
        }
        let Some(linked) = self.registration.lock() else {
            return false;
        };
        // First the entries, then the table: the hook, if it finds no watch in the bucket, does not
        // take the lock, and the file and its wait queues go away.
        // SAFETY: The registration is linked, and we hold the bucket's lock.
        unsafe { self.remove_entries() };
        // CAST: The registration is the watch's first field. The pointer is the one that `attach`
        // made of the reference.
        let own = linked.unlink().cast::<Self>();
        // SAFETY: The watch owned this reference while it was linked.
        drop(unsafe { Arc::from_raw(own) });
        true
    }

    /// # Safety
    ///
    /// The entries are the caller's: it holds the bucket's lock, and the registration is attached
    /// and linked, or was linked until the caller unlinked it.
    unsafe fn remove_entries(&self) {
        self.entry.remove();
        // SAFETY: The list is the caller's.
        let mut further = unsafe { &*self.further.get() };
        while let Some(this) = further {
            this.entry.remove();
            further = &this.next;
        }
    }

    /// The file, held so that its last close does not come meanwhile; `None` if it is closed, or
    /// the watch has ended. Process context.
    #[inline]
    pub(crate) fn file(&self) -> Option<ARef<LocalFile>> {
        self.registration.file()
    }

    /// Calls `f` for each watch, of this kind, that `file` has now, under the lock of the file's
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

/// What `/proc/PID/fdinfo` tells of a watched file.
pub(crate) struct FileInfo {
    /// The position that it is read at.
    pub(crate) pos: i64,
    /// Its inode's number.
    pub(crate) ino: u64,
    /// The device of its file system, as the kernel encodes it.
    pub(crate) dev: u32,
}

impl<T: WatchOps> Watch<T> {
    /// Some facts about the file; `None` if it is closed, or the watch has ended. Process context.
    pub(crate) fn file_info(&self) -> Option<FileInfo> {
        let file = self.registration.file()?;
        let file = file.as_ptr();
        // SAFETY: We hold a reference. The position may change meanwhile: any value will do.
        unsafe {
            Some(FileInfo {
                pos: (&raw const (*file).f_pos).read_volatile(),
                ino: ext::file_ino(file),
                dev: ext::file_dev(file),
            })
        }
    }
}

/// Asks a file by its driver; for [`Watch::attach`].
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
    let further = unsafe { &mut *watch.further.get() };
    // The embedded entry serves the first queue.
    let entry = if watch.entry.is_used() {
        let new = Further {
            entry: Entry::new(),
            next: None,
        };
        match KBox::new(new, GFP_KERNEL_ACCOUNT) {
            Ok(mut new) => {
                new.next = further.take();
                &further.insert(new).entry
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
    // itself. The queue belongs to the file, whose last close comes before it goes away, or its
    // owner tells by POLLFREE.
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

/// # Safety
///
/// Called by the hook for the registration of a `Watch<T>`, which it has just unlinked, under the
/// bucket's lock.
unsafe fn closed<T: WatchOps>(registration: *mut Registration) {
    // CAST: The registration is the watch's first field.
    let watch = registration.cast::<Watch<T>>();
    // SAFETY: The watch owned a reference to itself, so it is valid; it is not linked any more, so
    // the reference is ours to pass on.
    unsafe {
        (*watch).remove_entries();
        T::closed(Closed::new(Arc::from_raw(watch)));
    }
}
