// SPDX-License-Identifier: GPL-2.0

//! Per-user limits: the count of watches, shared with the C epoll, and a record of all other usage.
//!
//! C header: [`include/linux/sched/user.h`](srctree/include/linux/sched/user.h)
//!
//! A user here is a `struct user_struct`, one per `kuid_t`. A user namespace that maps a user onto
//! itself changes nothing. One that maps a range of users gives each user in the range a record of
//! its own, as for pipes and for the C epoll.

use super::{
    atomic::{
        ordering::{Acquire, Full, Release},
        Atomic, //
    },
    bindings as ext,
    limits::Count,
    throttle::Throttle, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::Arc, //
};

kernel::sync::global_lock! {
    // SAFETY: `users()` gives it out only after `init()` has initialised it.
    /// The record of each user who has any [`Account`]. `None` is an empty tree.
    ///
    /// Its mutex is held while an account is opened or closed, for a search in a balanced tree,
    /// which has at most one node for each user with an open event source. The counts do not need
    /// it.
    unsafe(uninit) static USERS: Mutex<Option<RBTree<usize, Entry>>> = None;
}

/// A user in [`USERS`]. The record holds a reference to the user, so the key stays theirs.
struct Entry {
    usage: Arc<Usage>,
    /// The number of the user's accounts, at least one.
    accounts: usize,
}

/// Set once [`USERS`] is initialised.
static READY: Atomic<bool> = Atomic::new(false);

/// Initialises the records. EBUSY on a second call.
pub(crate) fn init() -> Result {
    static CLAIMED: Atomic<bool> = Atomic::new(false);
    if CLAIMED.xchg(true, Full) {
        return Err(EBUSY);
    }
    // SAFETY: One caller gets here. Nobody has used the lock, since `READY` is not set.
    unsafe { USERS.init() };
    READY.store(true, Release);
    Ok(())
}

/// The records. ENODEV before [`init`].
fn users() -> Result<&'static kernel::sync::GlobalLock<USERS>> {
    // Pairs with the release in `init()`: a reader of the flag sees the initialised lock.
    if READY.load(Acquire) {
        Ok(&USERS)
    } else {
        Err(ENODEV)
    }
}

/// A counted reference to a `struct user_struct`.
///
/// # Invariants
///
/// Owns a reference to the user.
pub(crate) struct User(NonNull<bindings::user_struct>);

// SAFETY: The reference may be dropped on any thread.
unsafe impl Send for User {}
// SAFETY: The count of watches is a per-CPU counter, with its own lock.
unsafe impl Sync for User {}

impl User {
    /// The user of the current task. Process context.
    pub(crate) fn current() -> Result<Self> {
        // SAFETY: Takes a reference to the current task's user, which is never null.
        let user = unsafe { ext::get_current_user() };
        // INVARIANT: The reference is ours.
        NonNull::new(user).map(Self).ok_or(EINVAL)
    }

    /// Counts one more watch of this user; ENOSPC if there are `max` already. Any context.
    pub(crate) fn charge_watch(&self, max: i64) -> Result {
        // SAFETY: The user is valid, by the type's invariants.
        if unsafe { ext::user_charge_watch(self.0.as_ptr(), max) } {
            Ok(())
        } else {
            Err(ENOSPC)
        }
    }

    /// Undoes one [`User::charge_watch`]. Any context.
    pub(crate) fn uncharge_watch(&self) {
        // SAFETY: The user is valid, by the type's invariants.
        unsafe { ext::user_uncharge_watch(self.0.as_ptr()) };
    }

    /// The C epoll's own limit: 4 % of memory, in watches of `bytes` bytes.
    pub(crate) fn default_max_watches(bytes: usize) -> i64 {
        // SAFETY: No requirements; `bytes` is not zero but for a type of no size.
        unsafe { ext::default_max_user_watches(bytes.max(1) as i64) }
    }

    fn key(&self) -> usize {
        self.0.as_ptr() as usize
    }
}

impl PartialEq for User {
    /// Whether they are the same user.
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: The reference is ours, by the type's invariants.
        unsafe { bindings::free_uid(self.0.as_ptr()) };
    }
}

/// The record of one user, for all of the user's accounts.
pub(crate) struct Usage {
    user: User,
    timers: Count,
    bytes: Count,
    /// Paces the work of the user's timers in interrupts.
    pub(crate) throttle: Throttle,
}

/// A user's record in use. The record goes with the last of its accounts.
///
/// # Invariants
///
/// It is counted in its user's [`Entry`], which therefore is in [`USERS`].
pub(crate) struct Account(Arc<Usage>);

impl Account {
    /// Opens an account of `user`. ENOMEM; ENODEV before [`init`]. Process context, sleeps.
    pub(crate) fn of(user: User) -> Result<Self> {
        let key = user.key();
        // Before the lock, which the last close of every other user takes: an allocation that is
        // charged to a memory cgroup may sleep for long.
        let node = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let new = Arc::new(
            Usage {
                user,
                timers: Count::new(),
                bytes: Count::new(),
                throttle: Throttle::new(),
            },
            GFP_KERNEL_ACCOUNT,
        )?;
        let mut users = users()?.lock();
        let users = users.get_or_insert_with(RBTree::new);
        if let Some(entry) = users.get_mut(&key) {
            entry.accounts += 1;
            // INVARIANT: Counted just now.
            return Ok(Self(entry.usage.clone()));
        }
        let entry = Entry {
            usage: new.clone(),
            accounts: 1,
        };
        users.insert(node.into_node(key, entry));
        // INVARIANT: Counted by the new entry.
        Ok(Self(new))
    }

    /// Another account of the same user. Process context, sleeps.
    fn another(&self) -> Result<Self> {
        let mut users = users()?.lock();
        let users = users.as_mut().ok_or(ENODEV)?;
        let entry = users.get_mut(&self.0.user.key()).ok_or(ENODEV)?;
        entry.accounts += 1;
        // INVARIANT: Counted just now.
        Ok(Self(self.0.clone()))
    }

    /// The user's record. It does not keep the account open.
    pub(crate) fn usage(&self) -> &Arc<Usage> {
        &self.0
    }

    /// Counts one more timer; ENOSPC if the user has `max` already. Process context, sleeps.
    pub(crate) fn charge_timer(self, max: u64) -> Result<TimerCharge> {
        charge(&self.0.timers, 1, max)?;
        // INVARIANT: Counted just now.
        Ok(TimerCharge(self))
    }

    /// Counts `bytes` of kernel memory; ENOSPC if the user would have more than `max`. Process
    /// context, sleeps.
    pub(crate) fn charge_bytes(&self, bytes: u64, max: u64) -> Result<BytesCharge> {
        let account = self.another()?;
        charge(&account.0.bytes, bytes, max)?;
        // INVARIANT: Counted just now.
        Ok(BytesCharge { account, bytes })
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // The records are initialised, since this account exists.
        let Ok(users) = users() else { return };
        let mut users = users.lock();
        let Some(tree) = users.as_mut() else { return };
        let key = self.0.user.key();
        if let Some(entry) = tree.get_mut(&key) {
            entry.accounts -= 1;
            if entry.accounts == 0 {
                tree.remove(&key);
            }
        }
    }
}

/// Adds `n` to `count` unless that makes it more than `max`: ENOSPC. Any context.
fn charge(count: &Count, n: u64, max: u64) -> Result {
    if !count.add(n, max) {
        return Err(ENOSPC);
    }
    Ok(())
}

/// One timer, counted against its user.
///
/// # Invariants
///
/// It is in the count of the user.
pub(crate) struct TimerCharge(Account);

impl TimerCharge {
    /// The record of the timer's user.
    pub(crate) fn usage(&self) -> &Arc<Usage> {
        self.0.usage()
    }
}

impl Drop for TimerCharge {
    fn drop(&mut self) {
        self.0 .0.timers.sub(1);
    }
}

/// Kernel memory, counted against its user.
///
/// # Invariants
///
/// `bytes` are in the count of the user.
pub(crate) struct BytesCharge {
    account: Account,
    bytes: u64,
}

impl Drop for BytesCharge {
    fn drop(&mut self) {
        self.account.0.bytes.sub(self.bytes);
    }
}
