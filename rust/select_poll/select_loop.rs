// SPDX-License-Identifier: GPL-2.0

//! What SELECT and POLL share: they go through all files, sleep, and go through all of them again.
//!
//! This is what the two older multiplexers cost: per call, whatever is ready, the caller's whole list
//! is copied in, each file is polled, an entry is put into its wait queue, each file is polled again
//! after each wake-up, and the entries are taken out again. [`Counts`] has the numbers.
//!
//! The C side is `do_select()` and `do_poll()` in `fs/select.c`. Busy polling of network devices is
//! left out.

#![forbid(unsafe_code)]

use crate::trace::trace;
use crate::{
    kernel_ext::{
        fdget::Files,
        hrtimeout::Deadline,
        poll_wqueues::{EntryWakeUp, Observer, PollWqueues},
        signal,
        task,
        uaccess::write_words, //
    },
    select_poll::counts::{
        reported, //
        Counts,
    }, //
};
use kernel::prelude::*;

/// How long a call waits at the most.
pub(crate) enum Timeout {
    /// It only looks.
    Zero,
    /// Until then.
    At(Deadline),
    /// For ever.
    Never,
}

impl Timeout {
    fn after(nanoseconds: i64) -> Self {
        match nanoseconds {
            0 => Self::Zero,
            1.. => Self::At(Deadline::after(nanoseconds)),
            _ => Self::Never,
        }
    }

    fn deadline(&self) -> Option<&Deadline> {
        match self {
            Self::At(deadline) => Some(deadline),
            _ => None,
        }
    }
}

/// The arguments that both calls have.
pub(crate) struct Call {
    /// Which one it is, for the tracepoints.
    pub(crate) kind: u32,
    pub(crate) nfds: u32,
    pub(crate) flags: u32,
    pub(crate) timeout: i64,
    /// Where userspace has its `timeout`.
    pub(crate) timeout_address: u64,
    pub(crate) sigmask: u64,
    pub(crate) sigsetsize: u64,
    pub(crate) counts: u64,
    pub(crate) counts_size: u64,
}

impl Call {
    /// Makes the call, of which `body` is the part that is not the same for both.
    ///
    /// A signal ends it with ERESTARTNOHAND: EINTR if a handler runs; else the kernel makes the whole
    /// call again, with the time limit that is in the caller's memory then. So what is left of it is
    /// written there. (poll(2) does this by a restart function instead, which must not be in a module:
    /// it may be called after the module is gone.)
    pub(crate) fn make(
        &self,
        body: impl FnOnce(&Timeout, &mut Counts) -> Result<usize>,
    ) -> Result<isize> {
        if self.flags != 0 {
            return Err(EINVAL);
        }
        reported(self.counts, self.counts_size, |counts| {
            self.counted(counts, body)
        })
        .map(|ready| ready as isize)
    }

    fn counted(
        &self,
        counts: &mut Counts,
        body: impl FnOnce(&Timeout, &mut Counts) -> Result<usize>,
    ) -> Result<usize> {
        let timeout = Timeout::after(self.timeout);
        let mut result =
            signal::with_user_sigmask(self.sigmask, self.sigsetsize, || body(&timeout, counts));
        if let Timeout::At(deadline) = &timeout {
            let written = !task::sticky_timeouts()
                && write_words(self.timeout_address, &[deadline.left() as u64]).is_ok();
            if !written && matches!(result, Err(e) if e == ERESTARTNOHAND) {
                result = Err(EINTR);
            }
        }
        trace!(select_result(
            task::pid(),
            self.kind,
            result.map_or_else(|e| e.to_errno(), |ready| ready as i32),
            counts,
        ));
        result
    }

    /// Tells the tracepoint that all is read, and that the files are next.
    pub(crate) fn trace_setup(&self, bytes_in: u64) {
        trace!(select_setup(
            task::pid(),
            self.kind,
            self.nfds,
            bytes_in,
            self.timeout
        ));
    }
}

/// Traces the wake-ups of a call.
struct Traced;

impl Observer for Traced {
    #[inline]
    fn called(wake: EntryWakeUp) {
        trace!(select_wake(
            wake.pid,
            wake.fd,
            wake.events,
            wake.matches.into()
        ));
    }
}

/// One way through the files.
pub(crate) struct Pass<'a> {
    files: &'a Files,
    queues: Pin<&'a PollWqueues<Traced>>,
    polled: u32,
    ready: usize,
}

impl Pass<'_> {
    /// What the file that is open as `fd` is ready for, of `events` and perhaps more; `None` if there
    /// is no such file.
    #[inline]
    pub(crate) fn poll(&mut self, fd: i32, events: u32) -> Option<u32> {
        let file = self.files.get(fd).ok()?;
        let ready = self.queues.poll(&file, fd, events);
        trace!(select_poll(task::pid(), fd, events, ready));
        self.polled += 1;
        Some(ready)
    }

    /// Something is ready: so the call will not sleep, and needs no further entries.
    #[inline]
    pub(crate) fn found(&mut self) {
        self.ready += 1;
        self.queues.stop_adding();
    }
}

/// Goes through the files by `pass` until it has [found](Pass::found) something; returns how much.
///
/// 0 when the time is up, ERESTARTNOHAND on a signal, ENOMEM if there is no memory for the entries. What
/// is ready comes before all these. Process context, sleeps.
pub(crate) fn scan(
    files: &Files,
    timeout: &Timeout,
    counts: &mut Counts,
    pass: impl FnMut(&mut Pass<'_>),
) -> Result<usize> {
    PollWqueues::with(|queues| scan_with(queues, files, timeout, counts, pass))
}

#[inline]
fn scan_with(
    queues: Pin<&PollWqueues<Traced>>,
    files: &Files,
    timeout: &Timeout,
    counts: &mut Counts,
    mut pass: impl FnMut(&mut Pass<'_>),
) -> Result<usize> {
    let mut timed_out = matches!(timeout, Timeout::Zero);
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
        // All files have had their chance.
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
        timed_out = !queues.sleep(timeout.deadline());
    };
    counts.added = queues.added().into();
    counts.wakeups = queues.wakeups().into();
    result
}
