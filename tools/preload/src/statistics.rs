// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts calls by outcome, for `repoll-exec --stats`.
//!
//! The counters are in a page that `repoll-exec` shares with all processes of the program. A
//! process opens the page by its path, so the program has no descriptor for it, and no count is
//! lost when a process forks, executes another program or is killed. A program that is executed as
//! another user, or with another `/proc`, is not counted.

use crate::{notice, raw};
use core::ffi::CStr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering::Relaxed};
use libc::c_long;

/// The environment variable with the path of the file of [`Counters`].
pub const VARIABLE: &CStr = c"REPOLL_STATS";

/// Kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `epoll_create`, `epoll_create1`.
    Create,
    /// `epoll_ctl`.
    Ctl,
    /// `epoll_wait`, `epoll_pwait`, `epoll_pwait2`.
    Wait,
    /// `select`, `pselect`.
    Select,
    /// `poll`, `ppoll`.
    Poll,
}

impl Call {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Create,
        Self::Ctl,
        Self::Wait,
        Self::Select,
        Self::Poll,
    ];

    /// Whether the call is one of epoll's.
    pub fn is_epoll(self) -> bool {
        matches!(self, Self::Create | Self::Ctl | Self::Wait)
    }
}

/// The outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An instance of repoll carried it.
    Carried,
    /// It was left to the kernel, because `/dev/repoll` could not be opened or used.
    NoDevice,
    /// It was left to the kernel, because the process has a seccomp filter.
    Filtered,
    /// It was left to the C epoll, because the descriptor is not an instance.
    NotOurs,
    /// It failed before either: not a descriptor, or a bad argument.
    Refused,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 5] = [
        Self::Carried,
        Self::NoDevice,
        Self::Filtered,
        Self::NotOurs,
        Self::Refused,
    ];
}

/// The counters, in a shared page.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Counters {
    /// The number of programs that have loaded the library.
    pub programs: AtomicU64,
    /// The number of seccomp filters that were installed.
    pub filters: AtomicU64,
    /// The number of io_uring rings that were refused.
    pub rings: AtomicU64,
    /// The most recent errno of a device that could not be opened or used.
    pub device_error: AtomicI32,
    calls: [[AtomicU64; Outcome::ALL.len()]; Call::ALL.len()],
}

impl Counters {
    /// The number of calls of a kind with an outcome.
    pub fn of(&self, call: Call, outcome: Outcome) -> u64 {
        self.calls[call as usize][outcome as usize].load(Relaxed)
    }

    fn count(&self, call: Call, outcome: Outcome) {
        self.calls[call as usize][outcome as usize].fetch_add(1, Relaxed);
    }
}

static COUNTERS: AtomicPtr<Counters> = AtomicPtr::new(core::ptr::null_mut());

/// Maps the file that the environment names, if it names one. Must be called before the program
/// runs.
pub fn attach() {
    let Some(path) = raw::environment_c(VARIABLE) else {
        return;
    };
    let fd = raw::open(path);
    if fd < 0 {
        return;
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let arguments = [
        0,
        size_of::<Counters>() as c_long,
        protection.into(),
        libc::MAP_SHARED.into(),
        fd,
        0,
    ];
    // SAFETY: new memory, at an address that the kernel chooses.
    let address = unsafe { raw::call(libc::SYS_mmap, arguments) };
    raw::close(fd as i32);
    if address > 0 {
        COUNTERS.store(address as *mut Counters, Relaxed);
        add(|counters| &counters.programs);
    }
}

#[inline]
fn counters() -> Option<&'static Counters> {
    // SAFETY: the pointer is null or to a page that is never unmapped; any bytes are valid
    // `Counters`.
    unsafe { COUNTERS.load(Relaxed).as_ref() }
}

#[inline]
pub(crate) fn count(call: Call, outcome: Outcome) {
    if let Some(counters) = counters() {
        counters.count(call, outcome);
    }
}

#[cold]
fn add(counter: impl Fn(&Counters) -> &AtomicU64) {
    if let Some(counters) = counters() {
        counter(counters).fetch_add(1, Relaxed);
    }
}

/// Counts a seccomp filter.
pub(crate) fn sandboxed() {
    add(|counters| &counters.filters);
}

/// Counts a refused ring of io_uring.
pub(crate) fn ring_refused() {
    add(|counters| &counters.rings);
}

/// Records `result`, the reason why the device can't be opened or used.
#[cold]
pub(crate) fn no_device(result: c_long) {
    if let Some(counters) = counters() {
        counters.device_error.store(-result as i32, Relaxed);
    }
    notice::no_device(-result as i32);
}
