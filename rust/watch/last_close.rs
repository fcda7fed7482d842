// SPDX-License-Identifier: GPL-2.0

//! Notice of the last close of watched files.
//!
//! C header: [`include/linux/ftrace.h`](srctree/include/linux/ftrace.h)
//!
//! The C epoll is told of a file's last close by `__fput()`, through `file->f_ep`, which a module
//! can't use. It must be told: the file's wait queues go away with the file. And it must not hold a
//! reference to the file to prevent that, or a peer would never see the end of file.
//!
//! # The hook
//!
//! A call from the entry of `security_file_release()`, which `__fput()` calls once for each file, in
//! process context, after the last reference is gone and before `->release()`. A kernel without
//! `CONFIG_SECURITY` has no such function; there it is `locks_remove_file()`, called just before.
//! How the function is made to call us is the matter of [`hook`].
//!
//! A function that exists may still not be called: both are external functions, but a kernel built
//! with LTO has inlined copies in `__fput()`. A notice that never comes is a use after free, so a
//! hook is relied on only after it was seen to work: [`LastClose::register`] watches a file of its
//! own, closes it, and checks that the watch has ended. It takes the first function that passes, or
//! fails. With LTO it always fails: there one close that was noticed says nothing about others.
//!
//! The hook takes spinlocks, and drops nothing that might sleep. It can't recurse on a CPU, nor in a
//! task, and so is never left out as a recursion: it runs in process context only, and nothing that
//! it calls closes a file.
//!
//! # The table
//!
//! Registrations of watched files are kept in a hash table, by the file's address and a seed. The
//! hook looks at the bucket's first entry without its lock. That is enough to turn away files that
//! nobody watches: whoever registered a watch of this file held a reference to it and has put it
//! since; putting a reference releases, and the put of the last one, which came before the hook,
//! acquires. So the hook sees the registration, if it was not undone. Whoever undoes it is done with
//! the file before that, and stores with release what the hook loads with acquire.
//!
//! # Lock order
//!
//! A bucket's lock is taken in process context only, and never in a wake-up. Under it: the locks of
//! files' wait queues. One bucket's lock at a time.
//!
//! # PREEMPT_RT
//!
//! These locks sleep there, and pass on the priority of who waits. Nothing above counts on a holder
//! that can't be preempted: the one load without the lock is ordered by the file's reference count.
//! A task that sleeps in the hook is counted, so that an unload waits for it ([`hook`]).

mod hook;

use crate::kernel_ext::{
    atomic::{
        ordering::{
            Acquire,
            Relaxed,
            Release, //
        }, //
        Atomic,
    },
    bindings as ext,
    drift::errno::EOPNOTSUPP, //
};
use core::{
    any::TypeId,
    cell::UnsafeCell,
    marker::PhantomData,
    mem::MaybeUninit,
    ptr, //
};
use hook::{
    Hook,
    Inside,
    Means, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::c_int,
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

/// How many watches the hook ends before it lets others have the bucket's lock.
/// Each batch walks past the other registrations in the bucket.
const BATCH: usize = 512;

/// Which file it is: its address, which is never followed, and is used again after the file's last
/// close.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(usize);

impl FileId {
    /// No file.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn of(file: &LocalFile) -> Self {
        Self(file.as_ptr() as usize)
    }

    /// To be kept in an atomic.
    pub(crate) fn to_bits(self) -> usize {
        self.0
    }

    pub(crate) fn from_bits(bits: usize) -> Self {
        Self(bits)
    }
}

/// # Invariants
///
/// `first` is null or the first of a list, through `next` and `prev`, of registrations that are alive
/// and whose `linked` is true. It is written under `lock`.
#[pin_data]
struct Bucket {
    first: Atomic<*mut Registration>,
    #[pin]
    lock: SpinLock<()>,
}

type Buckets = [Bucket; 1 << BUCKET_BITS];

struct Table {
    buckets: UnsafeCell<MaybeUninit<Buckets>>,
    kind: UnsafeCell<Option<Kind>>,
    seed: Atomic<u64>,
    state: Atomic<u32>,
}

/// The state of a [`Table`] that nobody uses.
const UNUSED: u32 = 0;
/// A [`LastClose`] is setting up or taking down the table, whose buckets and kind are its own.
const CLAIMED: u32 = 1;
/// The buckets are initialised, and shared. There is no kind yet, and one watch, of `verify`.
const VERIFYING: u32 = 2;
/// Buckets and kind are shared, and do not change.
const READY: u32 = 3;

/// What is registered: the type of the watches, and what the hook calls for one.
struct Kind {
    id: TypeId,
    closed: unsafe fn(*mut Registration),
}

// SAFETY: Only the task that has set `state` to `CLAIMED` writes buckets and kind, before it
// stores, with release, the state in which they are shared. A task that loads that state, with
// acquire, only reads them. The hook reads the kind when it finds a watch, which was registered in
// the state `READY`, or is that of `verify`, whose own thread closes the file.
unsafe impl Sync for Table {}

static TABLE: Table = Table {
    buckets: UnsafeCell::new(MaybeUninit::uninit()),
    kind: UnsafeCell::new(None),
    seed: Atomic::new(0),
    state: Atomic::new(UNUSED),
};

impl Table {
    fn bucket(&self, index: usize) -> Result<&Bucket> {
        if self.state.load(Acquire) < VERIFYING {
            return Err(ENODEV);
        }
        // SAFETY: In these states the buckets are initialised, and nobody has them mutably.
        let buckets = unsafe { (*self.buckets.get()).assume_init_ref() };
        buckets.get(index).ok_or(EINVAL)
    }

    fn has_watches(&self) -> bool {
        let mut buckets = (0..1 << BUCKET_BITS).map_while(|index| self.bucket(index).ok());
        buckets.any(|bucket| !bucket.first.load(Relaxed).is_null())
    }

    /// The kind, if it is the one with this id.
    fn kind(&self, id: TypeId) -> Result {
        if self.state.load(Acquire) != READY {
            return Err(ENODEV);
        }
        // SAFETY: In this state it is not written any more.
        match unsafe { &*self.kind.get() } {
            Some(kind) if kind.id == id => Ok(()),
            _ => Err(EINVAL),
        }
    }

    /// Relaxed: the seed was stored before the state in which watches are registered. The hook for a
    /// watched file is ordered after the registration by the file's count of references; for another
    /// file any bucket will do.
    fn index(&self, file: *mut bindings::file) -> usize {
        let hash = (file as u64 ^ self.seed.load(Relaxed)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (hash >> (u64::BITS - BUCKET_BITS)) as usize
    }
}

/// The registration of one watch of a file. A part of whatever the watch is.
///
/// # Invariants
///
/// - `index` is [`UNPREPARED`] until it is set, once. `attached` is false until it is set, once.
/// - `linked`, `next` and `prev` are accessed under the bucket's lock; `next` of a registration that
///   is not linked any more belongs to whoever unlinked it.
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

/// A bucket that there is not.
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

    /// Whether [`Registration::set_attached`] was called, so that the watch is complete.
    pub(super) fn is_attached(&self) -> bool {
        self.attached.load(Acquire)
    }

    /// Marks the registration as attached. Who sees the mark sees all that came before it: the bucket's
    /// number and the entries too, which are written without a lock.
    pub(super) fn set_attached(&self) {
        self.attached.store(true, Release);
    }

    /// Says which file the registration will be for, and that it is that of a watch of the kind `id`.
    /// EINVAL if it was prepared before, or watches of another kind are registered.
    pub(super) fn prepare(&self, file: &LocalFile, id: TypeId) -> Result {
        TABLE.kind(id)?;
        let index = TABLE.index(file.as_ptr()) as u32;
        match self.index.cmpxchg(UNPREPARED, index, Relaxed) {
            Ok(_) => Ok(()),
            Err(_) => Err(EINVAL),
        }
    }

    fn bucket(&self) -> Result<&'static Bucket> {
        TABLE.bucket(self.index.load(Relaxed) as usize)
    }

    /// Asks for notice of the last close of `file`, if `admit` agrees. `admit` is called under the
    /// bucket's lock, with the file's existing registrations; its error is returned.
    ///
    /// # Safety
    ///
    /// - `this` is valid, is in place until it is unlinked, was prepared for `file`, as what it is, and
    ///   was never registered.
    /// - The table's `closed` may be called for it until it is unlinked.
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
        // SAFETY: Linked registrations are alive, and we hold the lock of their bucket, which is that
        // of `this`, too.
        unsafe {
            // INVARIANT: The caller holds a reference to the file, so its last close is to come.
            // Release: who follows the pointer sees the file as it was made.
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

    /// Locks the bucket. `None` if the registration is not linked: then the hook, or whoever unlinked
    /// it, is done with it.
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

    /// Calls `f` with the registrations of `file`, which are those of watches of the kind `id`,
    /// under the lock of the bucket; not at all if there are none in the bucket.
    ///
    /// The first look is without that lock. A registration that must be seen was made before the
    /// caller took a lock that its maker had after it: the topology's, for ADD.
    pub(super) fn with_all_of(file: FileId, id: TypeId, f: impl FnOnce(SameFile<'_>)) -> Result {
        TABLE.kind(id)?;
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
    /// Any context that may drop the reference.
    #[inline]
    pub(super) fn file(&self) -> Option<ARef<LocalFile>> {
        // SAFETY: `file` is null or points at a file that is not freed before it is null. If the hook
        // did not make it null, the hook has read, with acquire, that the bucket's first entry is
        // another, which `unlink` stores with release after the null.
        let file = unsafe { ext::file_get_active(self.file.as_ptr()) };
        // SAFETY: A reference was taken, and is handed over. No fdget_pos() is involved.
        Some(unsafe { ARef::from_raw(ptr::NonNull::new(file)?.cast()) })
    }

    /// The link, for the owner of a registration that has been unlinked.
    pub(super) fn next(&self) -> *mut *mut Registration {
        self.next.get()
    }
}

impl Linked<'_> {
    /// Ends the registration: no notice will be given. The caller must be done with the file's wait
    /// queues: the hook may not see that there was a watch, and the file goes away.
    ///
    /// Returns the pointer that was given to [`Registration::register`].
    pub(super) fn unlink(self) -> *mut Registration {
        // SAFETY: We hold the lock of the bucket of a registration that is linked.
        unsafe { self.registration.unlink(self.bucket) }
    }
}

impl Registration {
    /// Returns the pointer by which it was linked. `tools/model/src/last_close.rs` is a twin of this, of
    /// `register`, `file` and `on_last_close`: change both.
    ///
    /// # Safety
    ///
    /// `self` is linked in `bucket`, whose lock is held.
    unsafe fn unlink(&self, bucket: &Bucket) -> *mut Registration {
        // INVARIANT: Not linked, as below. From here on `file()` finds nothing. This comes before the
        // hook may see that there is no watch: so when the file is freed, a reader of its address here
        // did so in an RCU section that began before.
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

/// The hook's work: ends all watches of `file`. Process context; must not sleep but for a spinlock of
/// PREEMPT_RT, and there only while it is [`Inside`].
fn on_last_close(file: *mut bindings::file) {
    let Ok(bucket) = TABLE.bucket(TABLE.index(file)) else {
        return;
    };
    if !bucket.first.load(Acquire).is_null() {
        end_watches(file, bucket);
    }
}

/// Apart, so that the way of the files that nobody watches stays short.
#[cold]
#[inline(never)]
fn end_watches(file: *mut bindings::file, bucket: &Bucket) {
    let _inside = Inside::new();
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
                    if let Some(kind) = &*TABLE.kind.get() {
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

/// The notice is there from its making to its drop. There can be one.
///
/// It must outlive all watches. It is the module's, which can't be unloaded while there is an instance,
/// and watches are an instance's.
pub(crate) struct LastClose {
    // Dropped in this order.
    _hook: Hook,
    _claim: Claim,
}

/// The functions that may give notice. `__fput()` calls the latter two, whose only argument is a
/// `struct file *`; the first one is for tests of a hook that gives no notice: its first argument is a
/// `struct file *`, and it uses no other.
const FUNCTIONS: [&CStr; 3] = [
    c"noop_llseek",
    c"security_file_release",
    c"locks_remove_file",
];

/// The functions that are tried by default: a bit for each in [`FUNCTIONS`].
const DEFAULT_FUNCTIONS: u32 = 0b0110;
/// In the same word: by a direct call, where it need not be.
const DIRECT: u32 = 0b1000;

/// The table is ours to set up, and to take down.
///
/// # Invariants
///
/// The table's state is not `UNUSED`, and there is one claim.
struct Claim(());

impl Claim {
    /// EBUSY if there is one.
    fn new() -> Result<Self> {
        match TABLE.state.cmpxchg(UNUSED, CLAIMED, Acquire) {
            // INVARIANT: There was none.
            Ok(_) => Ok(Self(())),
            Err(_) => Err(EBUSY),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        TABLE.state.store(UNUSED, Release);
    }
}

impl LastClose {
    /// Sets up the table, for watches of the kind `id`, and registers a hook that was seen to work,
    /// on one of `functions` (a bit for each in [`FUNCTIONS`], and [`DIRECT`]; no function for the
    /// default). Sleeps, some 75 ms for each that is tried. EBUSY if there is a `LastClose`.
    ///
    /// `closed` is called by the hook for a registration that it has just unlinked, under the
    /// bucket's lock, with the pointer that was given to [`Registration::register`]. It must not
    /// sleep, and it takes over what the registration stood for.
    ///
    /// # Safety
    ///
    /// What is prepared as of the kind `id` is what `closed` may be called for.
    pub(super) unsafe fn register(
        id: TypeId,
        closed: unsafe fn(*mut Registration),
        functions: u32,
    ) -> Result<Self> {
        let claim = Claim::new()?;
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
        let hook = hook_first_of(functions, &claim)?;
        // SAFETY: In the state `VERIFYING` nobody else reads the kind, nor is a watch registered.
        unsafe { *TABLE.kind.get() = Some(Kind { id, closed }) };
        TABLE.state.store(READY, Release);
        Ok(Self {
            _hook: hook,
            _claim: claim,
        })
    }
}

impl Drop for LastClose {
    fn drop(&mut self) {
        if TABLE.has_watches() {
            pr_emerg!("bug: there are watches left: the module stays, rmmod hangs; reboot\n");
            hook::stay();
        }
    }
}

/// Hooks the first function of `functions` that gives notice.
fn hook_first_of(functions: u32, _claim: &Claim) -> Result<Hook> {
    let means = Means::new(functions & DIRECT != 0);
    let functions = match functions & !DIRECT {
        0 => DEFAULT_FUNCTIONS,
        functions => functions,
    };
    // With LTO each caller of `__fput()` may have an inlined copy or not: then a hook that
    // works for the caller tried here may not work for others.
    if cfg!(CONFIG_LTO) {
        return Err(refuse(None, means));
    }
    let mut refusal = Some(EINVAL);
    for (bit, function) in FUNCTIONS.into_iter().enumerate() {
        if functions & 1 << bit == 0 {
            continue;
        }
        // SAFETY: See `FUNCTIONS`. The holder of the claim has no other hook: one that does not become
        // the result is dropped here.
        let hook = unsafe { Hook::new(function, means) };
        match hook.and_then(|hook| Ok((verify()?, hook))) {
            Ok((true, hook)) => return Ok(hook),
            Ok((false, _)) => refusal = None,
            // That there was no notice says more.
            Err(e) => refusal = refusal.and(Some(e)),
        }
    }
    Err(refuse(refusal, means))
}

/// Says why there is no hook: for an error, or because no notice came.
fn refuse(error: Option<Error>, means: Means) -> Error {
    let direct = means == Means::Direct;
    match error {
        None => pr_err!(
            "this kernel gives no notice of a file's last close: use one built without LTO\n"
        ),
        Some(EINVAL) => pr_err!(
            "can't trace the last close of files: this kernel lacks security_file_release() and locks_remove_file()\n"
        ),
        Some(EOPNOTSUPP) => pr_err!(
            "with PREEMPT_RT the last close of files needs CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS\n"
        ),
        Some(EBUSY) if direct => pr_err!(
            "can't call from security_file_release() and locks_remove_file(): detach BPF programs (fentry, LSM) and livepatches from one; is kernel.ftrace_enabled 1?\n"
        ),
        Some(e) => {
            pr_err!("can't trace the last close of files ({e:?}): is kernel.ftrace_enabled 1?\n")
        }
    }
    error.unwrap_or(EOPNOTSUPP)
}

/// Whether the last close of a file ends a watch of it.
///
/// The file is new and only ours, so its last close happens here; unless another task, which
/// looks up another file by a pointer that has become this one, holds it for a moment. Hence
/// three attempts.
fn verify() -> Result<bool> {
    for _ in 0..3 {
        if verify_once()? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn verify_once() -> Result<bool> {
    // SAFETY: Name and operations are static; the operations, which are the kernel's, have no
    // use for private data.
    let file = from_err_ptr(unsafe {
        ext::anon_inode_getfile(
            c"[repoll-last-close]".as_char_ptr(),
            &raw const bindings::generic_ro_fops,
            ptr::null_mut(),
            bindings::O_RDONLY as c_int,
        )
    })?;
    let mut watch = Registration::new();
    watch.index.store(TABLE.index(file) as u32, Relaxed);
    let watch = &raw mut watch;
    // SAFETY: The file is ours. The watch is prepared for it, and in place until it is
    // unlinked, by the hook or below. There is no kind, so `closed` is not called for it. The
    // last reference is put, by a task that may sleep and holds no lock that the close of such
    // a file takes.
    unsafe {
        let registered = Registration::register(watch, LocalFile::from_raw_file(file), |_| Ok(()));
        bindings::__fput_sync(file);
        registered?;
    }
    // SAFETY: It is still in place.
    Ok(match unsafe { &*watch }.lock() {
        Some(linked) => {
            let _ = linked.unlink();
            false
        }
        None => true,
    })
}
