// SPDX-License-Identifier: GPL-2.0

//! `kernel_ext::atomic`, built on loom's types, for the module's files that use it.
//!
//! The names are the same, and each order is C11's. `Full` is acquire and release with a fence on
//! either side, as loom takes `SeqCst` accesses for `AcqRel`. A test may take an order away
//! ([`check::weakened`](super::check::weakened)).

use super::check::{full_barrier, has, Turns, Weakness};
use loom::sync::atomic::{AtomicU64, Ordering as Order};
use std::marker::PhantomData;

pub(crate) mod ordering {
    use super::{has, Order, Weakness};

    pub(crate) trait Ordering: Copy {
        /// The order in C11, and whether it is a full barrier.
        const ORDER: (Order, bool);

        fn order(self) -> Order {
            match Self::ORDER.0 {
                Order::Acquire if has(Weakness::Acquire) => Order::Relaxed,
                Order::Release if has(Weakness::Release) => Order::Relaxed,
                order => order,
            }
        }
    }

    macro_rules! orderings {
        ($($name:ident, $order:ident, $full:literal;)*) => {$(
            #[derive(Clone, Copy)]
            pub(crate) struct $name;
            impl Ordering for $name {
                const ORDER: (Order, bool) = (Order::$order, $full);
            }
        )*};
    }

    orderings! {
        Relaxed, Relaxed, false;
        Acquire, Acquire, false;
        Release, Release, false;
    }
}

/// A value that an [`Atomic`] can hold.
pub(crate) trait Value: Copy {
    fn to_bits(self) -> u64;
    fn from_bits(bits: u64) -> Self;
}

macro_rules! values {
    ($([$($generic:tt)*] $type:ty;)*) => {$(
        impl<$($generic)*> Value for $type {
            fn to_bits(self) -> u64 {
                self as u64
            }
            fn from_bits(bits: u64) -> Self {
                bits as Self
            }
        }
    )*};
}

values! {
    [] u32;
    [] u64;
    [] i64;
    [T] *mut T;
}

pub(crate) struct Atomic<T>(AtomicU64, Turns, PhantomData<T>);

// SAFETY: All accesses are atomic; a pointer is only a value here.
unsafe impl<T> Send for Atomic<T> {}
// SAFETY: As above.
unsafe impl<T> Sync for Atomic<T> {}

impl<T: Value> Atomic<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(AtomicU64::new(value.to_bits()), Turns::new(), PhantomData)
    }

    pub(crate) fn load<O: ordering::Ordering>(&self, order: O) -> T {
        self.1.turn();
        T::from_bits(self.0.load(order.order()))
    }

    fn modify<O: ordering::Ordering>(
        &self,
        order: O,
        change: impl Fn(u64) -> Option<u64>,
        at_once: impl FnOnce(&AtomicU64, Order) -> Result<u64, u64>,
    ) -> Result<T, T> {
        let barrier = || O::ORDER.1.then(full_barrier);
        barrier();
        self.1.turn();
        let result = if has(Weakness::Atomicity) {
            let old = self.0.load(Order::Acquire);
            change(old).map_or(Err(old), |new| {
                self.1.turn();
                self.0.store(new, Order::Release);
                Ok(old)
            })
        } else {
            at_once(&self.0, order.order())
        };
        barrier();
        result.map(T::from_bits).map_err(T::from_bits)
    }

    pub(crate) fn xchg<O: ordering::Ordering>(&self, new: T, order: O) -> T {
        let new = new.to_bits();
        let result = self.modify(
            order,
            |_| Some(new),
            |word, order| Ok(word.swap(new, order)),
        );
        result.unwrap_or_else(|found| found)
    }

    pub(crate) fn cmpxchg<O: ordering::Ordering>(&self, old: T, new: T, order: O) -> Result<T, T> {
        let (old, new) = (old.to_bits(), new.to_bits());
        self.modify(
            order,
            |found| (found == old).then_some(new),
            |word, order| word.compare_exchange(old, new, order, Order::Relaxed),
        )
    }

    pub(crate) fn fetch_add<O: ordering::Ordering>(&self, n: T, order: O) -> T {
        let n = n.to_bits();
        let result = self.modify(
            order,
            |found| Some(found.wrapping_add(n)),
            |word, order| Ok(word.fetch_add(n, order)),
        );
        result.unwrap_or_else(|found| found)
    }
}
