// SPDX-License-Identifier: GPL-2.0

//! The usage of a user, over all of the user's event sources: timers, memory, time in interrupts.
//!
//! A user is a `struct user_struct`, one per `kuid_t`. A user namespace that maps a user onto
//! itself changes nothing. One that maps a range of users gives each user in the range a record of
//! its own, as for pipes and for the C epoll.

use super::throttle::Throttle;
use crate::kernel_ext::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    limits::Count,
    set_once::SetOnce,
    user::User, //
};
use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// The record of each user that has any [`Account`].
///
/// The mutex is held while an account is opened or closed, for a search in a balanced tree with one
/// node for each user with an open event source. The counts do not need it.
static USERS: SetOnce<Mutex<RBTree<usize, Entry>>> = SetOnce::new();

/// The most bytes of memory of a user's event sources. Set before the device goes live, which
/// orders it before all uses.
static MAX_USER_BYTES: Atomic<u64> = Atomic::new(0);

/// A user in [`USERS`]. The record holds a reference to the user, so the key stays the user's.
struct Entry {
    usage: Arc<Usage>,
    /// The number of the user's accounts, at least one.
    accounts: usize,
}

/// Initialises the records; a user's event sources may have `max_user_bytes` bytes together. Before
/// the device goes live. EBUSY on a second call.
pub(crate) fn init(max_user_bytes: u64) -> Result {
    MAX_USER_BYTES.store(max_user_bytes, Relaxed);
    USERS.init(new_mutex!(RBTree::new(), "source::USERS"))
}

/// The record of one user, for all of the user's accounts.
pub(super) struct Usage {
    user: User,
    timers: Count,
    bytes: Count,
    /// Paces the work of the user's timers in interrupts.
    pub(super) throttle: Throttle,
}

/// A use of a user's record. The record is freed with its last account.
///
/// # Invariants
///
/// It is counted in its user's [`Entry`], which therefore is in [`USERS`].
pub(super) struct Account(Arc<Usage>);

impl Account {
    /// Opens an account of the current user. ENOMEM. Process context, sleeps.
    pub(super) fn of_current_user() -> Result<Self> {
        let user = User::current()?;
        let key = user.id();
        // Before the lock, which every other user's last close takes: an allocation that is charged
        // to a memory cgroup may sleep for long.
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
        let mut users = USERS.get()?.lock();
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

    /// Opens another account of the same user. Process context, sleeps.
    fn another(&self) -> Result<Self> {
        let mut users = USERS.get()?.lock();
        let entry = users.get_mut(&self.0.user.id()).ok_or(ENODEV)?;
        entry.accounts += 1;
        // INVARIANT: Counted just now.
        Ok(Self(self.0.clone()))
    }

    /// Counts one more timer; ENOSPC if the user has `max` already. Process context, sleeps.
    pub(super) fn charge_timer(self, max: u64) -> Result<TimerCharge> {
        charge(&self.0.timers, 1, max)?;
        // INVARIANT: Counted just now.
        Ok(TimerCharge(self))
    }

    /// Counts `bytes` of kernel memory; ENOSPC if the user would have too many. Process context,
    /// sleeps.
    pub(super) fn charge_bytes(&self, bytes: u64) -> Result<BytesCharge> {
        let account = self.another()?;
        charge(&account.0.bytes, bytes, MAX_USER_BYTES.load(Relaxed))?;
        // INVARIANT: Counted just now.
        Ok(BytesCharge { account, bytes })
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // The records are initialised, since this account exists.
        let Ok(users) = USERS.get() else { return };
        let mut users = users.lock();
        let key = self.0.user.id();
        if let Some(entry) = users.get_mut(&key) {
            entry.accounts -= 1;
            if entry.accounts == 0 {
                users.remove(&key);
            }
        }
    }
}

/// Adds `n` to `count`; ENOSPC if that makes it more than `max`. Any context.
fn charge(count: &Count, n: u64, max: u64) -> Result {
    if !count.add(n, max) {
        return Err(ENOSPC);
    }
    Ok(())
}

/// One timer, counted for its user.
///
/// # Invariants
///
/// It is in the user's count.
pub(super) struct TimerCharge(Account);

impl TimerCharge {
    /// The throttle that the user's timers share.
    pub(super) fn throttle(&self) -> &Throttle {
        &(self.0).0.throttle
    }
}

impl Drop for TimerCharge {
    fn drop(&mut self) {
        (self.0).0.timers.sub(1);
    }
}

/// Bytes of memory, counted for their user.
///
/// # Invariants
///
/// They are in the user's count.
pub(super) struct BytesCharge {
    account: Account,
    bytes: u64,
}

impl Drop for BytesCharge {
    fn drop(&mut self) {
        self.account.0.bytes.sub(self.bytes);
    }
}
