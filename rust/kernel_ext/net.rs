// SPDX-License-Identifier: GPL-2.0

//! Frames of a network interface, from the softirq in which its driver passes them up.
//!
//! C headers: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h),
//! [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)
//!
//! A safe form of what `net/packet/af_packet.c` does for a socket: `dev_add_pack()`, and a notifier
//! of the interface's end.
//!
//! # Examples
//!
//! ```
//! use crate::kernel_ext::{
//!     atomic::{ordering::Relaxed, Atomic},
//!     net::{Attachment, Frame, Net, Receiver},
//! };
//! use kernel::sync::Arc;
//!
//! struct Counter(Atomic<u64>);
//!
//! impl Receiver for Counter {
//!     fn receive(&self, _frame: &Frame<'_>) {
//!         self.0.fetch_add(1, Relaxed);
//!     }
//!
//!     fn unregistered(&self) {
//!         pr_info!("no more frames\n");
//!     }
//! }
//!
//! /// Counts the frames of eth0 until the result is dropped.
//! fn count() -> Result<Pin<KBox<Attachment<Counter>>>> {
//!     let net = Arc::new(Net::current()?, GFP_KERNEL)?;
//!     Attachment::new(net, c"eth0", 0x88b5, Counter(Atomic::new(0)))
//! }
//! ```

use super::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    bindings as ext, //
};
use core::{marker::PhantomData, ptr};
use kernel::{
    bindings,
    ffi::{c_int, c_ulong, c_void},
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// A counted reference to a network namespace, which does not go away while there is one.
///
/// # Invariants
///
/// Owns a reference to the namespace.
pub(crate) struct Net(*mut bindings::net);

// SAFETY: The reference may be dropped on any thread.
unsafe impl Send for Net {}
// SAFETY: A shared reference only gives read access to fields that do not change.
unsafe impl Sync for Net {}

impl Net {
    /// The current task's namespace. ESRCH in an exiting task that has put its namespaces already;
    /// a file's last close may run in such a task. Process context.
    pub(crate) fn current() -> Result<Self> {
        // SAFETY: Process context. Only the task itself changes its namespaces.
        let net = unsafe { ext::get_current_net() };
        if net.is_null() {
            return Err(ESRCH);
        }
        // INVARIANT: The reference is ours.
        Ok(Self(net))
    }

    /// Whether the current task has `CAP_NET_RAW` in the namespace. Process context.
    pub(crate) fn capable_raw(&self) -> bool {
        // SAFETY: The namespace is valid, by the type's invariants.
        unsafe { ext::net_capable_raw(self.0) }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // SAFETY: The reference is ours, by the type's invariants.
        unsafe { ext::put_net(self.0) };
    }
}

/// The RTNL mutex is held: interfaces are neither registered nor unregistered.
struct Rtnl(PhantomData<*mut ()>);

impl Rtnl {
    fn lock() -> Self {
        // SAFETY: Process context; unlocked by the same task, since the guard is not `Send`.
        unsafe { ext::rtnl_lock() };
        Self(PhantomData)
    }
}

impl Drop for Rtnl {
    fn drop(&mut self) {
        // SAFETY: Locked by `lock`.
        unsafe { ext::rtnl_unlock() };
    }
}

/// Receives the frames.
pub(crate) trait Receiver: Send + Sync + 'static {
    /// A frame has arrived. It may be shared, so it can only be read.
    ///
    /// Softirq (NET_RX), or a task with softirqs off; on several CPUs at the same time. Must not
    /// sleep.
    fn receive(&self, frame: &Frame<'_>);

    /// The interface is unregistered, or moves to another namespace. Called at most once, under the
    /// RTNL mutex: it may sleep, but must not wait for a task that waits for that mutex. A frame
    /// that another CPU is processing may still arrive after this.
    fn unregistered(&self);
}

/// A frame that has arrived, with its MAC header.
///
/// # Invariants
///
/// The `sk_buff` is valid, and has an Ethernet header before its data.
pub(crate) struct Frame<'a>(*mut bindings::sk_buff, PhantomData<&'a ()>);

impl Frame<'_> {
    /// The length in bytes, with the MAC header. (A tag that the driver stripped is not counted.)
    pub(crate) fn len(&self) -> usize {
        // SAFETY: By the type's invariants.
        unsafe { ext::frame_length(self.0) as usize }
    }

    /// Fills `to` with the beginning of the frame. False if it can't be read, or is shorter than
    /// `to`.
    pub(crate) fn copy_to(&self, to: &mut [u8]) -> bool {
        if to.len() > self.len() {
            return false;
        }
        // SAFETY: The frame is as long as `to`, which may be written.
        unsafe { ext::frame_copy(self.0, to.as_mut_ptr().cast(), to.len() as u32) }
    }
}

/// Receives the frames of one interface that have one EtherType.
///
/// # Invariants
///
/// - `interface` is accessed under the RTNL mutex only, which orders it. It is not null if and only
///   if `packet` is in the list of that interface's packet handlers. The interface is valid then:
///   before it is freed, `NETDEV_UNREGISTER` is sent to `notifier`, under that mutex.
/// - `notifier` is registered in `net` from the end of [`Attachment::new`] until the drop.
///
/// # No call comes after the drop
///
/// `packet_notifier()` and `packet_do_bind()` exclude each other by a spinlock, and by checking
/// whether the device is still listed. Here both the search for the interface, with
/// `dev_add_pack()`, and the notification of its end run under the RTNL mutex. A task that
/// unregisters an interface holds that mutex from the moment when the interface can no longer be
/// found until all notifications are sent. So either the search does not find the interface, or the
/// notification comes later, and finds `interface` set.
///
/// The drop removes the handler from its list, unless the notification has, and the notifier from
/// its chain, which is only walked under the RTNL mutex. Then it waits for all RCU sections that
/// had begun when the handler was removed: `receive` is only called in one.
#[repr(C)]
#[pin_data(PinnedDrop)]
pub(crate) struct Attachment<T: Receiver> {
    #[pin]
    packet: Opaque<ext::packet_type>,
    #[pin]
    notifier: Opaque<bindings::notifier_block>,
    interface: Atomic<*mut bindings::net_device>,
    net: Arc<Net>,
    receiver: T,
}

// SAFETY: May be dropped by another thread than it was made by.
unsafe impl<T: Receiver> Send for Attachment<T> {}
// SAFETY: A shared reference only gives access to the receiver, which is `Sync`.
unsafe impl<T: Receiver> Sync for Attachment<T> {}

impl<T: Receiver> Attachment<T> {
    /// Passes the frames of an interface to `receiver`.
    ///
    /// ENODEV if there is no interface of that name in `net`; EINVAL if it has no Ethernet header,
    /// or if `ethertype` is a length or one of Linux's own protocols (below 0x0600); ENOMEM.
    /// Process context, sleeps.
    pub(crate) fn new(
        net: Arc<Net>,
        name: &CStr,
        ethertype: u16,
        receiver: T,
    ) -> Result<Pin<KBox<Self>>> {
        if u32::from(ethertype) < ext::FIRST_ETHERTYPE {
            return Err(EINVAL);
        }
        let this = KBox::pin_init(
            pin_init!(Self {
                packet <- Opaque::ffi_init(|slot: *mut ext::packet_type| {
                    let mut packet: ext::packet_type = pin_init::zeroed();
                    // SAFETY: No requirements.
                    packet.type_ = unsafe { ext::htons(ethertype) };
                    packet.func = Some(Self::receive);
                    // SAFETY: `slot` is valid for writes.
                    unsafe { slot.write(packet) };
                }),
                notifier <- Opaque::ffi_init(|slot: *mut bindings::notifier_block| {
                    let mut notifier: bindings::notifier_block = pin_init::zeroed();
                    notifier.notifier_call = Some(Self::netdev_event);
                    // SAFETY: `slot` is valid for writes.
                    unsafe { slot.write(notifier) };
                }),
                interface: Atomic::new(ptr::null_mut()),
                net,
                receiver,
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        // SAFETY: The namespace is valid, and the notifier stays in place until the drop removes it
        // from the chain (which is an error that does no harm if this fails). It is called for each
        // existing interface at once, and ignores that, as none is its own yet.
        kernel::error::to_result(unsafe {
            ext::register_netdevice_notifier_net(this.net.0, this.notifier())
        })?;
        this.attach(name)?;
        Ok(this)
    }

    /// The handler, as a pointer that may be used to access the whole attachment.
    fn packet(&self) -> *mut ext::packet_type {
        // CAST: It is the first field, and the attachment is `repr(C)`.
        ptr::from_ref(self).cast_mut().cast()
    }

    /// The notifier, as a pointer that may be used to access the whole attachment.
    fn notifier(&self) -> *mut bindings::notifier_block {
        let this = ptr::from_ref(self).cast_mut();
        // SAFETY: The attachment is valid.
        Opaque::cast_into(unsafe { &raw const (*this).notifier })
    }

    /// Finds the interface, and adds the handler to its list.
    fn attach(&self, name: &CStr) -> Result {
        let _rtnl = Rtnl::lock();
        // SAFETY: The namespace is valid, and the RTNL mutex is held.
        let interface = unsafe { ext::__dev_get_by_name(self.net.0, name.as_char_ptr()) };
        if interface.is_null() {
            return Err(ENODEV);
        }
        // SAFETY: The interface is valid while the RTNL mutex is held.
        if !unsafe { ext::is_ethernet(interface) } {
            return Err(EINVAL);
        }
        // INVARIANT: Under the RTNL mutex; the handler is added to the list.
        // SAFETY: The handler is in no list yet, and stays in place until it is in none.
        unsafe {
            (*self.packet()).dev = interface;
            ext::dev_add_pack(self.packet());
        }
        self.interface.store(interface, Relaxed);
        Ok(())
    }

    /// Removes the handler from its list. Returns whether it was in one. It may still be running.
    fn detach(&self, _rtnl: &Rtnl) -> bool {
        // INVARIANT: Under the RTNL mutex; the handler is removed from the list.
        if self.interface.load(Relaxed).is_null() {
            return false;
        }
        self.interface.store(ptr::null_mut(), Relaxed);
        // SAFETY: The handler is in the list, and its interface is valid, by the type's invariants.
        unsafe { ext::__dev_remove_pack(self.packet()) };
        true
    }

    /// # Safety
    ///
    /// Called by the network core in an RCU section, for the `packet` of an attachment, with a
    /// reference to `skb`.
    unsafe extern "C" fn receive(
        skb: *mut bindings::sk_buff,
        _dev: *mut bindings::net_device,
        packet: *mut ext::packet_type,
        _orig_dev: *mut bindings::net_device,
    ) -> c_int {
        // CAST: `packet` is the first field of an `Attachment`, which is `repr(C)`.
        // SAFETY: The drop waits for the end of the RCU section.
        let this = unsafe { &*packet.cast::<Self>() };
        // SAFETY: The reference to the `sk_buff` is ours.
        unsafe {
            if ext::frame_is_ethernet(skb) {
                // INVARIANT: It has an Ethernet header before its data, as was just checked.
                this.receiver.receive(&Frame(skb, PhantomData));
            }
            ext::consume_skb(skb);
        }
        0
    }

    /// # Safety
    ///
    /// Called by the network core under the RTNL mutex, for the `notifier` of an attachment.
    unsafe extern "C" fn netdev_event(
        notifier: *mut bindings::notifier_block,
        event: c_ulong,
        info: *mut c_void,
    ) -> c_int {
        if event as u64 == ext::NETDEV_UNREGISTER as u64 {
            // SAFETY: The notifier is that of an attachment, which removes it from the chain before
            // it is freed.
            let this =
                unsafe { &*kernel::container_of!(Opaque::cast_from(notifier), Self, notifier) };
            // SAFETY: `info` is that of a notification about an interface.
            let interface = unsafe { ext::notified_device(info) };
            if ptr::eq(this.interface.load(Relaxed), interface) {
                // The caller has locked the mutex, so the guard must not unlock it.
                let rtnl = core::mem::ManuallyDrop::new(Rtnl(PhantomData));
                this.detach(&rtnl);
                this.receiver.unregistered();
            }
        }
        bindings::NOTIFY_DONE as c_int
    }
}

#[pinned_drop]
impl<T: Receiver> PinnedDrop for Attachment<T> {
    fn drop(self: Pin<&mut Self>) {
        self.detach(&Rtnl::lock());
        // SAFETY: The namespace is valid. No notification is under way when this returns. Those
        // that unregistering makes up ignore the interface, which is null.
        unsafe {
            ext::unregister_netdevice_notifier_net(self.net.0, self.notifier());
            ext::synchronize_net();
        }
    }
}
