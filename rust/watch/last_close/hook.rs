// SPDX-License-Identifier: GPL-2.0

//! A call at the entry of a kernel function, before it does anything.
//!
//! C header: [`include/linux/ftrace.h`](srctree/include/linux/ftrace.h)
//!
//! # The two means
//!
//! [`Means::Ops`] is an `ftrace_ops`, called from a trampoline of ftrace. Any number of them can be
//! on a function. It must not sleep: when another tracer is on the function too, ftrace calls both
//! with preemption off.
//!
//! [`Means::Direct`] is a direct call: ftrace makes the function's first instruction a call of a stub
//! of ours (`helpers.c`), which ends like the function that it is. A function can have one: BPF's
//! fentry programs use the same. With another tracer on the function, ftrace goes to the stub after
//! it is done with that one, and with preemption on again. So it may sleep where the function may.
//!
//! On a PREEMPT_RT kernel spinlocks sleep, so the hook must be a direct call there. Elsewhere it is
//! an `ftrace_ops`: that leaves the function to BPF programs.
//!
//! # The end
//!
//! No task may be in our code when it is freed. Neither means counts its callers; to unregister
//! patches the function, and then waits for a grace period of Tasks RCU, in which each task has left
//! the hook or has gone to sleep. One that sleeps does not count as a reader: `rcu_tasks_is_holdout()`
//! looks at `on_rq` only, and a wait for a spinlock of PREEMPT_RT takes the task off its run queue. So
//! what may sleep is counted, by [`Inside`]:
//!
//! 1. Tasks that have reached the stub, but not the count, have not slept since. The first grace
//!    period waits for them: they have left, or are counted, for all to see. `ftrace_shutdown()` has it,
//!    as the operations are not in the kernel's own data (`FTRACE_OPS_FL_DYNAMIC`).
//! 2. Nobody comes anew. The count falls to 0 when all have left what may sleep.
//! 3. Of those, some may be preempted, or run, in the hook's last instructions, where nothing sleeps.
//!    The second grace period waits for them.
//!
//! It is how `kernel/bpf/trampoline.c` frees its trampolines, see `bpf_tramp_image_put()`.
//! `tools/model/src/publish.rs` has a twin: change both.

use super::on_last_close;
use crate::kernel_ext::{
    atomic::{
        ordering::{
            Acquire,
            Relaxed,
            Release, //
        }, //
        Atomic,
    },
    bindings as ext, //
};
use kernel::{
    bindings,
    error::to_result,
    ffi::{
        c_long,
        c_ulong, //
    },
    prelude::*,
    types::Opaque, //
};

/// The means by which a function calls us; see the [module](self).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    Ops,
    Direct,
}

impl Means {
    /// The means that was asked for, unless only another is safe on this kernel.
    pub(super) fn new(direct: bool) -> Self {
        if direct || cfg!(CONFIG_PREEMPT_RT) {
            Self::Direct
        } else {
            Self::Ops
        }
    }

    /// Each has operations of its own: ftrace keeps what it knows of a direct call in them.
    fn ops(self) -> *mut bindings::ftrace_ops {
        static OPS: Ops = Ops(Opaque::zeroed());
        static DIRECT_OPS: Ops = Ops(Opaque::zeroed());
        match self {
            Self::Ops => OPS.0.get(),
            Self::Direct => DIRECT_OPS.0.get(),
        }
    }
}

struct Ops(Opaque<bindings::ftrace_ops>);

// SAFETY: Accessed by the one `Hook`, and by ftrace with its own locks.
unsafe impl Sync for Ops {}

/// The number of tasks in a part of the hook that may sleep.
static INSIDE: Atomic<u64> = Atomic::new(0);

/// To be added, wrapping.
const MINUS_ONE: u64 = u64::MAX;

/// A task is in a part of the hook that may sleep. Nothing is counted where nothing sleeps.
pub(super) struct Inside(());

impl Inside {
    pub(super) fn new() -> Self {
        if cfg!(CONFIG_PREEMPT_RT) {
            // The grace period orders it before the load in `drain`.
            INSIDE.fetch_add(1, Relaxed);
        }
        Self(())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if cfg!(CONFIG_PREEMPT_RT) {
            INSIDE.fetch_add(MINUS_ONE, Release);
        }
    }
}

/// # Safety
///
/// Called by ftrace at the entry of a function whose first argument is a `struct file *`.
unsafe extern "C" fn called(
    _ip: c_ulong,
    _parent_ip: c_ulong,
    _ops: *mut bindings::ftrace_ops,
    regs: *mut bindings::ftrace_regs,
) {
    // SAFETY: `regs` is valid, and ftrace saves the arguments' registers.
    on_last_close(unsafe { ext::ftrace_first_argument(regs) }.cast());
}

/// Called by the stub in `helpers.c`, with the first argument of the function that the hook is on.
#[no_mangle]
extern "C" fn repoll_called_directly(file: *mut bindings::file) {
    on_last_close(file);
}

/// A function calls [`on_last_close`] at its entry, until the hook is dropped.
///
/// # Invariants
///
/// The operations of `means` are registered, by this hook.
pub(super) struct Hook {
    means: Means,
}

impl Hook {
    /// Sleeps.
    ///
    /// # Errors
    ///
    /// EINVAL if this kernel has no such function, or it can't be traced; EBUSY if ftrace is switched
    /// off, or for a direct call, if there is one on the function, or a livepatch; ENODEV if ftrace has
    /// shut itself down; EOPNOTSUPP without direct calls.
    ///
    /// # Safety
    ///
    /// The function has a `struct file *` as its first argument, and can do with a direct call that
    /// does not keep its other arguments. There is no other `Hook`.
    pub(super) unsafe fn new(function: &CStr, means: Means) -> Result<Self> {
        let ops = means.ops();
        // ftrace_set_filter() may write to the name.
        let mut name = [0u8; 32];
        let bytes = function.to_bytes();
        name.get_mut(..bytes.len())
            .ok_or(EINVAL)?
            .copy_from_slice(bytes);
        // SAFETY: The operations are static, not registered, and ours: there is no other hook. The
        // name is valid for the call. Both functions take a `struct file *` as the first argument of
        // the function, as the caller says it is. The stub keeps no other.
        unsafe {
            (*ops).flags |= bindings::FTRACE_OPS_FL_PERMANENT as c_ulong;
            to_result(bindings::ftrace_set_filter(
                ops,
                name.as_mut_ptr().cast(),
                bytes.len() as i32,
                1,
            ))?;
            to_result(match means {
                Means::Ops => {
                    (*ops).func = Some(called);
                    bindings::register_ftrace_function(ops)
                }
                Means::Direct => ext::register_direct_call(ops),
            })
            .inspect_err(|_| bindings::ftrace_free_filter(ops))?;
        }
        // INVARIANT: They are registered.
        Ok(Self { means })
    }

    /// Waits, after the first grace period, until no task is in our code: see [the end](self#the-end).
    fn drain() {
        // SAFETY: Process context, and no lock is held under which a hook could wait.
        unsafe {
            while INSIDE.load(Acquire) != 0 {
                bindings::schedule_timeout_uninterruptible(1);
            }
            ext::synchronize_rcu_tasks();
        }
    }
}

impl Drop for Hook {
    /// When it returns no task is in the hook.
    fn drop(&mut self) {
        let ops = self.means.ops();
        // SAFETY: They are registered, by the type's invariants.
        let ret = unsafe {
            match self.means {
                Means::Ops => bindings::unregister_ftrace_function(ops),
                Means::Direct => ext::unregister_direct_call(ops),
            }
        };
        if ret != 0 {
            // ftrace has been shut down by a bug of another part of the kernel, with the call of
            // the hook left in place.
            pr_emerg!(
                "ftrace does not remove the hook ({ret}): the module stays, rmmod hangs; reboot\n"
            );
            stay();
        }
        if self.means == Means::Direct {
            Self::drain();
        }
        // SAFETY: Not registered any more.
        unsafe { bindings::ftrace_free_filter(ops) };
    }
}

/// Never returns: the hook's code, and what it is to find, must stay.
pub(super) fn stay() -> ! {
    loop {
        // SAFETY: Process context. An idle sleep: no hung task.
        unsafe { bindings::schedule_timeout_idle(c_long::MAX) };
    }
}
