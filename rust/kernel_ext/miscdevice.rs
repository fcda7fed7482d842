// SPDX-License-Identifier: GPL-2.0

//! A misc device whose open files can be polled.
//!
//! C header: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h)
//!
//! As `kernel::miscdevice`, which has no `->poll` and no `->fasync` yet. An operation that a
//! [`MiscDevice`] leaves out is a null pointer in its `struct file_operations`, so it costs
//! nothing.
//!
//! # Examples
//!
//! A device that is readable while a counter is not zero:
//!
//! ```
//! use crate::kernel_ext::{
//!     atomic::{ordering::Relaxed, Atomic},
//!     bindings::EPOLLIN,
//!     miscdevice::{register, MiscDevice},
//!     poll_table::PollTable,
//!     wait_queue::{new_wait_queue, WaitQueue},
//! };
//! use kernel::{
//!     fs::File,
//!     sync::{Arc, ArcBorrow},
//! };
//!
//! #[pin_data]
//! struct Counter {
//!     count: Atomic<u32>,
//!     #[pin]
//!     pollers: WaitQueue,
//! }
//!
//! #[vtable]
//! impl MiscDevice for Counter {
//!     const NAME: &'static CStr = c"counter";
//!
//!     fn open() -> Result<Arc<Self>> {
//!         Arc::pin_init(
//!             pin_init!(Self {
//!                 count: Atomic::new(0),
//!                 pollers <- new_wait_queue!("Counter::pollers"),
//!             }),
//!             GFP_KERNEL_ACCOUNT,
//!         )
//!     }
//!
//!     fn poll(this: ArcBorrow<'_, Self>, table: &PollTable<'_>) -> u32 {
//!         // First register, then read: a change in between wakes the poller.
//!         register(table, &*this, |counter| &counter.pollers);
//!         if this.count.load(Relaxed) != 0 { EPOLLIN } else { 0 }
//!     }
//!
//!     fn ioctl(this: ArcBorrow<'_, Self>, _file: &File, _cmd: u32, _arg: usize) -> Result<isize> {
//!         this.count.fetch_add(1, Relaxed);
//!         this.pollers.wake_up_poll(EPOLLIN, 0);
//!         Ok(0)
//!     }
//! }
//! ```

use super::{
    atomic::{
        ordering::{Acquire, Release},
        Atomic, //
    },
    bindings as ext,
    drift::THIS_MODULE,
    fasync::Fasync,
    poll_table::PollTable,
    wait_queue::WaitQueue, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::{
        to_result,
        VTABLE_DEFAULT_ERROR, //
    },
    ffi::{c_int, c_long, c_uint, c_ulong, c_void},
    fs::{
        File,
        LocalFile, //
    },
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    prelude::*,
    seq_file::SeqFile,
    sync::{
        Arc,
        ArcBorrow, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    }, //
};

/// A kind of file, and its operations.
///
/// All operations are called in process context. The module can't be unloaded while a file is open.
///
/// A file that can be read or written is a stream: it has no position. With `nonblock`
/// (`O_NONBLOCK`, `RWF_NOWAIT`, io_uring) a read or write must not sleep. So io_uring needs no
/// worker thread for it.
#[vtable]
pub(crate) trait MiscDevice: Sized + Send + Sync + 'static {
    /// The device's name in `/dev`.
    const NAME: &'static CStr;

    /// `open(2)`: makes the private data of the new file.
    fn open() -> Result<Arc<Self>>;

    /// The last reference to the file was put.
    fn release(this: Arc<Self>) {
        drop(this);
    }

    /// `poll(2)` and similar calls: [`register`]s the poller, and returns the file's `EPOLL*` bits.
    fn poll(this: ArcBorrow<'_, Self>, table: &PollTable<'_>) -> u32;

    /// `ioctl(2)`. The argument of a 32-bit caller is a pointer too.
    fn ioctl(this: ArcBorrow<'_, Self>, file: &File, cmd: u32, arg: usize) -> Result<isize>;

    /// `read(2)`, `readv(2)`, io_uring's read: fills `to`, and returns the number of bytes.
    fn read_iter(
        _this: ArcBorrow<'_, Self>,
        _nonblock: bool,
        _to: &mut IovIterDest<'_>,
    ) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// `write(2)`, `writev(2)`, io_uring's write: takes bytes out of `from`, and returns their
    /// number.
    fn write_iter(
        _this: ArcBorrow<'_, Self>,
        _nonblock: bool,
        _from: &mut IovIterSource<'_>,
    ) -> Result<usize> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The list of processes that get a signal when the file becomes ready (`O_ASYNC`). Called once
    /// for each open file, which keeps the reference.
    fn fasync(&self) -> &Fasync {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The file operations of this kind, by which [`get`] identifies its files. A kind has them in
    /// a static of its own if other code compares them too.
    fn operations() -> &'static Operations<Self> {
        &FileOps::<Self>::OPERATIONS
    }

    /// Prints lines of `/proc/PID/fdinfo/N`, besides those of all files.
    fn show_fdinfo(_this: ArcBorrow<'_, Self>, _out: &SeqFile) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The private data of `file`, if it is of the kind `T`.
pub(crate) fn get<T: MiscDevice>(file: &LocalFile) -> Option<ArcBorrow<'_, T>> {
    // SAFETY: The file is alive, and its operations do not change.
    let ours = core::ptr::eq(unsafe { (*file.as_ptr()).f_op }, FileOps::<T>::build());
    // SAFETY: It is an open file of this kind for as long as it is borrowed.
    ours.then(|| unsafe { FileOps::<T>::device(file.as_ptr()) })
}

/// Registers the poller of `device`'s file with the queue that `queue` returns, which then wakes
/// it. Does nothing if the table is that of another file.
pub(crate) fn register<T: MiscDevice>(
    table: &PollTable<'_>,
    device: &T,
    queue: for<'a> fn(&'a T) -> &'a WaitQueue,
) {
    if get::<T>(table.file()).is_some_and(|polled| core::ptr::eq(&*polled, device)) {
        // SAFETY: By the type of `queue`, the queue lives as long as the device, to which the file
        // has a reference until it is released.
        unsafe { table.register(queue(device)) };
    }
}

/// The private data of an open file of a kind that has signals. That of the other kinds is the
/// [`Arc`].
///
/// # Invariants
///
/// `fasync` is borrowed from `device`, which is shared, and lives as long as this does.
struct Opened<T: MiscDevice> {
    device: Arc<T>,
    fasync: NonNull<Fasync>,
}

/// The table of the file operations of the kind `T`.
#[repr(transparent)]
pub(crate) struct Operations<T: MiscDevice>(bindings::file_operations, PhantomData<T>);

// SAFETY: The table is constant.
unsafe impl<T: MiscDevice> Sync for Operations<T> {}

impl<T: MiscDevice> Operations<T> {
    /// The table, for a static.
    pub(crate) const fn new() -> Self {
        Self(FileOps::<T>::OPS, PhantomData)
    }
}

/// The file operations of the kind `T`.
pub(super) struct FileOps<T: MiscDevice>(PhantomData<T>);

/// `function`, if `implemented`.
macro_rules! optional {
    ($implemented:ident, $function:expr) => {
        if T::$implemented {
            Some($function)
        } else {
            None
        }
    };
}

impl<T: MiscDevice> FileOps<T> {
    /// Whether files of this kind can be read or written.
    pub(super) const IS_STREAM: bool = T::HAS_READ_ITER || T::HAS_WRITE_ITER;

    const OPS: bindings::file_operations = bindings::file_operations {
        owner: THIS_MODULE,
        open: Some(Self::open),
        release: Some(Self::release),
        poll: Some(Self::poll),
        unlocked_ioctl: Some(Self::ioctl),
        #[cfg(CONFIG_COMPAT)]
        compat_ioctl: bindings::compat_ptr_ioctl,
        #[cfg(CONFIG_PROC_FS)]
        show_fdinfo: optional!(HAS_SHOW_FDINFO, Self::show_fdinfo),
        read_iter: optional!(HAS_READ_ITER, Self::read_iter),
        splice_read: optional!(HAS_READ_ITER, bindings::copy_splice_read),
        write_iter: optional!(HAS_WRITE_ITER, Self::write_iter),
        fasync: optional!(HAS_FASYNC, Self::fasync),
        llseek: Some(bindings::noop_llseek),
        ..pin_init::zeroed()
    };

    /// The default table. (The kernel compiles a crate as one unit of code, so there is one per
    /// kind. With a second copy, [`get`] would return `None` for files of this kind.)
    const OPERATIONS: Operations<T> = Operations::new();

    /// The table: one per kind.
    pub(super) fn build() -> &'static bindings::file_operations {
        &T::operations().0
    }

    /// Makes the private data of a new file. On ENOMEM `device` is released.
    fn to_private(device: Arc<T>) -> Result<*mut c_void> {
        if !T::HAS_FASYNC {
            return Ok(device.into_foreign());
        }
        match KBox::new_uninit(GFP_KERNEL_ACCOUNT) {
            Ok(room) => {
                // INVARIANT: By the type of `T::fasync` the list is borrowed from the device.
                let fasync = NonNull::from(device.fasync());
                Ok(KBox::into_raw(KBox::write(room, Opened { device, fasync })).cast())
            }
            Err(e) => {
                T::release(device);
                Err(e.into())
            }
        }
    }

    /// # Safety
    ///
    /// `private` is of [`FileOps::to_private`], and not used any more.
    unsafe fn from_private(private: *mut c_void) -> Arc<T> {
        // SAFETY: By the contract.
        unsafe {
            if T::HAS_FASYNC {
                let Opened { device, .. } = KBox::into_inner(KBox::from_raw(private.cast()));
                device
            } else {
                <Arc<T> as ForeignOwnable>::from_foreign(private)
            }
        }
    }

    /// # Safety
    ///
    /// Called by `misc_open()` for a file that is being opened, whose private data is the device
    /// that a [`MiscDeviceRegistration`] registered.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // CAST: The device is the first field of a `MiscDeviceRegistration`, which is `repr(C)`.
        // SAFETY: It is not deregistered, nor its memory freed, during the call: see
        // `MiscDeviceRegistration`.
        let registration = unsafe { &*(*file).private_data.cast::<MiscDeviceRegistration<T>>() };
        if !registration.live.load(Acquire) {
            return ENODEV.to_errno();
        }
        match T::open().and_then(Self::to_private) {
            Ok(private) => {
                // SAFETY: The private data of a file that is being opened is its driver's.
                unsafe { (*file).private_data = private };
                if Self::IS_STREAM {
                    // SAFETY: Nobody else has the file yet. stream_open() always succeeds.
                    unsafe {
                        bindings::stream_open(inode, file);
                        (*file).f_mode |= ext::FMODE_NOWAIT;
                    }
                }
                0
            }
            Err(e) => e.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS, once, for a file of this kind that nobody uses any more.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `open` or `anon_inode::getfd` stored the private data, and nobody borrows it.
        T::release(unsafe { Self::from_private((*file).private_data) });
        0
    }

    /// # Safety
    ///
    /// `file` is an open file of this kind, and stays so for `'a`.
    unsafe fn device<'a>(file: *mut bindings::file) -> ArcBorrow<'a, T> {
        // SAFETY: `open` or `anon_inode::getfd` stored the private data.
        unsafe {
            let private = (*file).private_data;
            if T::HAS_FASYNC {
                (*private.cast::<Opened<T>>()).device.as_arc_borrow()
            } else {
                <Arc<T> as ForeignOwnable>::borrow(private)
            }
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for an open file of this kind.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table_struct,
    ) -> bindings::__poll_t {
        // SAFETY: The file is open for the duration of the call; no fdget_pos() is involved.
        let (device, file) = unsafe { (Self::device(file), File::from_raw_file(file)) };
        // SAFETY: The table is null or valid for the call, and made for this file.
        T::poll(device, &unsafe { PollTable::from_raw(file, table) })
    }

    /// # Safety
    ///
    /// Called by the VFS for an open file of this kind.
    unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: The file is open for the duration of the call; no fdget_pos() is involved.
        let (device, file) = unsafe { (Self::device(file), File::from_raw_file(file)) };
        match T::ioctl(device, file, cmd, arg) {
            Ok(ret) => ret as c_long,
            Err(e) => e.to_errno() as c_long,
        }
    }

    /// # Safety
    ///
    /// `kiocb` is that of a call on an open file of this kind, and valid for `'a`.
    unsafe fn call<'a>(kiocb: *mut bindings::kiocb) -> (ArcBorrow<'a, T>, bool) {
        // SAFETY: The file stays open, with its private data, for the duration of the call.
        unsafe {
            let nonblock = (*kiocb).ki_flags & ext::IOCB_NOWAIT != 0
                || (*(*kiocb).ki_filp).f_flags & bindings::O_NONBLOCK != 0;
            (Self::device((*kiocb).ki_filp), nonblock)
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for an open file of this kind, with a valid destination.
    unsafe extern "C" fn read_iter(
        kiocb: *mut bindings::kiocb,
        to: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: By the contract; `to` is ours alone for the duration of the call.
        let ((device, nonblock), to) = unsafe { (Self::call(kiocb), IovIterDest::from_raw(to)) };
        match T::read_iter(device, nonblock, to) {
            Ok(length) => length as isize,
            Err(e) => e.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for an open file of this kind, with a valid source.
    unsafe extern "C" fn write_iter(
        kiocb: *mut bindings::kiocb,
        from: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: By the contract; `from` is ours alone for the duration of the call.
        let ((device, nonblock), from) =
            unsafe { (Self::call(kiocb), IovIterSource::from_raw(from)) };
        match T::write_iter(device, nonblock, from) {
            Ok(length) => length as isize,
            Err(e) => e.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// Called by the VFS for an open file of this kind, also at its last close, if it sends
    /// signals.
    unsafe extern "C" fn fasync(fd: c_int, file: *mut bindings::file, on: c_int) -> c_int {
        // SAFETY: The file has its private data until it is released, which comes after this; the
        // kind has signals, so it is an `Opened<T>`, whose list is valid.
        let list = unsafe { (*(*file).private_data.cast::<Opened<T>>()).fasync.as_ref() };
        // SAFETY: The file is valid. The VFS removes it from the list, this one each time, before
        // it is released.
        unsafe { list.change(fd, file, on) }
    }

    /// # Safety
    ///
    /// Called by procfs for an open file of this kind, with a `seq_file` to write to.
    #[cfg(CONFIG_PROC_FS)]
    unsafe extern "C" fn show_fdinfo(out: *mut bindings::seq_file, file: *mut bindings::file) {
        // SAFETY: The file is open, and `out` is ours to write to, for the duration of the call.
        let (device, out) = unsafe { (Self::device(file), SeqFile::from_raw(out)) };
        T::show_fdinfo(device, out);
    }
}

/// The registration of the device `/dev/NAME`.
///
/// # No open file outlives a load that fails
///
/// An open during the module's initialisation takes a reference to the module. That does not help
/// if the initialisation fails: the kernel then frees the module whatever its count is. So
///
/// - opens fail with ENODEV, as if the device did not exist yet, until
///   [`MiscDeviceRegistration::go_live`], which the module calls after the last step that can fail;
/// - the drop, in an initialisation, waits until the module's count is that of the initialisation
///   alone. `misc_open()` takes its reference, and calls our `open`, under the mutex that
///   `misc_deregister()` takes too. So after that no new reference is taken, and each existing one
///   belongs to an open that is failing, or to a file. A failing open puts its reference after its
///   last use of the file's operations, which are ours. So the drop may return then.
///   (`module_put()` itself may still run then, as in the unloading of any module.)
///
/// The wait alone makes every use sound. A call of `go_live` at the end only makes the wait short,
/// since before it there are no files that users could keep open.
///
/// # Invariants
///
/// `device` is first, and registered.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub(crate) struct MiscDeviceRegistration<T: MiscDevice> {
    #[pin]
    device: Opaque<bindings::miscdevice>,
    live: Atomic<bool>,
    _kind: PhantomData<T>,
}

// SAFETY: May be deregistered by another thread than it was registered by.
unsafe impl<T: MiscDevice> Send for MiscDeviceRegistration<T> {}
// SAFETY: Nothing can be done with a shared reference.
unsafe impl<T: MiscDevice> Sync for MiscDeviceRegistration<T> {}

impl<T: MiscDevice> MiscDeviceRegistration<T> {
    /// Makes the device. Only its owner, root, may open it; udev or another program may change
    /// that. Opens fail before [`MiscDeviceRegistration::go_live`].
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // Initialised before the device, which can be found as soon as it is registered.
            live: Atomic::new(false),
            // INVARIANT: The device is registered if this succeeds.
            device <- Opaque::try_ffi_init(|slot: *mut bindings::miscdevice| {
                let mut device: bindings::miscdevice = pin_init::zeroed();
                device.minor = bindings::MISC_DYNAMIC_MINOR as c_int;
                device.name = T::NAME.as_char_ptr();
                device.fops = FileOps::<T>::build();
                // SAFETY: `slot` is valid for writes, and pinned until it is deregistered.
                unsafe {
                    slot.write(device);
                    to_result(bindings::misc_register(slot))
                }
            }),
            _kind: PhantomData,
        })
    }

    /// Allows opens. Call it after the last step of the module's initialisation that can fail.
    /// Release: an open, which acquires, sees everything that the initialisation has made.
    /// `tools/model/src/publish.rs` is a twin: change both.
    pub(crate) fn go_live(&self) {
        self.live.store(true, Release);
    }
}

#[pinned_drop]
impl<T: MiscDevice> PinnedDrop for MiscDeviceRegistration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The device is registered, by the type's invariants.
        unsafe { bindings::misc_deregister(self.device.get()) };
        // SAFETY: The module is ours, so it is loaded.
        while unsafe { ext::module_init_is_shared(THIS_MODULE) } {
            // SAFETY: Process context. An idle sleep: no hung task.
            unsafe { bindings::schedule_timeout_idle(1) };
        }
    }
}
