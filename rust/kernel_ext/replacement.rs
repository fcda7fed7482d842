// SPDX-License-Identifier: GPL-2.0

//! A kernel function that another function stands in for.
//!
//! C header: [`include/linux/ftrace.h`](srctree/include/linux/ftrace.h)
//!
//! # Gates
//!
//! While a [`Replacement`] exists, each call of the function arrives in a [`Gate`]: a few machine
//! instructions of this module (`bindings/gate.h`), which find the function's arguments and return
//! address in place. A gate decides first. Then it either serves the call and returns to the
//! function's caller, or goes on with the function itself by a jump. The original never runs with a
//! frame of this module below it: a task may sleep there when the module has long been unloaded.
//!
//! # The two means
//!
//! [`Means::Jump`]: the function begins with a jump to the gate (`register_ftrace_direct()`; on
//! arm64 with a call). A function can have one such user, and BPF's programs of the types fentry
//! and fexit are others. [`Means::Redirection`]: ftrace calls a handler, which changes the
//! instruction pointer to the gate, as livepatch does (`FTRACE_OPS_FL_IPMODIFY`). A function can
//! have one such user, and livepatches are others; programs of BPF share the function with it. So
//! the second user of a kind gets EBUSY.
//!
//! The operations are permanent (`FTRACE_OPS_FL_PERMANENT`): `kernel.ftrace_enabled` can't be
//! switched off meanwhile. Neither means decides in an ftrace callback, which must not sleep on
//! PREEMPT_RT.
//!
//! # The end
//!
//! Neither means counts the tasks that are in a gate. Dropping the replacement patches the function
//! back, so no task enters the gate any more; tasks that are in there go on. That does no harm
//! while the module is loaded. So only the end of the module waits for them, once for all
//! functions, after the last replacement was dropped: [`wait_for_gates`] waits for a grace period
//! of Tasks RCU. Each task that was in a gate has left this module by then, or has gone to sleep. A
//! task that is only preempted, lazily or not, counts as a reader, since it stays on its run queue;
//! without kernel preemption no task can be preempted there, and the grace period is one of RCU.
//!
//! No task sleeps in a gate at that time: one that sleeps there holds a reference that keeps the
//! module loaded, and the end of the module comes after the last reference. So a gate calls nothing
//! that sleeps before it has such a reference, nor after it has put it.
//!
//! ftrace waits for such a grace period, too, when it puts a function back, as its own trampolines
//! need it. It does not promise that, and a task that then sleeps with a reference returns later.

use super::{
    atomic::{
        ordering::{Acquire, Release},
        Atomic, //
    },
    bindings as ext,
    drift::errno::EOPNOTSUPP,
    ftrace::{
        has_shut_down,
        stay, //
    },
    module_ref::ModuleRef, //
};
use kernel::{
    bindings,
    error::to_result,
    ffi::c_ulong,
    prelude::*,
    types::Opaque, //
};

/// The means by which calls of the function arrive in the gate; see the [module](self).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    /// The function begins with a jump.
    Jump,
    /// ftrace changes the instruction pointer.
    Redirection,
}

/// Why a function was not replaced.
pub(crate) struct Refusal {
    /// The function's name.
    pub(crate) function: &'static CStr,
    /// The reason, as the rest of a sentence whose subject is the function.
    pub(crate) reason: &'static str,
    /// The error for userspace.
    pub(crate) errno: Error,
}

impl Refusal {
    /// Whether this kernel lacks the function or the means.
    pub(crate) fn is_unsupported(&self) -> bool {
        self.errno == EOPNOTSUPP
    }
}

/// A function of the kernel, and the gate for its calls.
pub(crate) struct Gate {
    function: &'static CStr,
    entry: unsafe extern "C" fn(),
    set_site: unsafe extern "C" fn(c_ulong),
    fits: bool,
    /// Set while there is a [`Replacement`], which owns the operations then.
    claimed: Atomic<bool>,
    /// ftrace keeps its data of a direct call in the operations, so each means has its own.
    jump: Opaque<bindings::ftrace_ops>,
    redirection: Opaque<bindings::ftrace_ops>,
}

// SAFETY: The operations are accessed by the one `Replacement`, and by ftrace with its own locks.
unsafe impl Sync for Gate {}

impl Gate {
    /// A gate that is not in use. `fits` is whether the function has the prototype that the gate
    /// serves; without that it is never replaced.
    ///
    /// # Safety
    ///
    /// - `entry` and `set_site` are defined by one `KERNEL_EXT_GATE` of `bindings/gate.h`, and
    ///   given to one `Gate`.
    /// - If `fits`, the gate may serve the calls of the function that the kernel has by this name:
    ///   it expects its arguments, and returns what its callers expect.
    /// - It sleeps only while it holds a reference that keeps the module loaded.
    /// - The end of the module calls [`wait_for_gates`] after the last [`Replacement`] was dropped.
    pub(crate) const unsafe fn new(
        function: &'static CStr,
        entry: unsafe extern "C" fn(),
        set_site: unsafe extern "C" fn(c_ulong),
        fits: bool,
    ) -> Self {
        Self {
            function,
            entry,
            set_site,
            fits,
            claimed: Atomic::new(false),
            jump: Opaque::zeroed(),
            redirection: Opaque::zeroed(),
        }
    }

    fn ops(&self, means: Means) -> *mut bindings::ftrace_ops {
        match means {
            Means::Jump => self.jump.get(),
            Means::Redirection => self.redirection.get(),
        }
    }

    fn refusal(&self, reason: &'static str, errno: Error) -> Refusal {
        Refusal {
            function: self.function,
            reason,
            errno,
        }
    }

    /// The address of the function's instruction that ftrace patches. Sleeps.
    fn site(&self) -> Result<c_ulong, Refusal> {
        if !self.fits {
            return Err(self.refusal(
                "has another prototype in this kernel than this module was written for",
                EOPNOTSUPP,
            ));
        }
        let mut site = 0;
        // SAFETY: Process context; the arguments are valid for the call.
        match to_result(unsafe { ext::ftrace_site(self.function.as_char_ptr(), &raw mut site) }) {
            Ok(()) => Ok(site),
            Err(ENOENT) => Err(self.refusal(
                "not found: this kernel's compiler has inlined or renamed it, or it has none",
                EOPNOTSUPP,
            )),
            Err(EOPNOTSUPP) => Err(self.refusal(
                "can't be looked up: use a kernel with CONFIG_KPROBES",
                EOPNOTSUPP,
            )),
            Err(_) => Err(self.refusal("can't be traced in this kernel", EOPNOTSUPP)),
        }
    }

    /// The reason for the error of a registration. Sleeps.
    fn explain(&self, errno: Error, site: c_ulong) -> Refusal {
        let reason = match errno {
            // SAFETY: Process context.
            EBUSY if unsafe { ext::ftrace_is_off(site) } => {
                "ftrace is switched off: sysctl kernel.ftrace_enabled=1"
            }
            EBUSY => {
                "is in use by somebody else: detach the BPF program (fentry, fexit) or the livepatch"
            }
            ENODEV => "ftrace has shut itself down: reboot",
            ENOMEM => "there is no memory to replace it",
            EOPNOTSUPP => {
                "can't be replaced: use a kernel with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS"
            }
            _ => "can't be traced in this kernel",
        };
        self.refusal(reason, errno)
    }
}

/// While this exists, calls of the function arrive in the gate.
///
/// # Examples
///
/// ```
/// use crate::kernel_ext::replacement::{Gate, Means, Refusal, Replacement};
/// use kernel::ffi::c_ulong;
///
/// extern "C" {
///     // Defined in C, by the macros of `gate.h`.
///     fn my_gate();
///     fn my_gate_set_site(site: c_ulong);
/// }
///
/// // SAFETY: The gate serves `do_nothing()`: it returns 0, and does not sleep. The end of the
/// // module calls `wait_for_gates()`.
/// static GATE: Gate = unsafe { Gate::new(c"do_nothing", my_gate, my_gate_set_site, true) };
///
/// fn replace() -> Result<Replacement, Refusal> {
///     Replacement::new(&GATE, Means::Jump)
/// }
/// ```
///
/// # Invariants
///
/// It has claimed `gate`. The gate's operations for `means` are registered.
pub(crate) struct Replacement {
    gate: &'static Gate,
    means: Means,
}

impl Replacement {
    /// Replaces the gate's function. Process context, sleeps.
    ///
    /// The refusal's errno is
    ///
    /// - EBUSY if somebody else, or a replacement by this gate, is on the function, or ftrace is
    ///   switched off;
    /// - ENODEV if ftrace has shut itself down;
    /// - EOPNOTSUPP if the kernel has no such function or no such means.
    pub(crate) fn new(gate: &'static Gate, means: Means) -> Result<Self, Refusal> {
        let site = gate.site()?;
        if gate.claimed.cmpxchg(false, true, Acquire).is_err() {
            return Err(gate.refusal("is replaced already", EBUSY));
        }
        let ops = gate.ops(means);
        let entry = gate.entry as c_ulong;
        // SAFETY: The operations are static, claimed by this call, and not registered. The gate
        // belongs to the function, by the contract of `Gate::new`; it gets the site before a call
        // can arrive in it.
        let registered = unsafe {
            (gate.set_site)(site);
            (*ops).flags |= bindings::FTRACE_OPS_FL_PERMANENT as c_ulong;
            to_result(bindings::ftrace_set_filter_ip(ops, site, 0, 1)).and_then(|()| {
                to_result(match means {
                    Means::Jump => ext::register_jump(ops, entry),
                    Means::Redirection => ext::register_redirection(ops, entry),
                })
                .inspect_err(|&e| {
                    if e == ENODEV {
                        // ftrace has shut itself down in this very update, and may have left the
                        // jump in place: the module stays.
                        core::mem::forget(ModuleRef::get());
                    }
                    bindings::ftrace_free_filter(ops);
                })
            })
        };
        if let Err(e) = registered {
            gate.claimed.store(false, Release);
            return Err(gate.explain(e, site));
        }
        // INVARIANT: Claimed and registered just now.
        Ok(Self { gate, means })
    }
}

impl Drop for Replacement {
    /// When it returns no call arrives in the gate any more. Tasks may be in there still. Sleeps.
    fn drop(&mut self) {
        let ops = self.gate.ops(self.means);
        // SAFETY: They are registered, by the type's invariants.
        let ret = unsafe {
            match self.means {
                Means::Jump => ext::unregister_jump(ops, self.gate.entry as c_ulong),
                Means::Redirection => bindings::unregister_ftrace_function(ops),
            }
        };
        // SAFETY: Not registered if that has succeeded, and owned.
        if ret != 0 || unsafe { has_shut_down(ops) } {
            // ftrace has been shut down by a bug of another part of the kernel, and has left the
            // jump to the gate in place.
            pr_emerg!(
                "ftrace does not put a function back ({ret}): the module stays, rmmod hangs; reboot\n"
            );
            stay();
        }
        // SAFETY: Not registered any more.
        unsafe { bindings::ftrace_free_filter(ops) };
        self.gate.claimed.store(false, Release);
    }
}

/// Waits until the tasks that are in a gate have left this module. The end of the module calls it,
/// after the last [`Replacement`] was dropped. Sleeps. See [the end](self#the-end).
pub(crate) fn wait_for_gates() {
    // SAFETY: Process context.
    unsafe { ext::synchronize_rcu_tasks() };
}
