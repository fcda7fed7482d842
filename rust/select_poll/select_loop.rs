// SPDX-License-Identifier: GPL-2.0

//! The loop that SELECT and POLL share: poll all files, sleep, poll all files again.
//!
//! This is the cost of the two older multiplexers. Each call, however many files are ready, copies
//! the caller's whole list in, polls each file, adds an entry to its wait queue, polls each file
//! again after each wake-up, and removes the entries. [`Counts`] has the numbers.
//!
//! The C side is `do_select()` and `do_poll()` in `fs/select.c`. Busy polling of network devices is
//! left out.

use crate::kernel_ext::{
    fdget::Files,
    hrtimeout::{
        Deadline,
        Timeout, //
    },
    poll_wqueues::{
        EntryWakeUp,
        Observer,
        PollWqueues, //
    },
    signal,
    task,
    uaccess::write_words, //
};
use crate::trace::{
    constants::{
        REPOLL_CALL_POLL,
        REPOLL_CALL_SELECT, //
    },
    is_on,
    record,
    trace, //
};
use crate::uapi::counts::{
    with_counts,
    Counts, //
};
use kernel::prelude::*;

/// The time that a call may wait, once it has begun.
pub(super) enum Limit {
    /// It does not sleep.
    Zero,
    /// Until this deadline.
    Until(Deadline),
    /// Without limit.
    Never,
}

impl Limit {
    fn begin(timeout: Timeout) -> Self {
        match (timeout, timeout.deadline()) {
            (Timeout::Zero, _) => Self::Zero,
            (_, Some(deadline)) => Self::Until(deadline),
            (_, None) => Self::Never,
        }
    }

    fn deadline(&self) -> Option<&Deadline> {
        match self {
            Self::Until(deadline) => Some(deadline),
            _ => None,
        }
    }
}

/// A call, as the tracepoints name it.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum CallKind {
    Select = REPOLL_CALL_SELECT,
    Poll = REPOLL_CALL_POLL,
}

/// A call, by the ioctl or the system call.
pub(super) struct Call {
    pub(super) kind: CallKind,
    pub(super) nfds: u32,
    pub(super) timeout: Timeout,
}

/// The arguments that both ioctls have.
pub(super) struct IoctlCall {
    pub(super) call: Call,
    pub(super) flags: u32,
    /// The address of the caller's `timeout`.
    pub(super) timeout_address: u64,
    pub(super) sigmask: u64,
    pub(super) sigsetsize: u64,
    pub(super) counts: u64,
    pub(super) counts_size: u64,
}

impl IoctlCall {
    /// Runs the call: `body` is the part that differs between the two.
    ///
    /// A signal ends it with ERESTARTNOHAND: EINTR if a handler runs, else the kernel restarts the
    /// whole call, with the timeout that is in the caller's memory then. So the remaining time is
    /// written there. (poll(2) uses a restart function instead. A module must not: the function may
    /// be called after the module is gone.)
    pub(super) fn run(
        &self,
        body: impl FnOnce(&Limit, &mut Counts) -> Result<usize>,
    ) -> Result<isize> {
        if self.flags != 0 {
            return Err(EINVAL);
        }
        with_counts(self.counts, self.counts_size, |counts| {
            self.run_counted(counts, body)
        })
        .map(|ready| ready as isize)
    }

    fn run_counted(
        &self,
        counts: &mut Counts,
        body: impl FnOnce(&Limit, &mut Counts) -> Result<usize>,
    ) -> Result<usize> {
        let limit = Limit::begin(self.call.timeout);
        let mut result =
            signal::with_user_sigmask(self.sigmask, self.sigsetsize, || body(&limit, counts));
        if let Limit::Until(deadline) = &limit {
            let written = !task::sticky_timeouts()
                && write_words(self.timeout_address, &[deadline.left() as u64]).is_ok();
            if !written && matches!(result, Err(e) if e == ERESTARTNOHAND) {
                result = Err(EINTR);
            }
        }
        self.call.trace_result(result, counts);
        result
    }
}

impl Call {
    /// Runs the system call, as [`IoctlCall::run`]. The kernel has read the timeout, and set the
    /// signal mask; it undoes that, and restarts the call.
    pub(super) fn run(
        &self,
        body: impl FnOnce(&Limit, &mut Counts) -> Result<usize>,
    ) -> Result<usize> {
        let mut counts = Counts::default();
        let result = body(&Limit::begin(self.timeout), &mut counts);
        self.trace_result(result, &counts);
        result
    }

    fn trace_result(&self, result: Result<usize>, counts: &Counts) {
        trace!(select_result(
            task::pid(),
            self.kind as u32,
            result.map_or_else(|e| e.to_errno(), |ready| ready as i32),
            counts,
        ));
    }

    /// Records that the arguments are read, and that the files are polled next.
    pub(super) fn trace_setup(&self, bytes_in: u64) {
        trace!(select_setup(
            task::pid(),
            self.kind as u32,
            self.nfds,
            bytes_in,
            self.timeout.left()
        ));
    }
}

/// Records the wake-ups of a call's entries.
struct Traced;

impl Observer for Traced {
    #[inline]
    fn called(wake: impl FnOnce() -> EntryWakeUp) {
        // Not `trace!`: all arguments are of one value, which is read while the tracepoint is on.
        if is_on::select_wake() {
            let wake = wake();
            record::select_wake(wake.pid, wake.fd, wake.events, wake.matches.into());
        }
    }
}

/// One pass over the files.
pub(super) struct Pass<'a> {
    files: &'a Files,
    queues: Pin<&'a PollWqueues<Traced>>,
    polled: u32,
    ready: usize,
}

impl Pass<'_> {
    /// Polls the file that is open as `fd` for `events`. The result may have other events too;
    /// `None` if no such file is open.
    #[inline]
    pub(super) fn poll(&mut self, fd: i32, events: u32) -> Option<u32> {
        let file = self.files.get(fd).ok()?;
        let ready = self.queues.poll(&file, fd, events);
        trace!(select_poll(task::pid(), fd, events, ready));
        self.polled += 1;
        Some(ready)
    }

    /// Counts a result. So the call will not sleep, and needs no further entries.
    #[inline]
    pub(super) fn found(&mut self) {
        self.ready += 1;
        self.queues.stop_adding();
    }
}

/// Makes passes over the files until one has [found](Pass::found) a result; returns the number of
/// results.
///
/// 0 at the time-out, ERESTARTNOHAND on a signal, ENOMEM without memory for the entries. A result
/// takes precedence over all these. Process context, sleeps.
pub(super) fn poll_until_ready(
    files: &Files,
    limit: &Limit,
    counts: &mut Counts,
    pass: impl FnMut(&mut Pass<'_>),
) -> Result<usize> {
    PollWqueues::with(|queues| poll_with(queues, files, limit, counts, pass))
}

#[inline]
fn poll_with(
    queues: Pin<&PollWqueues<Traced>>,
    files: &Files,
    limit: &Limit,
    counts: &mut Counts,
    mut pass: impl FnMut(&mut Pass<'_>),
) -> Result<usize> {
    let mut timed_out = matches!(limit, Limit::Zero);
    if timed_out {
        queues.stop_adding();
    }
    let result = loop {
        let mut this = Pass {
            files,
            queues,
            polled: 0,
            ready: 0,
        };
        pass(&mut this);
        // Each file has its entries now.
        queues.stop_adding();
        let Pass { polled, ready, .. } = this;
        counts.passed(polled as usize, 0);
        trace!(select_pass(
            task::pid(),
            counts.passes as u32,
            polled,
            queues.added(),
            ready as u32,
        ));
        if ready != 0 {
            break Ok(ready);
        }
        if signal::signal_pending() {
            break Err(ERESTARTNOHAND);
        }
        if queues.is_out_of_memory() {
            break Err(ENOMEM);
        }
        if timed_out {
            break Ok(0);
        }
        counts.sleeps += 1;
        trace!(select_sleep(
            task::pid(),
            counts.sleeps as u32,
            queues.wakeups()
        ));
        timed_out = !queues.sleep(limit.deadline());
    };
    counts.added = queues.added().into();
    counts.wakeups = queues.wakeups().into();
    result
}
