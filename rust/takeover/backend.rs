// SPDX-License-Identifier: GPL-2.0

//! The functions of the kernel that are replaced: their gates, and their arguments in C.
//!
//! Each function has a gate (`gates.c`) and a server here, a C function that the gate calls. There
//! are two kinds:
//!
//! - Functions that get an instance. The caller holds the instance's file, or, for
//!   `do_epoll_wait()`, the server does; the file holds the module. The gates of
//!   `do_epoll_ctl_file()`, `epoll_sendevents()` and `get_epoll_tfile_raw_ptr()` compare the file's
//!   operations, which never change. The gate of `do_epoll_wait()` has a descriptor only, and
//!   guesses. Its server decides on the file that it then uses.
//! - Functions that ask the policy: `do_epoll_create()`, `do_select()`, `do_sys_poll()`. The server
//!   takes a reference to the module. Nothing sleeps before that, or after the reference was put.
//!
//! A server that returns [`NOT_OURS`] has done nothing: the gate goes on with the function itself.

use super::{
    policy::{
        takes_over,
        Call, //
    },
    serve, //
};
use crate::eventpoll::{
    Eventpoll,
    OPERATIONS, //
};
use crate::kernel_ext::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    bindings as ext,
    fdget::Files,
    hrtimeout::Timeout,
    miscdevice,
    module_ref::ModuleRef,
    replacement::{
        self,
        Gate,
        Means,
        Replacement, //
    }, //
};
use crate::uapi::{
    REPOLL_TAKEOVER_FTRACE_OPS,
    REPOLL_TAKEOVER_JUMP,
    REPOLL_TAKEOVER_UNAVAILABLE, //
};
use core::{
    arch::global_asm,
    slice, //
};
use kernel::{
    bindings,
    ffi::{c_int, c_long, c_uint, c_ulong, c_void},
    fs::{
        File,
        LocalFile, //
    },
    prelude::*,
    sync::ArcBorrow, //
};

pub(super) use replacement::{
    wait_for_gates,
    Refusal, //
};

/// Declares the gates that `gates.c` defines. `rust/Makefile` passes the cfg for a function of
/// another prototype than the one in `takeover/prototypes`.
macro_rules! gates {
    ($($gate:ident = $function:literal, $other:ident: $entry:ident, $set_site:ident;)*) => {
        extern "C" {$(
            fn $entry();
            fn $set_site(site: c_ulong);
        )*}
        // SAFETY: `gates.c` defines each gate, for this function, and nobody else has them. A
        // function with another prototype is never replaced. The servers, below, hold the module
        // when they sleep. The drop of `Takeover` calls `wait_for_gates()`.
        $(static $gate: Gate = unsafe {
            Gate::new($function, $entry, $set_site, !cfg!($other))
        };)*
    };
}

gates! {
    CREATE = c"do_epoll_create", OTHER_PROTOTYPE_do_epoll_create:
        repoll_gate_create, repoll_gate_create_set_site;
    CTL = c"do_epoll_ctl_file", OTHER_PROTOTYPE_do_epoll_ctl_file:
        repoll_gate_ctl, repoll_gate_ctl_set_site;
    WAIT = c"do_epoll_wait", OTHER_PROTOTYPE_do_epoll_wait:
        repoll_gate_wait, repoll_gate_wait_set_site;
    SEND_EVENTS = c"epoll_sendevents", OTHER_PROTOTYPE_epoll_sendevents:
        repoll_gate_send_events, repoll_gate_send_events_set_site;
    TARGET = c"get_epoll_tfile_raw_ptr", OTHER_PROTOTYPE_get_epoll_tfile_raw_ptr:
        repoll_gate_target, repoll_gate_target_set_site;
    SELECT = c"do_select", OTHER_PROTOTYPE_do_select:
        repoll_gate_select, repoll_gate_select_set_site;
    POLL = c"do_sys_poll", OTHER_PROTOTYPE_do_sys_poll:
        repoll_gate_poll, repoll_gate_poll_set_site;
}

// The operations of this module's instances, by which the gates identify them.
global_asm!(
    ".globl repoll_takeover_fops",
    ".set repoll_takeover_fops, {}",
    sym OPERATIONS,
);

/// The means that worked last: `REPOLL_TAKEOVER_*`.
static MEANS: Atomic<u32> = Atomic::new(REPOLL_TAKEOVER_UNAVAILABLE);

/// Whether functions are replaced by redirections also where jumps work: for tests.
static AVOIDS_JUMPS: Atomic<bool> = Atomic::new(false);

/// Does without jumps from now on.
pub(crate) fn avoid_jumps() {
    AVOIDS_JUMPS.store(true, Relaxed);
}

/// The means that functions are replaced by.
pub(super) fn means() -> u32 {
    MEANS.load(Relaxed)
}

/// Replaces a function by a jump; if this kernel has no such jumps, by a redirection.
fn replace(gate: &'static Gate) -> Result<Replacement, Refusal> {
    let jump = if AVOIDS_JUMPS.load(Relaxed) {
        None
    } else {
        Some(Replacement::new(gate, Means::Jump))
    };
    let (result, means) = match jump {
        Some(result) if !matches!(&result, Err(refusal) if refusal.is_unsupported()) => {
            (result, REPOLL_TAKEOVER_JUMP)
        }
        _ => (
            Replacement::new(gate, Means::Redirection),
            REPOLL_TAKEOVER_FTRACE_OPS,
        ),
    };
    result.inspect(|_| MEANS.store(means, Relaxed))
}

/// The function of a call that asks the policy.
pub(super) struct PolicyHook {
    _replacement: Replacement,
}

impl PolicyHook {
    /// The function's bit in `hooked` of `struct repoll_takeover_status`.
    pub(super) fn bit(call: Call) -> u32 {
        match call {
            Call::Epoll => 0x01,
            Call::Select => 0x20,
            Call::Poll => 0x40,
        }
    }

    /// Replaces `do_epoll_create()`, `do_select()` or `do_sys_poll()`.
    pub(super) fn register(call: Call) -> Result<Self, Refusal> {
        Ok(Self {
            _replacement: replace(match call {
                Call::Epoll => &CREATE,
                Call::Select => &SELECT,
                Call::Poll => &POLL,
            })?,
        })
    }
}

/// The functions that get an instance.
pub(super) struct InstanceHooks {
    _ctl: Replacement,
    _wait: Replacement,
    _send_events: Replacement,
    _target: Option<Replacement>,
}

impl InstanceHooks {
    pub(super) const BITS: u32 = if cfg!(CONFIG_KCMP) { 0x1e } else { 0x0e };

    /// Replaces all of them, or none.
    pub(super) fn register() -> Result<Self, Refusal> {
        Ok(Self {
            _ctl: replace(&CTL)?,
            _wait: replace(&WAIT)?,
            _send_events: replace(&SEND_EVENTS)?,
            _target: cfg!(CONFIG_KCMP).then(|| replace(&TARGET)).transpose()?,
        })
    }
}

/// The result of a server if the kernel is to serve the call: `KERNEL_EXT_NOT_OURS`.
const NOT_OURS: c_long = ext::NOT_OURS as c_long;

/// The end of the wait that a `struct timespec64` of `fs/eventpoll.c` or `fs/select.c` is.
///
/// # Safety
///
/// `end` is null or valid.
unsafe fn timeout(end: *const bindings::timespec64) -> Timeout {
    // SAFETY: By the contract.
    match unsafe { end.as_ref() } {
        None => Timeout::Never,
        Some(end) if end.tv_sec == 0 && end.tv_nsec == 0 => Timeout::Zero,
        // As timespec64_to_ns(), which saturates.
        Some(end) => Timeout::At(
            end.tv_sec
                .saturating_mul(1_000_000_000)
                .saturating_add(end.tv_nsec as i64),
        ),
    }
}

/// The instance whose file the caller of a server holds.
///
/// # Safety
///
/// `file` is an open file, and stays so for `'a`.
unsafe fn instance<'a>(file: *mut bindings::file) -> Option<ArcBorrow<'a, Eventpoll>> {
    // SAFETY: By the contract; no fdget_pos() is involved.
    miscdevice::get(unsafe { LocalFile::from_raw_file(file) })
}

/// # Safety
///
/// Called by a gate, with the arguments of `do_epoll_create()`.
#[no_mangle]
unsafe extern "C" fn repoll_takeover_create(flags: c_int) -> c_long {
    if !takes_over(Call::Epoll) {
        return NOT_OURS;
    }
    let Some(_module) = ModuleRef::get() else {
        return NOT_OURS;
    };
    serve::create(flags).map_or(NOT_OURS, |value| value as c_long)
}

/// # Safety
///
/// Called by a gate, with the arguments of `do_epoll_ctl_file()`, whose `file` is an instance.
#[no_mangle]
unsafe extern "C" fn repoll_takeover_ctl(
    file: *mut bindings::file,
    op: c_int,
    key: *const ext::epoll_key,
    event: *const ext::epoll_event,
    nonblock: bool,
) -> c_int {
    // SAFETY: The caller holds the file; no fdget_pos() is involved.
    let (Some(ep), own) = (unsafe { (instance(file), File::from_raw_file(file)) }) else {
        return EINVAL.to_errno();
    };
    // SAFETY: The caller holds the target too. The structures, which are packed, are valid; the
    // event is initialised but for DEL.
    let (target, fd, event) = unsafe {
        (
            LocalFile::from_raw_file((*key).file),
            (*key).fd,
            (op != ext::EPOLL_CTL_DEL).then(|| ((*event).events, (*event).data)),
        )
    };
    serve::ctl(ep, own, op, (target, fd), event, nonblock)
}

/// # Safety
///
/// Called by a gate, with the arguments of `do_epoll_wait()`.
#[no_mangle]
unsafe extern "C" fn repoll_takeover_wait(
    epfd: c_int,
    events: *mut c_void,
    maxevents: c_int,
    end: *const bindings::timespec64,
) -> c_long {
    // SAFETY: The task is in a system call of its own.
    let files = unsafe { Files::current_unchecked() };
    let Ok(file) = files.get(epfd) else {
        return EBADF.to_errno() as c_long;
    };
    let Some(ep) = miscdevice::get::<Eventpoll>(&file) else {
        return NOT_OURS;
    };
    // SAFETY: It is null, or of the caller.
    let end = unsafe { timeout(end) };
    serve::wait(&ep, events as usize, maxevents, end) as c_long
}

/// # Safety
///
/// Called by a gate, with the arguments of `epoll_sendevents()`, whose `file` is an instance.
#[no_mangle]
unsafe extern "C" fn repoll_takeover_send_events(
    file: *mut bindings::file,
    events: *mut c_void,
    maxevents: c_int,
) -> c_int {
    // SAFETY: The caller holds the file.
    unsafe { instance(file) }.map_or(EINVAL.to_errno(), |ep| {
        serve::send_events(&ep, events as usize, maxevents)
    })
}

/// # Safety
///
/// Called by a gate, with the arguments of `get_epoll_tfile_raw_ptr()`, whose `file` is an
/// instance.
#[no_mangle]
unsafe extern "C" fn repoll_takeover_target(
    file: *mut bindings::file,
    fd: c_int,
    offset: c_ulong,
) -> *mut bindings::file {
    // SAFETY: The caller holds the file.
    let target = unsafe { instance(file) }
        .ok_or(EINVAL)
        .and_then(|ep| serve::target(&ep, fd, offset));
    // The caller only compares it.
    match target {
        Ok(target) => target.to_bits() as *mut bindings::file,
        Err(e) => e.to_ptr(),
    }
}

/// # Safety
///
/// Called by a gate, with the arguments of `do_select()`.
#[no_mangle]
unsafe extern "C" fn repoll_takeover_select(
    n: c_int,
    sets: *const FdSets,
    end: *const bindings::timespec64,
) -> c_long {
    if !takes_over(Call::Select) {
        return NOT_OURS;
    }
    let Some(_module) = ModuleRef::get() else {
        return NOT_OURS;
    };
    let words = usize::try_from(n).unwrap_or(0).div_ceil(u64::BITS as usize);
    // SAFETY: The caller's structure has six separate arrays of as many words as `n` bits take.
    let sets = unsafe { (*sets).map(|set| slice::from_raw_parts_mut(set, words)) };
    // SAFETY: It is null, or of the caller.
    let end = unsafe { timeout(end) };
    serve::select(n, sets, end) as c_long
}

/// `fd_set_bits` of `fs/select.c`: in, out, ex, and the three of the result.
type FdSets = [*mut u64; 6];

/// # Safety
///
/// Called by a gate, with the arguments of `do_sys_poll()`.
#[no_mangle]
unsafe extern "C" fn repoll_takeover_poll(
    fds: *mut c_void,
    nfds: c_uint,
    end: *const bindings::timespec64,
) -> c_long {
    if !takes_over(Call::Poll) {
        return NOT_OURS;
    }
    let Some(_module) = ModuleRef::get() else {
        return NOT_OURS;
    };
    // SAFETY: It is null, or of the caller.
    let end = unsafe { timeout(end) };
    serve::poll(fds as usize, nfds, end) as c_long
}
