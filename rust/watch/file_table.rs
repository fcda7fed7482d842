// SPDX-License-Identifier: GPL-2.0

//! The table of watched files: which watches a file has, and their end at its last close.
//!
//! Registrations of watches are kept in a hash table, by the file's address and a seed.
//!
//! # A file without watches
//!
//! The last-close hook reads the bucket's first entry without the bucket's lock. That is enough to
//! turn away files that nobody watches. The task that registered a watch of this file held a
//! reference to it and has put it since. Putting a reference releases, and the put of the last one,
//! which came before the hook, acquires. So the hook sees the registration, unless it was unlinked.
//! A task that unlinks one is done with the file before that, and stores with release what the hook
//! loads with acquire.
//!
//! # Lock order
//!
//! A bucket's lock is taken in process context only, and never in a wake-up. Under it: the locks of
//! files' wait queues. One bucket's lock at a time.
//!
//! # PREEMPT_RT
//!
//! These locks sleep there, and boost their holder to the priority of a waiter. Nothing above
//! relies on a holder that can't be preempted: the one load without the lock is ordered by the
//! file's reference count. A task that sleeps in the hook is counted, so that an unload waits for
//! it ([`Inside`](crate::kernel_ext::ftrace::Inside)).

use crate::kernel_ext::{
    atomic::{
        ordering::{Acquire, Relaxed, Release},
        Atomic, //
    },
    bindings as ext, //
};
use core::{
    any::TypeId,
    cell::UnsafeCell,
    marker::PhantomData,
    mem::MaybeUninit,
    ptr, //
};
use kernel::{
    bindings,
    fs::LocalFile,
    new_spinlock,
    prelude::*,
    sync::{
        aref::ARef,
        SpinLock,
        SpinLockGuard, //
    }, //
};

/// The number of buckets: 2 to this.
const BUCKET_BITS: u32 = 16;

/// The number of watches that the hook ends before it releases the bucket's lock for a moment.
/// Each batch walks past the other registrations in the bucket.
const BATCH: usize = 512;

/// Identifies an open file by its address, which is never followed. The address may be reused after
/// the file's last close.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(usize);

impl FileId {
    /// No file.
    pub(crate) const NONE: Self = Self(0);

    /// The identity of `file`.
    pub(crate) fn of(file: &LocalFile) -> Self {
        Self(file.as_ptr() as usize)
    }

    /// As a word, to be kept in an atomic.
    pub(crate) fn to_bits(self) -> usize {
        self.0
    }

    /// Undoes [`FileId::to_bits`].
    pub(crate) fn from_bits(bits: usize) -> Self {
        Self(bits)
    }
}

/// The registrations of the files with one hash value.
///
/// # Invariants
///
/// `first` is null or the first of a list, through `next` and `prev`, of registrations that are
/// alive and whose `linked` is true. It is written under `lock`.
#[pin_data]
struct Bucket {
    first: Atomic<*mut Registration>,
    #[pin]
    lock: SpinLock<()>,
}

type Buckets = [Bucket; 1 << BUCKET_BITS];

/// The table of watched files. There is one, [`TABLE`].
pub(super) struct Table {
    buckets: UnsafeCell<MaybeUninit<Buckets>>,
    kind: UnsafeCell<Option<Kind>>,
    seed: Atomic<u64>,
    state: Atomic<u32>,
}

/// The state of a [`Table`] without a [`Claim`].
const UNUSED: u32 = 0;
/// The [`Claim`] sets up or takes down the table, and owns its buckets and kind.
const CLAIMED: u32 = 1;
/// The buckets are initialised, and shared. There is no kind yet. The one watch is that of the test
/// of the hook.
const VERIFYING: u32 = 2;
/// Buckets and kind are shared, and do not change.
const READY: u32 = 3;

/// The one type of watches that can be registered. A safe function can be called for any type, so
/// each operation compares its type with this.
struct Kind {
    id: TypeId,
    /// Called by the hook for a registration that it has unlinked.
    closed: unsafe fn(*mut Registration),
}

// SAFETY: Only the task that has set `state` to `CLAIMED` writes buckets and kind, before it
// stores, with release, the state in which they are shared. A task that loads that state, with
// acquire, only reads them. The hook reads the kind when it finds a watch, which was registered in
// the state `READY`, or is that of `verify`, whose own thread closes the file.
unsafe impl Sync for Table {}

pub(super) static TABLE: Table = Table {
    buckets: UnsafeCell::new(MaybeUninit::uninit()),
    kind: UnsafeCell::new(None),
    seed: Atomic::new(0),
    state: Atomic::new(UNUSED),
};

impl Table {
    /// The bucket of this index; ENODEV without a [`Claim`], EINVAL for [`UNPREPARED`].
    #[inline]
    fn bucket(&self, index: usize) -> Result<&Bucket> {
        if self.state.load(Acquire) < VERIFYING {
            return Err(ENODEV);
        }
        // SAFETY: In these states the buckets are initialised, and nobody has them mutably.
        let buckets = unsafe { (*self.buckets.get()).assume_init_ref() };
        buckets.get(index).ok_or(EINVAL)
    }

    /// Whether any file is watched.
    pub(super) fn has_watches(&self) -> bool {
        let mut buckets = (0..1 << BUCKET_BITS).map_while(|index| self.bucket(index).ok());
        buckets.any(|bucket| !bucket.first.load(Relaxed).is_null())
    }

    /// Checks that watches of the kind `id` can be registered: EINVAL for another kind, ENODEV
    /// before [`Claim::publish`].
    fn check_kind(&self, id: TypeId) -> Result {
        if self.state.load(Acquire) != READY {
            return Err(ENODEV);
        }
        // SAFETY: In this state it is not written any more.
        match unsafe { &*self.kind.get() } {
            Some(kind) if kind.id == id => Ok(()),
            _ => Err(EINVAL),
        }
    }

    /// The index of the bucket of `file`.
    ///
    /// Relaxed: the seed was stored before the state in which watches are registered. The hook for
    /// a watched file is ordered after the registration by the file's count of references; for
    /// another file any bucket will do.
    #[inline]
    fn index(&self, file: *mut bindings::file) -> usize {
        let hash = (file as u64 ^ self.seed.load(Relaxed)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (hash >> (u64::BITS - BUCKET_BITS)) as usize
    }

    /// Ends all watches of `file`: the last-close hook's work. Process context. Sleeps only for a
    /// spinlock of PREEMPT_RT, and only while it holds the result of `enter`.
    ///
    /// # Safety
    ///
    /// The last reference to `file` is gone; or no watch but that of the hook's test is registered.
    #[inline]
    pub(super) unsafe fn end_watches<G>(
        &self,
        file: *mut bindings::file,
        enter: impl FnOnce() -> G,
    ) {
        let Ok(bucket) = self.bucket(self.index(file)) else {
            return;
        };
        if !bucket.first.load(Acquire).is_null() {
            let _inside = enter();
            self.end_watches_in(bucket, file);
        }
    }

    /// Out of line, to keep the path of the files that nobody watches short.
    #[cold]
    #[inline(never)]
    fn end_watches_in(&self, bucket: &Bucket, file: *mut bindings::file) {
        loop {
            let _guard = bucket.lock.lock();
            let mut ended = 0;
            let mut this = bucket.first.load(Relaxed);
            // SAFETY: Linked registrations are alive, and we hold the lock. `next` is read before
            // `closed` takes over `this`, and stays linked.
            unsafe {
                while !this.is_null() && ended < BATCH {
                    let next = *(*this).next.get();
                    if (*this).file.load(Relaxed) == file {
                        // It is `this`, by the same pointer.
                        let _ = (*this).unlink(bucket);
                        if let Some(kind) = &*self.kind.get() {
                            (kind.closed)(this);
                        }
                        ended += 1;
                    }
                    this = next;
                }
            }
            if ended < BATCH {
                return;
            }
        }
    }
}

/// The registration of one watch of a file: a part of the watch.
///
/// # Invariants
///
/// - `index` is [`UNPREPARED`] until it is set, once. `attached` is false until it is set, once.
/// - `linked`, `next` and `prev` are accessed under the bucket's lock; `next` of a registration
///   that is not linked any more belongs to the task that unlinked it.
/// - While `linked`, `file` points at a file whose last close has not reached the hook; when it is
///   not, `file` is null. It is written under the bucket's lock.
pub(super) struct Registration {
    file: Atomic<*mut bindings::file>,
    next: UnsafeCell<*mut Registration>,
    prev: UnsafeCell<*mut Registration>,
    index: Atomic<u32>,
    linked: UnsafeCell<bool>,
    attached: Atomic<bool>,
}

/// `index` before [`Registration::prepare`].
const UNPREPARED: u32 = u32::MAX;

// SAFETY: See the invariants.
unsafe impl Send for Registration {}
// SAFETY: See the invariants.
unsafe impl Sync for Registration {}

/// The registrations of one file.
///
/// # Invariants
///
/// The lock of the file's bucket is held for `'a`; `next` is null or a registration in the bucket.
#[derive(Clone)]
pub(super) struct SameFile<'a> {
    next: *const Registration,
    file: *mut bindings::file,
    _lock: PhantomData<&'a ()>,
}

impl Iterator for SameFile<'_> {
    type Item = *const Registration;

    fn next(&mut self) -> Option<*const Registration> {
        // SAFETY: Linked registrations are alive, and the lock of their bucket is held, by the
        // type's invariants.
        while let Some(registration) = unsafe { self.next.as_ref() } {
            let this = self.next;
            // SAFETY: As above.
            self.next = unsafe { *registration.next.get() };
            if registration.file.load(Relaxed) == self.file {
                return Some(this);
            }
        }
        None
    }
}

/// Proof that the lock of a registration's bucket is held, and that the registration is linked.
pub(super) struct Linked<'a> {
    registration: &'a Registration,
    bucket: &'a Bucket,
    _guard: SpinLockGuard<'a, ()>,
}

impl Registration {
    /// A registration that is not linked, for no file yet.
    pub(super) const fn new() -> Self {
        // INVARIANT: Not linked.
        Self {
            file: Atomic::new(ptr::null_mut()),
            next: UnsafeCell::new(ptr::null_mut()),
            prev: UnsafeCell::new(ptr::null_mut()),
            index: Atomic::new(UNPREPARED),
            linked: UnsafeCell::new(false),
            attached: Atomic::new(false),
        }
    }

    /// A registration that is prepared for `file`, of no kind: for the test of the hook.
    pub(super) fn new_for_test(file: &LocalFile) -> Self {
        let this = Self::new();
        this.index.store(TABLE.index(file.as_ptr()) as u32, Relaxed);
        this
    }

    /// Whether [`Registration::set_attached`] was called, so that the watch is complete.
    pub(super) fn is_attached(&self) -> bool {
        self.attached.load(Acquire)
    }

    /// Marks the registration as attached. A task that sees the mark sees all that came before it,
    /// including the bucket's index and the entries, which are written without a lock.
    pub(super) fn set_attached(&self) {
        self.attached.store(true, Release);
    }

    /// Prepares the registration of a watch of the kind `id` for `file`. EINVAL if it was prepared
    /// before, or watches of another kind are registered.
    pub(super) fn prepare(&self, file: &LocalFile, id: TypeId) -> Result {
        TABLE.check_kind(id)?;
        let index = TABLE.index(file.as_ptr()) as u32;
        match self.index.cmpxchg(UNPREPARED, index, Relaxed) {
            Ok(_) => Ok(()),
            Err(_) => Err(EINVAL),
        }
    }

    fn bucket(&self) -> Result<&'static Bucket> {
        TABLE.bucket(self.index.load(Relaxed) as usize)
    }

    /// Links the registration into the bucket of `file`, if `admit` agrees. `admit` is called under
    /// the bucket's lock, with the file's existing registrations; its error is returned.
    ///
    /// # Safety
    ///
    /// - `this` is valid, is in place until it is unlinked, was prepared for `file`, with its own
    ///   kind, and was never registered.
    /// - The kind's `closed` may be called for it until it is unlinked.
    pub(super) unsafe fn register(
        this: *mut Self,
        file: &LocalFile,
        admit: impl FnOnce(SameFile<'_>) -> Result,
    ) -> Result {
        // SAFETY: `this` is valid.
        let this_ref = unsafe { &*this };
        let bucket = this_ref.bucket()?;
        let file = file.as_ptr();
        let _guard = bucket.lock.lock();
        let first = bucket.first.load(Relaxed);
        // INVARIANT: We hold the lock of the bucket.
        admit(SameFile {
            next: first,
            file,
            _lock: PhantomData,
        })?;
        // SAFETY: Linked registrations are alive, and we hold the lock of their bucket, which is
        // that of `this`, too.
        unsafe {
            // INVARIANT: The caller holds a reference to the file, so its last close is to come.
            // Release: a task that follows the pointer sees the initialised file.
            this_ref.file.store(file, Release);
            *this_ref.next.get() = first;
            *this_ref.prev.get() = ptr::null_mut();
            *this_ref.linked.get() = true;
            if let Some(first) = first.as_ref() {
                *first.prev.get() = this;
            }
        }
        // INVARIANT: `this` is alive until it is unlinked.
        bucket.first.store(this, Release);
        Ok(())
    }

    /// Locks the bucket. `None` if the registration is not linked: then the hook, or another task
    /// that unlinked it, is done with it.
    ///
    /// Must not be called under a bucket's lock, or a wait queue's.
    pub(super) fn lock(&self) -> Option<Linked<'_>> {
        let bucket = self.bucket().ok()?;
        let guard = bucket.lock.lock();
        // SAFETY: We hold the lock of the bucket.
        let linked = unsafe { *self.linked.get() };
        linked.then_some(Linked {
            registration: self,
            bucket,
            _guard: guard,
        })
    }

    /// Calls `f` with the registrations of `file`, all of watches of the kind `id`, under the lock
    /// of the bucket. Does not call it if the bucket is empty.
    ///
    /// That check is made without the lock. It sees each registration whose maker took, after it
    /// made it, a lock that the caller has taken since: the topology's, for ADD.
    pub(super) fn with_all_of(file: FileId, id: TypeId, f: impl FnOnce(SameFile<'_>)) -> Result {
        TABLE.check_kind(id)?;
        let file = file.0 as *mut bindings::file;
        let bucket = TABLE.bucket(TABLE.index(file))?;
        if file.is_null() || bucket.first.load(Relaxed).is_null() {
            return Ok(());
        }
        let _guard = bucket.lock.lock();
        // INVARIANT: We hold the lock of the bucket.
        f(SameFile {
            next: bucket.first.load(Relaxed),
            file,
            _lock: PhantomData,
        });
        Ok(())
    }

    /// The watched file, with a reference; `None` if it is being closed, or the watch has ended.
    /// Any context in which the reference may be dropped.
    #[inline]
    pub(super) fn file(&self) -> Option<ARef<LocalFile>> {
        // SAFETY: `file` is null or points at a file that is not freed before it is null. If the
        // hook did not make it null, the hook has read, with acquire, that the bucket's first entry
        // is another, which `unlink` stores with release after the null.
        let file = unsafe { ext::file_get_active(self.file.as_ptr()) };
        // SAFETY: A reference was taken, and is handed over. No fdget_pos() is involved.
        Some(unsafe { ARef::from_raw(ptr::NonNull::new(file)?.cast()) })
    }

    /// The link, which belongs to the owner of a registration that has been unlinked.
    pub(super) fn next(&self) -> *mut *mut Registration {
        self.next.get()
    }
}

impl Linked<'_> {
    /// Ends the registration: the hook does not end it any more. The caller must be done with the
    /// file's wait queues: the hook may not see that there was a watch, and the file is freed.
    ///
    /// Returns the pointer that was given to [`Registration::register`].
    pub(super) fn unlink(self) -> *mut Registration {
        // SAFETY: We hold the lock of the bucket of a registration that is linked.
        unsafe { self.registration.unlink(self.bucket) }
    }
}

impl Registration {
    /// Returns the pointer by which it was linked. `tools/model/src/last_close.rs` is a twin of
    /// this, of `register`, `file` and [`Table::end_watches`]: change both.
    ///
    /// # Safety
    ///
    /// `self` is linked in `bucket`, whose lock is held.
    unsafe fn unlink(&self, bucket: &Bucket) -> *mut Registration {
        // INVARIANT: Not linked, as below. From here on `file()` finds nothing. This comes before
        // the hook may see that there is no watch: so when the file is freed, a reader of its
        // address here did so in an RCU section that began before.
        self.file.store(ptr::null_mut(), Release);
        // SAFETY: Neighbours in the list are alive, and we hold the lock.
        unsafe {
            let (next, prev) = (*self.next.get(), *self.prev.get());
            let this = match prev.as_ref() {
                Some(prev) => prev.next.get().replace(next),
                None => {
                    let this = bucket.first.load(Relaxed);
                    bucket.first.store(next, Release);
                    this
                }
            };
            if let Some(next) = next.as_ref() {
                *next.prev.get() = prev;
            }
            *self.linked.get() = false;
            this
        }
    }
}

/// The right to set up the table, and to take it down.
///
/// # Invariants
///
/// The table's state is not `UNUSED`, and there is one claim.
pub(super) struct Claim(());

impl Claim {
    /// Sets up the buckets of an empty table. EBUSY if there is a claim. Sleeps.
    pub(super) fn new() -> Result<Self> {
        if TABLE.state.cmpxchg(UNUSED, CLAIMED, Acquire).is_err() {
            return Err(EBUSY);
        }
        // SAFETY: Can be called in any context.
        let seed = unsafe { bindings::get_random_u64() };
        TABLE.seed.store(seed, Relaxed);
        let buckets = pin_init::pin_init_array_from_fn(|_| {
            pin_init!(Bucket {
                first: Atomic::new(ptr::null_mut()),
                lock <- new_spinlock!((), "repoll::last_close::Bucket"),
            })
        });
        // SAFETY: We have claimed the table, so nobody else accesses the buckets.
        let room: &'static mut MaybeUninit<Buckets> = unsafe { &mut *TABLE.buckets.get() };
        let Ok(_) = room.write_pin_init(buckets);
        // SAFETY: As above.
        unsafe { *TABLE.kind.get() = None };
        TABLE.state.store(VERIFYING, Release);
        // INVARIANT: There was none.
        Ok(Self(()))
    }

    /// Lets watches of the kind `id` be registered. The hook calls `closed` for each that it ends.
    ///
    /// # Safety
    ///
    /// `closed` may be called for each registration that is prepared as of the kind `id`. The hook
    /// is in place, and nobody else calls [`Table::end_watches`] for a file that is watched. Not
    /// called before.
    pub(super) unsafe fn publish(&mut self, id: TypeId, closed: unsafe fn(*mut Registration)) {
        // SAFETY: In the state `VERIFYING` nobody else reads the kind, nor is a watch registered.
        unsafe { *TABLE.kind.get() = Some(Kind { id, closed }) };
        TABLE.state.store(READY, Release);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        TABLE.state.store(UNUSED, Release);
    }
}
