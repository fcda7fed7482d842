// SPDX-License-Identifier: GPL-2.0

//! A call at the entry of a kernel function, before it does anything.
//!
//! C header: [`include/linux/ftrace.h`](srctree/include/linux/ftrace.h)
//!
//! # The two means
//!
//! [`Means::Ops`] is an `ftrace_ops`, called from a trampoline of ftrace. A function can have any
//! number of them. It must not sleep: when another tracer is on the function too, ftrace calls both
//! with preemption off.
//!
//! [`Means::Direct`] is a direct call: ftrace turns the function's first instruction into a call of
//! a stub (`bindings/helpers.c`), which calls the hook and returns into the function. A function
//! can have one direct call, and BPF's fentry programs are direct calls too. With another tracer on
//! the function, ftrace goes to the stub after that tracer, and with preemption on again. So the
//! hook may sleep where the function may.
//!
//! # The end
//!
//! No task may be in the hook when its code is freed. Neither means counts its callers.
//! Unregistering patches the function, then waits for a grace period of Tasks RCU, in which each
//! task has left the hook or has gone to sleep. A task that sleeps does not count as a reader:
//! `rcu_tasks_is_holdout()` looks at `on_rq` only, and a wait for a spinlock of PREEMPT_RT takes
//! the task off its run queue. So [`Inside`] counts the tasks that may sleep:
//!
//! 1. Tasks that have reached the stub, but not the count, have not slept since. The first grace
//!    period waits for them: they have left, or are counted, and the count is visible.
//!    `ftrace_shutdown()` has that grace period, as the operations are not in the kernel's own data
//!    (`FTRACE_OPS_FL_DYNAMIC`).
//! 2. No task enters any more. The count falls to 0 when all have left the part that may sleep.
//! 3. Some of those may be preempted, or run, in the hook's last instructions, where nothing
//!    sleeps. The second grace period waits for them.
//!
//! `kernel/bpf/trampoline.c` frees its trampolines in the same way: `bpf_tramp_image_put()`.
//! `tools/model/src/publish.rs` has a twin: change both.

use super::{
    atomic::{
        ordering::{Acquire, Relaxed, Release},
        Atomic, //
    },
    bindings as ext, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    error::to_result,
    ffi::{c_long, c_ulong, c_void},
    prelude::*,
    types::Opaque, //
};

/// The means by which a function calls the hook; see the [module](self).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    /// An `ftrace_ops`: the hook must not sleep.
    Ops,
    /// A direct call.
    Direct,
}

/// A hook.
///
/// # Examples
///
/// Counts the calls of `vfs_fsync_range()`:
///
/// ```
/// use crate::kernel_ext::{
///     atomic::{ordering::Relaxed, Atomic},
///     ftrace::{EntryHook, Hook, HookState, Means},
/// };
/// use kernel::ffi::c_void;
///
/// static COUNT: Atomic<u64> = Atomic::new(0);
/// static STATE: HookState = HookState::new();
///
/// struct Counter;
///
/// impl EntryHook for Counter {
///     unsafe fn called(_file: *mut c_void) {
///         COUNT.fetch_add(1, Relaxed);
///     }
/// }
///
/// fn count() -> Result<Hook<Counter>> {
///     // SAFETY: The function has a pointer as its first argument, and the hook ignores it.
///     unsafe { Hook::new(&STATE, c"vfs_fsync_range", Means::Ops) }
/// }
/// ```
pub(crate) trait EntryHook: 'static {
    /// Runs at the entry of the function. Must call nothing that calls the function.
    ///
    /// # Safety
    ///
    /// Called at the entry of the function that the [`Hook`] is on, with its first argument.
    unsafe fn called(argument: *mut c_void);
}

/// The state of one hook, in a static.
pub(crate) struct HookState {
    /// Set while there is a [`Hook`], which owns the operations then.
    claimed: Atomic<bool>,
    /// ftrace keeps its data of a direct call in the operations, so each means has its own.
    ops: Opaque<bindings::ftrace_ops>,
    direct_ops: Opaque<bindings::ftrace_ops>,
    /// The number of tasks in a part of the hook that may sleep.
    inside: Atomic<u64>,
}

// SAFETY: The operations are accessed by the one `Hook`, and by ftrace with its own locks.
unsafe impl Sync for HookState {}

impl HookState {
    /// The state of a hook that is on no function.
    pub(crate) const fn new() -> Self {
        Self {
            claimed: Atomic::new(false),
            ops: Opaque::zeroed(),
            direct_ops: Opaque::zeroed(),
            inside: Atomic::new(0),
        }
    }

    fn ops(&self, means: Means) -> *mut bindings::ftrace_ops {
        match means {
            Means::Ops => self.ops.get(),
            Means::Direct => self.direct_ops.get(),
        }
    }
}

/// Subtracts one when it is added with wrapping.
const MINUS_ONE: u64 = u64::MAX;

/// A task is in a part of the hook that may sleep. Nothing is counted on kernels where the hook's
/// spinlocks don't sleep.
pub(crate) struct Inside(&'static HookState);

impl Inside {
    /// Counts the current task.
    #[inline]
    pub(crate) fn new(state: &'static HookState) -> Self {
        if cfg!(CONFIG_PREEMPT_RT) {
            // The grace period orders it before the load in `drain`.
            state.inside.fetch_add(1, Relaxed);
        }
        Self(state)
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        if cfg!(CONFIG_PREEMPT_RT) {
            self.0.inside.fetch_add(MINUS_ONE, Release);
        }
    }
}

/// # Safety
///
/// Called by ftrace at the entry of a function whose first argument the hook takes.
unsafe extern "C" fn called<H: EntryHook>(
    _ip: c_ulong,
    _parent_ip: c_ulong,
    _ops: *mut bindings::ftrace_ops,
    regs: *mut bindings::ftrace_regs,
) {
    // SAFETY: `regs` is valid, and ftrace saves the arguments' registers.
    unsafe { H::called(ext::ftrace_first_argument(regs)) };
}

/// Defines the function that the stub of a direct call calls: the module's one hook `$hook`.
macro_rules! direct_callee {
    ($hook:ty) => {
        /// # Safety
        ///
        /// Called by the stub in `helpers.c`, with the first argument of the hooked function.
        #[no_mangle]
        unsafe extern "C" fn kernel_ext_called_directly(argument: *mut kernel::ffi::c_void) {
            // SAFETY: By the contract; ftrace calls the stub at the entry of the hooked function.
            unsafe { <$hook as $crate::kernel_ext::ftrace::EntryHook>::called(argument) };
        }
    };
}
pub(crate) use direct_callee;

/// A function calls [`EntryHook::called`] at its entry, until the hook is dropped.
///
/// # Invariants
///
/// It has claimed `state`. The state's operations for `means` are registered.
pub(crate) struct Hook<H: EntryHook> {
    state: &'static HookState,
    means: Means,
    _hook: PhantomData<fn() -> H>,
}

impl<H: EntryHook> Hook<H> {
    /// Puts the hook on `function`. Sleeps.
    ///
    /// # Errors
    ///
    /// - EBUSY if there is a hook with this `state`, or ftrace is switched off, or, for a direct
    ///   call, if the function has one or a livepatch;
    /// - EINVAL if this kernel has no such function, it can't be traced, or its name has more than
    ///   31 bytes;
    /// - ENODEV if ftrace has shut itself down;
    /// - EOPNOTSUPP without direct calls.
    ///
    /// # Safety
    ///
    /// - The function has a first argument that `H::called` may be called with. It has no other
    ///   arguments if `means` is [`Means::Direct`], or does without them: the stub keeps the first.
    /// - For [`Means::Direct`], the module's [`direct_callee!`] is `H`.
    /// - For [`Means::Ops`], the hook does not sleep. For [`Means::Direct`], it sleeps only while
    ///   it is [`Inside`] of `state`.
    pub(crate) unsafe fn new(
        state: &'static HookState,
        function: &CStr,
        means: Means,
    ) -> Result<Self> {
        // ftrace_set_filter() may write to the name, and looks for its end.
        let mut name = [0u8; 32];
        let bytes = function.to_bytes_with_nul();
        name.get_mut(..bytes.len())
            .ok_or(EINVAL)?
            .copy_from_slice(bytes);
        if state.claimed.cmpxchg(false, true, Acquire).is_err() {
            return Err(EBUSY);
        }
        let ops = state.ops(means);
        // SAFETY: The operations are static, claimed by this call, and not registered. The name is
        // valid for the call. Both targets take the function's first argument, by the contract.
        let registered = unsafe {
            (*ops).flags |= bindings::FTRACE_OPS_FL_PERMANENT as c_ulong;
            to_result(bindings::ftrace_set_filter(
                ops,
                name.as_mut_ptr().cast(),
                function.to_bytes().len() as i32,
                1,
            ))
            .and_then(|()| {
                to_result(match means {
                    Means::Ops => {
                        (*ops).func = Some(called::<H>);
                        bindings::register_ftrace_function(ops)
                    }
                    Means::Direct => ext::register_direct_call(ops),
                })
                .inspect_err(|_| bindings::ftrace_free_filter(ops))
            })
        };
        if let Err(e) = registered {
            state.claimed.store(false, Release);
            return Err(e);
        }
        // INVARIANT: Claimed and registered just now.
        Ok(Self {
            state,
            means,
            _hook: PhantomData,
        })
    }

    /// Waits, after the first grace period, until no task is in the hook: see
    /// [the end](self#the-end).
    fn drain(&self) {
        // SAFETY: Process context, and no lock is held under which a hook could wait.
        unsafe {
            while self.state.inside.load(Acquire) != 0 {
                bindings::schedule_timeout_uninterruptible(1);
            }
            ext::synchronize_rcu_tasks();
        }
    }
}

impl<H: EntryHook> Drop for Hook<H> {
    /// When it returns no task is in the hook.
    fn drop(&mut self) {
        let ops = self.state.ops(self.means);
        // SAFETY: They are registered, by the type's invariants.
        let ret = unsafe {
            match self.means {
                Means::Ops => bindings::unregister_ftrace_function(ops),
                Means::Direct => ext::unregister_direct_call(ops),
            }
        };
        // SAFETY: Not registered if that has succeeded, and owned.
        if ret != 0 || unsafe { has_shut_down(ops) } {
            // ftrace has been shut down by a bug of another part of the kernel, and has left the
            // call of the hook in place.
            pr_emerg!(
                "ftrace does not remove the hook ({ret}): the module stays, rmmod hangs; reboot\n"
            );
            stay();
        }
        if self.means == Means::Direct {
            self.drain();
        }
        // SAFETY: Not registered any more.
        unsafe { bindings::ftrace_free_filter(ops) };
        self.state.claimed.store(false, Release);
    }
}

/// Whether ftrace has shut itself down because of a bug: then it may have left the code of any
/// function as it was, also where it reports success. Sleeps.
///
/// # Safety
///
/// `ops` are valid, not registered, and the caller's. Their filter is lost.
pub(super) unsafe fn has_shut_down(ops: *mut bindings::ftrace_ops) -> bool {
    // SAFETY: By the contract. Without a name the call looks at the state of ftrace, and empties
    // the filter.
    unsafe { bindings::ftrace_set_filter(ops, core::ptr::null_mut(), 0, 1) == ENODEV.to_errno() }
}

/// Never returns, so that the code and the data of a hook that can't be removed stay.
pub(crate) fn stay() -> ! {
    loop {
        // SAFETY: Process context. An idle sleep: no hung task.
        unsafe { bindings::schedule_timeout_idle(c_long::MAX) };
    }
}
