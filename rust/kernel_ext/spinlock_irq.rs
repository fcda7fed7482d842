// SPDX-License-Identifier: GPL-2.0

//! `kernel::sync::SpinLockIrq`, for kernels that lack it: see [`drift`](super::drift).
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)
//!
//! A spinlock for any context: while it is held, interrupts are off on its CPU. The guard can't
//! keep the flags of `spin_lock_irqsave()`: safe code may drop two guards in the order in which it
//! took them, and the first drop would turn interrupts on under the second lock. So the helpers
//! count the held locks per CPU. The last unlock restores the flags that the first lock saved, as
//! `local_interrupt_disable()` does in kernels that have it.

use super::bindings as ext;
use kernel::{
    bindings,
    ffi::c_char,
    sync::lock::{
        Backend,
        Lock, //
    }, //
};

/// A lock that is taken with interrupts off.
pub(crate) type SpinLockIrq<T> = Lock<T, SpinLockIrqBackend>;

/// The initialiser of a [`SpinLockIrq`], with a lockdep class of its own at each place that it is
/// called from.
macro_rules! new_spinlock_irq {
    ($inner:expr, $name:literal) => {
        $crate::kernel_ext::drift::SpinLockIrq::new(
            $inner,
            ::kernel::optional_name!($name),
            ::kernel::static_lock_class!(),
        )
    };
}
pub(crate) use new_spinlock_irq;

/// `spin_lock()` with interrupts off.
pub(crate) struct SpinLockIrqBackend;

// SAFETY: `spinlock_t` excludes other CPUs, and with interrupts off (or on PREEMPT_RT, where
// interrupt handlers are threads, as any lock) what interrupts this CPU. `relock` is the default,
// which calls `lock`.
unsafe impl Backend for SpinLockIrqBackend {
    type State = bindings::spinlock_t;
    type GuardState = ();

    unsafe fn init(ptr: *mut Self::State, name: *const c_char, key: *mut bindings::lock_class_key) {
        // SAFETY: By the contract `ptr` is valid for writes, and `name` and `key` stay valid.
        unsafe { bindings::__spin_lock_init(ptr, name, key) }
    }

    unsafe fn lock(ptr: *mut Self::State) {
        // SAFETY: By the contract the lock is initialised.
        unsafe { ext::spin_lock_irq_disable(ptr) }
    }

    unsafe fn unlock(ptr: *mut Self::State, (): &Self::GuardState) {
        // SAFETY: By the contract the caller owns the lock. It is on the CPU that counted it: a
        // guard is not `Send`, and to sleep with interrupts off is a bug.
        unsafe { ext::spin_unlock_irq_enable(ptr) }
    }

    unsafe fn try_lock(ptr: *mut Self::State) -> Option<()> {
        // SAFETY: By the contract the lock is initialised.
        unsafe { ext::spin_trylock_irq_disable(ptr) }.then_some(())
    }

    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: By the contract the lock is initialised.
        unsafe { bindings::spin_assert_is_held(ptr) }
    }
}
