// SPDX-License-Identifier: GPL-2.0

//! A function that runs later, in process context.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)
//!
//! As `kernel::workqueue`, whose items are allocated: one that is static can be scheduled where
//! nothing can be allocated.

use super::{
    atomic::{
        ordering::{Acquire, Relaxed, Release},
        Atomic, //
    },
    bindings as ext, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    prelude::*,
    types::Opaque, //
};

/// The function of a [`Work`].
pub(crate) trait Job: 'static {
    /// Process context, on a worker of the system's queue. Never runs twice at a time.
    fn run();
}

/// [`Work::start`] has not been called.
const IDLE: u32 = 0;
/// [`Work::start`] is initialising the item.
const STARTING: u32 = 1;
/// The item is initialised, for as long as the module exists.
const STARTED: u32 = 2;

/// A job in a static.
///
/// # Examples
///
/// ```
/// use crate::kernel_ext::work::{Job, Work, Worker};
///
/// static WORK: Work<Clean> = Work::new();
///
/// struct Clean;
///
/// impl Job for Clean {
///     fn run() {
///         pr_info!("cleaned\n");
///     }
/// }
///
/// fn start() -> Result<Worker<Clean>> {
///     WORK.start()
/// }
///
/// fn clean_later() {
///     WORK.schedule();
/// }
/// ```
///
/// # Invariants
///
/// `state` goes from [`IDLE`] to [`STARTING`], and on to [`STARTED`], where it stays. `item` is
/// initialised when it is `STARTED`.
pub(crate) struct Work<J: Job> {
    state: Atomic<u32>,
    item: Opaque<bindings::work_struct>,
    _job: PhantomData<fn() -> J>,
}

// SAFETY: The item is accessed by the kernel's workqueues, with their own locks, once it is
// initialised. One thread initialises it.
unsafe impl<J: Job> Sync for Work<J> {}

/// # Safety
///
/// Called by a workqueue.
unsafe extern "C" fn run<J: Job>(_work: *mut bindings::work_struct) {
    J::run();
}

impl<J: Job> Work<J> {
    /// A job that can't be scheduled yet.
    pub(crate) const fn new() -> Self {
        Self {
            state: Atomic::new(IDLE),
            item: Opaque::zeroed(),
            _job: PhantomData,
        }
    }

    /// Allows the job to be scheduled, until the result is dropped. Once only: EBUSY afterwards.
    pub(crate) fn start(&'static self) -> Result<Worker<J>> {
        if self.state.cmpxchg(IDLE, STARTING, Relaxed).is_err() {
            return Err(EBUSY);
        }
        // SAFETY: The item is static, and ours until the state changes, by the type's invariants.
        unsafe { ext::init_work(self.item.get(), Some(run::<J>)) };
        // INVARIANT: It is initialised.
        self.state.store(STARTED, Release);
        Ok(Worker(self))
    }

    /// Schedules a run of the job that begins after this call. Does nothing if one is scheduled
    /// already, before [`Work::start`], after its result was dropped, and in an NMI. Any context.
    pub(crate) fn schedule(&'static self) {
        if self.state.load(Acquire) == STARTED {
            // SAFETY: The item is static, and initialised, by the type's invariants.
            unsafe { ext::schedule_work(self.item.get()) };
        }
    }
}

/// While this exists, the job can be scheduled.
///
/// # Invariants
///
/// The item is initialised, and has not been disabled.
pub(crate) struct Worker<J: Job>(&'static Work<J>);

impl<J: Job> Drop for Worker<J> {
    /// Cancels a run that has not begun, and waits until one that has begun returns. Sleeps.
    fn drop(&mut self) {
        // SAFETY: The item is initialised, by the type's invariants. Process context, and not in
        // the job itself, which has no `Worker`. A disabled item can't be queued any more.
        unsafe { ext::disable_work_sync(self.0.item.get()) };
    }
}
