// SPDX-License-Identifier: GPL-2.0

//! A timer that feeds a queue, from its hard interrupt.
//!
//! Unlike a timerfd, which counts what was not read, each expiry is a message: which one it is, from 1. An
//! expiry that came too late to be told from the next one is skipped, and leaves a gap in the numbers; so
//! does one for which there was no room.
//!
//! # The end
//!
//! A timer does not change: another period makes another timer. [`Running`] is the one reference to it
//! besides the interrupt's own, and its drop waits until the interrupt, if it is running, has
//! returned, as `timerfd_release()` does with `hrtimer_cancel()`. It waits under `Source::feeds`, which
//! the interrupt never takes.

use super::queue::{
    Kind,
    Queue, //
};
use crate::kernel_ext::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    bindings as ext,
    user::{
        TimerCharge,
        User, //
    },
    user_args::repoll_source_timer, //
};
use kernel::{
    impl_has_hr_timer,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeMode, //
        },
        Delta,
        Monotonic, //
    }, //
};

/// A timer that runs, or has come to its end.
pub(super) struct Running {
    /// Ends the timer. Dropped first.
    _handle: ArcHrTimerHandle<Timer>,
    /// In nanoseconds.
    pub(super) period: u64,
    charge: TimerCharge,
}

impl Running {
    /// Starts a timer that feeds `queue`, in place of the `previous` one. `period` must not be 0.
    ///
    /// EINVAL if the period is more than 292 years, ENOSPC if the user has too many timers, ENOMEM; then
    /// the previous timer goes on. Process context, sleeps.
    pub(super) fn start(
        queue: &Arc<Queue>,
        setting: &repoll_source_timer,
        previous: &mut Option<Running>,
    ) -> Result {
        let period = setting.period.max(ext::REPOLL_SOURCE_MIN_PERIOD.into());
        let delta = Delta::from_nanos(i64::try_from(period).map_err(|_| EINVAL)?);
        let timer = Arc::pin_init(
            pin_init!(Timer {
                timer <- HrTimer::new(),
                queue: queue.clone(),
                period: delta,
                count: setting.count,
                expired: Atomic::new(0),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let charge = match previous.take() {
            // Drops the handle: the previous timer has ended then.
            Some(Running { charge, .. }) => charge,
            None => User::current()?.charge_timer(ext::REPOLL_SOURCE_MAX_TIMERS)?,
        };
        *previous = Some(Running {
            _handle: timer.start(delta),
            period,
            charge,
        });
        Ok(())
    }
}

#[pin_data]
struct Timer {
    #[pin]
    timer: HrTimer<Self>,
    queue: Arc<Queue>,
    period: Delta,
    /// How often it is to expire; 0 for no end.
    count: u64,
    /// How often it has. Only the interrupt changes it.
    expired: Atomic<u64>,
}

impl_has_hr_timer! {
    // A hard interrupt; a softirq on a PREEMPT_RT kernel.
    impl HasHrTimer<Self> for Timer {
        mode: RelativeMode<Monotonic>, field: self.timer
    }
}

impl HrTimerCallback for Timer {
    type Pointer<'a> = Arc<Self>;

    fn run(
        this: ArcBorrow<'_, Self>,
        mut context: HrTimerCallbackContext<'_, Self>,
    ) -> HrTimerRestart {
        // Past now: so however late we are, and however slow, the CPU does something else in between.
        let passed = context.forward_now(this.period);
        let mut expired = this.expired.load(Relaxed).wrapping_add(passed);
        if this.count != 0 {
            expired = expired.min(this.count);
        }
        this.expired.store(expired, Relaxed);
        this.queue.arrive(Kind::Timer, size_of::<u64>(), |bytes| {
            bytes.copy_from_slice(&expired.to_ne_bytes());
            true
        });
        if expired == this.count {
            HrTimerRestart::NoRestart
        } else {
            HrTimerRestart::Restart
        }
    }
}
