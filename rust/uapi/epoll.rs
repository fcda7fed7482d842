// SPDX-License-Identifier: GPL-2.0

//! The `EPOLL*` bits that the multiplexer itself looks at.

use crate::kernel_ext::bindings as ext;

/// There is something to read.
pub(crate) const IN: u32 = ext::IN;
/// There is room to write.
pub(crate) const OUT: u32 = ext::OUT;
/// There is ordinary data to read.
pub(crate) const RDNORM: u32 = ext::RDNORM;
/// The file is in error.
pub(crate) const ERR: u32 = ext::ERR;
/// Always of interest, asked for or not.
pub(crate) const ALWAYS: u32 = ERR | ext::HUP;
/// The waker is io_uring: told on to pollers, so that a ring and an instance that watch each other
/// do not wake each other for ever.
pub(crate) const URING_WAKE: u32 = ext::URING_WAKE;
/// Of the instances that watch a file so, wake at least one, and no more than it takes.
pub(crate) const EXCLUSIVE: u32 = ext::EXCLUSIVE;
/// Keep the system from suspending. Taken as by a caller without `CAP_BLOCK_SUSPEND`: ignored.
pub(crate) const WAKEUP: u32 = ext::WAKEUP;
/// Report once, until MOD.
pub(crate) const ONESHOT: u32 = ext::ONESHOT;
/// Report changes, not states.
pub(crate) const ET: u32 = ext::ET;
/// What may be asked for together with [`EXCLUSIVE`].
pub(crate) const EXCLUSIVE_OK: u32 = IN | OUT | ALWAYS | WAKEUP | ET | EXCLUSIVE;
/// What is not an event but a wish. All that is left of the events when ONESHOT has fired.
pub(crate) const PRIVATE: u32 = WAKEUP | ONESHOT | ET | EXCLUSIVE;

/// Whether a wake-up for the events `woken` concerns an item that wants `wanted`; else what to tell the
/// tracepoint. 0: the waker did not say what there is.
#[inline]
pub(crate) fn match_wake(wanted: u32, woken: u32) -> Result<(), u32> {
    if wanted & !PRIVATE == 0 {
        return Err(ext::REPOLL_CB_DISARMED);
    }
    if woken != 0 && woken & wanted == 0 {
        return Err(ext::REPOLL_CB_MISMATCH);
    }
    Ok(())
}

/// Whether a wake-up for the events `woken` is used up by an exclusive item that wants `wanted`, given
/// that a waiter was woken for it. As `ep_poll_callback()`: not if it is for readers and writers at
/// once, since others may want the other half.
pub(crate) fn uses_up(wanted: u32, woken: u32) -> bool {
    match woken & (IN | OUT) {
        0 => true,
        IN => wanted & IN != 0,
        OUT => wanted & OUT != 0,
        _ => false,
    }
}
