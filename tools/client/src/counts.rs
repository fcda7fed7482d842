// SPDX-License-Identifier: MIT OR Apache-2.0
//! The counters of one call.

use crate::sys::repoll_counts;
use std::mem::offset_of;

/// The counts of one call. The kernel clears them when the call begins and fills them in when it
/// ends, whether or not it succeeds.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes read from the caller's sets or array.
    pub bytes_in: u64,
    /// Bytes written to the caller's sets or array.
    pub bytes_out: u64,
    /// Passes over the files; for a wait, over the ready queue.
    pub passes: u64,
    /// Files polled for their state, in all passes.
    pub polled: u64,
    /// Files polled in the first pass.
    pub polled_first: u64,
    /// Files polled in the last pass.
    pub polled_last: u64,
    /// Entries put into the files' wait queues, and removed before the call returned.
    pub added: u64,
    /// Wake-ups of the call's entries, for events that it wants; for a wait, wake-ups of the task
    /// by the instance.
    pub wakeups: u64,
    /// Times that the call slept.
    pub sleeps: u64,
}

impl Counts {
    /// The address and size by which an argument asks for counts; zero for none.
    pub(crate) fn place(counts: Option<&mut Self>) -> (u64, u64) {
        let size = size_of::<Self>() as u64;
        counts.map_or((0, 0), |counts| (std::ptr::from_mut(counts) as u64, size))
    }
}

/// The kernel fills in a `repoll_counts`: the same fields at the same places.
macro_rules! same_layout {
    ($($field:ident),+) => {
        const _: () = {
            $(assert!(offset_of!(Counts, $field) == offset_of!(repoll_counts, $field));)+
            assert!(size_of::<Counts>() == size_of::<repoll_counts>());
        };
    };
}

same_layout!(
    bytes_in,
    bytes_out,
    passes,
    polled,
    polled_first,
    polled_last,
    added,
    wakeups,
    sleeps
);
