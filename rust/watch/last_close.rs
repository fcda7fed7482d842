// SPDX-License-Identifier: GPL-2.0

//! The hook that ends the watches of a file at the file's last close.
//!
//! `__fput()` notifies the C epoll of a file's last close through `file->f_ep`, which a module
//! can't use. A multiplexer needs that notice, since the file's wait queues go away with the file.
//! And it must not hold a reference to the file to prevent that, or a peer would never see the end
//! of file.
//!
//! The hook is a call from the entry of `security_file_release()`, which `__fput()` calls once for
//! each file, in process context, after the last reference is gone and before `->release()`. A
//! kernel without `CONFIG_SECURITY` has no such function; there it is `locks_remove_file()`, called
//! just before. [`kernel_ext::ftrace`](crate::kernel_ext::ftrace) makes the function call the hook.
//! On a PREEMPT_RT kernel spinlocks sleep, so the hook must be a direct call there. Elsewhere it is
//! an `ftrace_ops`, which leaves the function to BPF programs.
//!
//! A function that exists may still not be called: both are external functions, but a kernel built
//! with LTO has inlined copies in `__fput()`. A missed notice leads to a use after free. So a hook
//! is relied on only after it was seen to work: [`LastClose::register`] watches a file of its
//! own, closes it, and checks that the watch has ended. It takes the first function that passes, or
//! fails. With LTO it always fails: there one notice of a close says nothing about other closes.
//!
//! The hook takes spinlocks, and drops nothing that might sleep. It can't recurse on a CPU, nor in
//! a task, and so is never left out as a recursion: it runs in process context only, and nothing
//! that it calls closes a file.

use super::file_table::{
    Claim,
    Registration,
    TABLE, //
};
use crate::kernel_ext::{
    bindings as ext,
    drift::errno::EOPNOTSUPP,
    ftrace::{
        direct_callee,
        stay,
        EntryHook,
        Hook,
        HookState,
        Inside,
        Means, //
    }, //
};
use core::{
    any::TypeId,
    ptr, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::{c_int, c_void},
    fs::LocalFile,
    prelude::*, //
};

static HOOK: HookState = HookState::new();

/// The hook's work: ends all watches of the file that is being closed.
struct CloseHook;

impl EntryHook for CloseHook {
    #[inline]
    unsafe fn called(file: *mut c_void) {
        // SAFETY: The hook is on a function that the last close of a file calls, or is tested, when
        // nothing is watched.
        unsafe { TABLE.end_watches(file.cast(), || Inside::new(&HOOK)) };
    }
}

direct_callee!(CloseHook);

/// While this exists, the last close of a file ends its watches. At most one exists.
///
/// It must outlive all watches. Instances own the watches, and the module, which owns this, can't
/// be unloaded while there is an instance.
pub(crate) struct LastClose {
    // Dropped in this order.
    _hook: Hook<CloseHook>,
    _claim: Claim,
}

/// The functions that the hook can be on. `__fput()` calls the latter two, whose only argument is a
/// `struct file *`. The first one is for tests of a hook that is not called at a last close: its
/// first argument is a `struct file *`, and the hook uses no other.
const FUNCTIONS: [&CStr; 3] = [
    c"noop_llseek",
    c"security_file_release",
    c"locks_remove_file",
];

/// The functions that are tried by default: a bit for each in [`FUNCTIONS`].
const DEFAULT_FUNCTIONS: u32 = 0b0110;
/// In the same word: use a direct call, also where the kernel needs none.
const DIRECT: u32 = 0b1000;

impl LastClose {
    /// Sets up the table for watches of the kind `id`, and registers a hook that was seen to work.
    ///
    /// `functions` has a bit for each of [`FUNCTIONS`] that is to be tried, and [`DIRECT`]; without
    /// functions, the default ones are tried. Sleeps, some 75 ms for each. EBUSY if there is a
    /// `LastClose`.
    ///
    /// The hook calls `closed` for a registration that it has just unlinked, under the bucket's
    /// lock, with the pointer that was given to [`Registration::register`]. `closed` must not
    /// sleep, and takes over the registration's owner.
    ///
    /// # Safety
    ///
    /// `closed` may be called for each registration that is prepared as of the kind `id`.
    pub(super) unsafe fn register(
        id: TypeId,
        closed: unsafe fn(*mut Registration),
        functions: u32,
    ) -> Result<Self> {
        let mut claim = Claim::new()?;
        let hook = hook_first_of(functions)?;
        // SAFETY: By the contract.
        unsafe { claim.publish(id, closed) };
        Ok(Self {
            _hook: hook,
            _claim: claim,
        })
    }
}

impl Drop for LastClose {
    fn drop(&mut self) {
        if TABLE.has_watches() {
            pr_emerg!("bug: there are watches left: the module stays, rmmod hangs; reboot\n");
            stay();
        }
    }
}

/// Hooks the first function of `functions` that gives notice.
fn hook_first_of(functions: u32) -> Result<Hook<CloseHook>> {
    let means = if functions & DIRECT != 0 || cfg!(CONFIG_PREEMPT_RT) {
        Means::Direct
    } else {
        Means::Ops
    };
    let functions = match functions & !DIRECT {
        0 => DEFAULT_FUNCTIONS,
        functions => functions,
    };
    // With LTO each caller of `__fput()` may have an inlined copy or not: then a hook that
    // works for the caller tried here may not work for others.
    if cfg!(CONFIG_LTO) {
        return Err(refuse(None, means));
    }
    let mut refusal = Some(EINVAL);
    for (bit, function) in FUNCTIONS.into_iter().enumerate() {
        if functions & 1 << bit == 0 {
            continue;
        }
        // SAFETY: See `FUNCTIONS`. The hook is this module's callee of direct calls. It sleeps only
        // for a bucket's lock on PREEMPT_RT, and is `Inside` then; there the means is a direct
        // call.
        let hook = unsafe { Hook::new(&HOOK, function, means) };
        match hook.and_then(|hook| Ok((verify()?, hook))) {
            Ok((true, hook)) => return Ok(hook),
            Ok((false, _)) => refusal = None,
            // A missing notice explains more than an error.
            Err(e) => refusal = refusal.and(Some(e)),
        }
    }
    Err(refuse(refusal, means))
}

/// Logs the reason why there is no hook: an error, or a missing notice.
fn refuse(error: Option<Error>, means: Means) -> Error {
    let direct = means == Means::Direct;
    match error {
        None => pr_err!(
            "this kernel gives no notice of a file's last close: use one built without LTO\n"
        ),
        Some(EINVAL) => pr_err!(
            "can't trace the last close of files: this kernel lacks security_file_release() and locks_remove_file()\n"
        ),
        Some(EOPNOTSUPP) => pr_err!(
            "with PREEMPT_RT the last close of files needs CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS\n"
        ),
        Some(EBUSY) if direct => pr_err!(
            "can't call from security_file_release() and locks_remove_file(): detach BPF programs (fentry, LSM) and livepatches from one; is kernel.ftrace_enabled 1?\n"
        ),
        Some(e) => {
            pr_err!("can't trace the last close of files ({e:?}): is kernel.ftrace_enabled 1?\n")
        }
    }
    error.unwrap_or(EOPNOTSUPP)
}

/// Whether the last close of a file ends a watch of it.
///
/// The file is new and has one reference, so its last close happens here, unless another task holds
/// it for a moment: one that looks up a file which was freed, and whose address this file has.
/// Hence three attempts.
fn verify() -> Result<bool> {
    for _ in 0..3 {
        if verify_once()? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn verify_once() -> Result<bool> {
    // SAFETY: Name and operations are static; the operations, which are the kernel's, have no
    // use for private data.
    let file = from_err_ptr(unsafe {
        ext::anon_inode_getfile(
            c"[repoll-last-close]".as_char_ptr(),
            &raw const bindings::generic_ro_fops,
            ptr::null_mut(),
            bindings::O_RDONLY as c_int,
        )
    })?;
    // SAFETY: The file is ours.
    let mut watch = Registration::new_for_test(unsafe { LocalFile::from_raw_file(file) });
    let watch = &raw mut watch;
    // SAFETY: The file is ours. The watch is prepared for it, and in place until it is
    // unlinked, by the hook or below. There is no kind, so `closed` is not called for it. The
    // last reference is put, by a task that may sleep and holds no lock that the close of such
    // a file takes.
    unsafe {
        let registered = Registration::register(watch, LocalFile::from_raw_file(file), |_| Ok(()));
        bindings::__fput_sync(file);
        registered?;
    }
    // SAFETY: It is still in place.
    Ok(match unsafe { &*watch }.lock() {
        Some(linked) => {
            let _ = linked.unlink();
            false
        }
        None => true,
    })
}
