// SPDX-License-Identifier: GPL-2.0

//! A timer that feeds a queue, from its interrupt: a hard interrupt, or a softirq on PREEMPT_RT.
//!
//! Unlike a timerfd, which counts unread expiries, each expiry is a message: its number, from 1. An
//! expiry that is late by a whole period or more is skipped, and leaves a gap in the numbers; so
//! does an expiry without room in the queue.
//!
//! # The pace
//!
//! An expiry wakes all pollers of the file in its interrupt. No process is charged for that time:
//! the process that started the timer may sleep. So all timers of a user share a [`Throttle`]: an
//! expiry that comes in a rest is postponed to the end of the rest. It is then late, or is skipped
//! if the next one is due as well.
//!
//! The timer is set again *after* the work, to a time after the end of the work. Otherwise, with
//! work that takes longer than the period, `hrtimer_interrupt()` would find the timer due again and
//! run it again in the same interrupt, up to three times.
//!
//! [`Throttle`]: super::throttle::Throttle
//!
//! # The end
//!
//! A timer does not change: a new period makes a new timer. [`Running`] is the one reference to it
//! besides the interrupt's own. Its drop waits until a running interrupt has returned, as
//! `timerfd_release()` does with `hrtimer_cancel()`. It waits under `Source::feeds`, which the
//! interrupt never takes.

use super::{
    queue::{
        Kind,
        Queue, //
    },
    throttle::Turn,
    usage::{
        Account,
        TimerCharge, //
    }, //
};
use crate::kernel_ext::atomic::{
    ordering::Relaxed,
    Atomic, //
};
use crate::uapi::{
    args::repoll_source_timer,
    REPOLL_SOURCE_MAX_TIMERS,
    REPOLL_SOURCE_MIN_PERIOD, //
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
        Instant,
        Monotonic, //
    }, //
};

/// A timer that runs, or has reached its last expiry.
pub(super) struct Running {
    /// Ends the timer. Dropped first.
    _handle: ArcHrTimerHandle<Timer>,
    /// In nanoseconds.
    pub(super) period: u64,
    charge: Arc<TimerCharge>,
}

impl Running {
    /// Starts a timer that feeds `queue`, in place of the `previous` one. `period` must not be 0.
    ///
    /// EINVAL if the period is more than 292 years, ENOSPC if the user has too many timers, ENOMEM.
    /// On an error the previous timer keeps running. Process context, sleeps.
    pub(super) fn start(
        queue: &Arc<Queue>,
        setting: &repoll_source_timer,
        previous: &mut Option<Running>,
    ) -> Result {
        let period = setting.period.max(REPOLL_SOURCE_MIN_PERIOD.into());
        let delta = Delta::from_nanos(i64::try_from(period).map_err(|_| EINVAL)?);
        let charge = match previous {
            Some(running) => running.charge.clone(),
            None => {
                let account = Account::of_current_user()?;
                let charge = account.charge_timer(REPOLL_SOURCE_MAX_TIMERS.into())?;
                Arc::new(charge, GFP_KERNEL_ACCOUNT)?
            }
        };
        let timer_charge = charge.clone();
        let timer = Arc::pin_init(
            pin_init!(Timer {
                timer <- HrTimer::new(),
                queue: queue.clone(),
                charge: timer_charge,
                period: delta,
                count: setting.count,
                expired: Atomic::new(0),
                late: Atomic::new(0),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        // The previous timer has ended when its handle is dropped.
        drop(previous.take());
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
    /// Dropped in process context, as the timer is: the interrupt has no reference of its own.
    charge: Arc<TimerCharge>,
    period: Delta,
    /// The number of expiries after which it ends; 0 for no end.
    count: u64,
    /// The number of expiries so far. Only the interrupt uses it: on one CPU at a time, and each is
    /// ordered after the previous one by the lock of the timer base, which `hrtimer` takes before
    /// and after.
    expired: Atomic<u64>,
    /// The number of nanoseconds by which the next message is postponed: it was due that long
    /// before the time that the timer is set to. Only the interrupt uses it, as above.
    late: Atomic<i64>,
}

impl Timer {
    /// The number of nanoseconds since the next message was due. Only for the interrupt.
    fn overdue(&self, now: Instant<Monotonic>) -> i64 {
        let past = (now - self.timer.expires()).as_nanos();
        past.saturating_add(self.late.load(Relaxed)).max(0)
    }

    /// Sets the timer to a time that is `after` nanoseconds after the next message was due, and is
    /// in the future. That message is due then, or was due `late` nanoseconds before.
    fn postpone(
        &self,
        context: &mut HrTimerCallbackContext<'_, Self>,
        now: Instant<Monotonic>,
        after: i64,
        late: i64,
    ) {
        let interval = after.saturating_sub(self.late.load(Relaxed));
        self.late.store(late, Relaxed);
        // Moves the expiry forward once: then it is later than now.
        context.forward(now, Delta::from_nanos(interval));
    }
}

impl_has_hr_timer! {
    // A hard interrupt; a softirq on PREEMPT_RT, as the mode does not ask for a hard one.
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
        let work = match this.charge.throttle().begin() {
            Turn::Work(work) => work,
            Turn::Rest(rest) => {
                let now = Instant::now();
                let after = this.overdue(now).saturating_add(rest);
                this.postpone(&mut context, now, after, after);
                return HrTimerRestart::Restart;
            }
        };
        let period = this.period.as_nanos();
        // This expiry and the skipped ones.
        let passed = this.overdue(Instant::now()) / period + 1;
        let mut expired = this.expired.load(Relaxed).wrapping_add(passed as u64);
        if this.count != 0 {
            expired = expired.min(this.count);
        }
        this.expired.store(expired, Relaxed);
        this.queue.arrive(Kind::Timer, size_of::<u64>(), |bytes| {
            bytes.copy_from_slice(&expired.to_ne_bytes());
            true
        });
        let rest = work.end();
        if expired == this.count {
            return HrTimerRestart::NoRestart;
        }
        // The first multiple of the period after now, and after the end of the rest.
        let now = Instant::now();
        let periods = (this.overdue(now).saturating_add(rest) / period + 1).max(passed);
        let late = (periods - passed).saturating_mul(period);
        this.postpone(&mut context, now, periods.saturating_mul(period), late);
        HrTimerRestart::Restart
    }
}
