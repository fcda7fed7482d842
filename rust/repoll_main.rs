// SPDX-License-Identifier: GPL-2.0

//! repoll: Linux's readiness pipeline, in Rust, as a module.
//!
//! # Overview
//!
//! An open `/dev/repoll` is an [`Eventpoll`]: an interest list of watched files, and a ready queue.
//! ADD puts an entry into each wait queue of a file, with a callback of ours and no process. When the
//! file wakes its queue, the callback (in whatever context the wake-up comes from) puts the item
//! into the ready queue and wakes one waiter. WAIT takes items from the ready queue, polls each file
//! again, and copies to userspace what is really there.
//!
//! The text follows the opening comment of `fs/eventpoll.c`, which does the same in C.
//!
//! # Locking
//!
//! From the outer to the inner:
//!
//! ```text
//!   Eventpoll::locked      mutex, one per instance: interest list, consumer of the ready queue
//!   > Topology             mutex, global, killable; by an ADD of an instance, or to a nested one
//!     > bucket             spinlock, process context only: one bucket of the table of watched files
//!       > whead->lock      spinlock of a watched file's wait queue: not ours, any context
//!         > waiters, pollers   our own wait queues' locks: any context
//! ```
//!
//! - Under the topology's lock, mutexes of other instances are only tried: [`eventpoll::nesting`].
//!   Nothing under it can wait for a user.
//! - The instance's mutex is a mutex since delivery writes to user memory, and a file's `->poll` may
//!   sleep.
//! - The callback runs under `whead->lock`, perhaps in a hard interrupt. It takes none of our locks
//!   but those of our wait queues, when it wakes them: the ready queue has no lock.
//! - A bucket's lock is outside of `whead->lock`, as entries are taken out of wait queues under it.
//!   The last-close hook takes it in process context; nothing takes it in an interrupt, so it leaves
//!   interrupts on.
//! - Someone who watches an instance is woken through `pollers`, under `whead->lock`. If that is an
//!   instance too, `pollers` is its `whead->lock`: these locks nest, from the innermost instance to
//!   the outermost. So do the mutexes, from the outermost to the innermost, when an instance is polled
//!   that watches one. There are no cycles, and at most four levels: [`eventpoll::nesting`]. lockdep
//!   knows the level.
//! - Others who watch an instance (the C epoll, say) take locks of their own below `pollers`, and never
//!   come back to us: an instance watches no C epoll, and what io_uring and aio do in a wake-up about
//!   an eventfd, they put off.
//! - The hook runs in the middle of a file's last close, wherever that happens, so it may run under
//!   any mutex of anybody; it takes none.
//! - On a PREEMPT_RT kernel all spinlocks here sleep, and "any context" is a task, a softirq, or a
//!   thread of an interrupt. The order is the same, and nothing rests on a context or a CPU: see
//!   Documentation/explanation/architecture.rst, "PREEMPT_RT".
//!
//! The event source ([`source`]) is apart from these; the two meet only in a wait queue, when an
//! instance watches a source:
//!
//! ```text
//!   Source::feeds          mutex, one per open file: what feeds its queue
//!   > RTNL                 the kernel's mutex of network interfaces: to attach and detach
//!     > Queue::state       spinlock with interrupts off, any context: where the buffers are
//!
//!   Queue::readers, writers, pollers
//!                          wait queues' locks: pollers is a whead->lock of the above; taken while no
//!                          other lock of a source is held but RTNL, and the mutex around it
//! ```
//!
//! - What feeds a queue (the timer's interrupt, the packet handler, the notice that an interface goes,
//!   the last under RTNL) takes `Queue::state` and the wait queues' locks, one after the other. It never
//!   takes `feeds`, so the drop of a feed can wait for it under that.
//! - User memory is copied with none of these held: [`source`]'s `queue` has the reasons.
//!
//! # Which lock protects which field
//!
//! | field | protected by |
//! |---|---|
//! | `Eventpoll::locked` | itself: the interest list, the consumer's list |
//! | `Eventpoll::ready` | none: see [`watch::ready_queue`] |
//! | `Eventpoll::closed` | none to fill, `locked` to empty |
//! | `Eventpoll::waiters`, `pollers` | their own locks |
//! | `Item::events` | `locked` to write; the callback reads it without, see `Item::set_interest` |
//! | `Item::data` | `locked` |
//! | an item's node of the interest list | `locked` |
//! | a watch's entries | ADD, until it returns; then the bucket's lock |
//! | an instance's `Place`: the results of a walk | the topology's lock |
//! | an instance's `Crowd` | none: it is only lowered |
//! | a watch's place in the table | the bucket's lock |
//! | a watch's file pointer | the bucket's lock to write; RCU to take a reference through it |
//! | an item's links of the ready queue | whoever set its *queued* bit, then the consumer |
//! | a source's buffers and counts | `Queue::state`; a buffer's bytes: who owns it |
//! | a source's timer and attachment | `Source::feeds` |
//!
//! # The states of an item
//!
//! ```text
//!             callback, ADD or MOD: ready            WAIT takes it, clears the bit, polls
//!   (idle) ---------------------------------> (queued) ----------------------------------> (taken)
//!      ^                                         ^                                            |
//!      |                                         |  level-triggered: queued again, last       |
//!      |                                         |  buffer can't be written: queued again, first
//!      |                                         +--------------------------------------------+
//!      +--------------------------------------------------------------------------------------+
//!                            not ready after all; edge-triggered; ONESHOT: also disarmed
//! ```
//!
//! The bit is cleared *before* the poll, so an event that the poll does not see queues the item
//! anew. [`watch::ready_queue`] has the argument why no event and no wake-up is lost.
//!
//! # Adding
//!
//! ADD, under `locked`, puts the item into the interest list, the watch into the table of watched files,
//! and enrols it in the ready queue. Then, as nothing calls it yet, its paths are checked. Last the file
//! is polled, which puts the entries into its wait queues. ADD holds the file meanwhile, so no last close
//! comes in between. Callbacks may come from the first entry on: they queue the item, and nobody takes it
//! before `locked` is free. If something fails it all goes back in the reverse order.
//!
//! An instance that is added is not polled at once: the entry goes into its `pollers` under the
//! topology's lock, and the instance is asked for its events after that lock is released.
//!
//! # Removal
//!
//! Three paths:
//!
//! - **A**, DEL: under `locked`, holding a reference to the file;
//! - **B**, the last close of the instance: `Eventpoll::release`, when nobody else uses it;
//! - **C**, the last close of the watched file: the hook, which has no reference to anything and can't
//!   sleep ([`watch::last_close`]).
//!
//! All three end the watch under the lock of the file's bucket, whichever comes first; the others then
//! find it ended. To end it means: off the table, file pointer cleared, entries out of the wait
//! queues, so no callback runs any more ([`watch`]). The watch's own reference to the
//! item then goes:
//!
//! - A and B drop it: they may sleep. They take the item out of the ready queue and the interest list,
//!   each of which owns a reference of its own.
//! - C leaves it on `Eventpoll::closed`, before it lets go of the bucket's lock. The next one to take
//!   `locked` takes the item out of queue and list ([`eventpoll::Locked::reap`]). B takes each item's
//!   bucket lock before it looks at that list, so it leaves none behind.
//!
//! A and C exclude each other anyway, since A holds a reference to the file. WAIT may meet an item
//! whose file C is closing: it polls through a reference that it can only get while the pointer is
//! not cleared and the file's count is not zero, else it passes the item over.
//!
//! # POLLFREE
//!
//! Some wait queues go away before their file does (signalfd's, binder's). Their owner wakes the
//! entries with POLLFREE, and frees the queue an RCU grace period later at the earliest. The callback
//! takes its entry out of the queue, then stores a null queue with release, and does not touch the
//! entry after that. Who ends the watch loads the queue with acquire in an RCU section. See
//! `wait_queue::Entry`.
//!
//! # SELECT and POLL
//!
//! They have nothing to do with instances, and take none of the locks above. What a call needs is
//! its own ([`kernel_ext::poll_wqueues`]): the callback of one of its entries, under `whead->lock`, sets
//! a flag of the call and wakes its task. An entry holds its file, and is out of the queue before the
//! call returns; so neither the last-close hook nor POLLFREE has anything to do with it.

mod eventpoll;
mod kernel_ext;
mod select_poll;
mod source;
mod trace;
mod uapi;
mod watch;

use crate::watch::{
    last_close::LastClose,
    topology, //
};
use eventpoll::{
    item::Epitem,
    Eventpoll, //
};
use kernel::{
    prelude::*, //
};
use kernel_ext::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    drift::parameter,
    miscdevice::MiscDeviceRegistration,
    user::User, //
};

use source::Source;

module! {
    type: Repoll,
    name: "repoll",
    authors: ["The repoll authors"],
    description: "Linux's readiness pipeline in Rust: an epoll-like multiplexer to study. For VMs only",
    license: "GPL",
    params: {
        max_user_watches: i64 {
            default: 0,
            description: "The most watches that a user may have, the C epoll's included (0: 4 % of memory)",
        },
        last_close_functions: u32 {
            default: 0,
            description: "For tests: what to try for notice of last closes, a sum of 1 (gives none), 2 (security_file_release), 4 (locks_remove_file), 8 (by a direct call)",
        },
        max_user_source_bytes: u64 {
            default: 64 * 1024 * 1024,
            description: "How many bytes of kernel memory a user's event sources may take together",
        },
    },
}

/// How many watches a user may have. Set before the devices go live, which orders it before all uses.
static MAX_USER_WATCHES: Atomic<i64> = Atomic::new(0);

/// What there is while the module is loaded. Dropped in this order: no new instance can be opened
/// when the hook goes; and none is left, since each holds a reference to the module. Made in the
/// reverse order: the devices can be opened only when all is made, so a load that fails leaves
/// nothing behind.
#[pin_data]
struct Repoll {
    #[pin]
    source: MiscDeviceRegistration<Source>,
    #[pin]
    device: MiscDeviceRegistration<Eventpoll>,
    last_close: LastClose,
}

impl kernel::InPlaceModule for Repoll {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let max = match parameter(module_parameters::max_user_watches.value()) {
            max if max > 0 => max,
            _ => User::default_max_watches(size_of::<Epitem>()),
        };
        MAX_USER_WATCHES.store(max, Relaxed);
        let max_user_source_bytes = parameter(module_parameters::max_user_source_bytes.value());
        try_pin_init!(Self {
            last_close: {
                source::init(max_user_source_bytes)?;
                topology::init()?;
                Epitem::notice_last_close(parameter(
                    module_parameters::last_close_functions.value(),
                ))?
            },
            device <- MiscDeviceRegistration::new(),
            source <- MiscDeviceRegistration::new(),
            // Nothing can fail from here on.
            _: {
                device.go_live();
                source.go_live();
            },
        })
    }
}
