// SPDX-License-Identifier: GPL-2.0

//! The queue of messages, and who waits for it.
//!
//! # Why a message is read whole, and once
//!
//! All memory for messages is there from the start, in *buffers*. A buffer is in one place at a time:
//!
//! ```text
//!                reserve                    commit
//!      (free) ------------> (in a write) ------------> (queued)
//!        ^ ^                      |                      |  ^
//!        | +----------------------+                      |  |
//!        |    dropped: the copy failed              take |  | dropped: the copy failed
//!        |                                               v  |
//!        +------------------------------------------ (in a read)
//!                             done
//! ```
//!
//! To move it is a few words under a spinlock, so it can be done in any context. To copy a message from
//! or to user memory may sleep, so that is done between two moves, with no lock held, by whoever
//! *owns* the buffer then: [`Reserved`] or [`Taken`]. Both give it back when they are dropped. So a read that
//! fails with EFAULT leaves the message where it was, first in the queue; two readers never have the same
//! one; and neither a slow page fault nor a killed task holds anybody up, or loses a buffer.
//!
//! In the meantime the queue is as if that message were not there, for `poll` too. When it is put
//! back, it arrives anew as far as those who wait are concerned. (If two reads fail at the same time, their
//! messages may change places.)
//!
//! # Why no wake-up is lost
//!
//! Who waits is in a wait queue *before* it looks at the state, under the lock; who changes the state does
//! so under the lock, and looks for waiters after. Whichever of the two has the lock first, the
//! other sees what it did.
//!
//! Each message, and each buffer that becomes free, wakes one sleeper. Pollers are told of each
//! message, and of room only when there was none before: as with a pipe.

use super::ring::Ring;
use crate::trace::{
    constants,
    trace, //
};
use crate::{
    kernel_ext::{
        atomic::ordering::Relaxed,
        drift::{
            new_spinlock_irq,
            SpinLockIrq, //
        },
        fasync::{
            Band,
            Fasync, //
        },
        hrtimeout,
        user::{
            Account,
            BytesCharge,
            User, //
        },
        wait_queue::{
            new_wait_queue,
            WaitQueue, //
        }, //
    },
    uapi::args::{
        repoll_source_header,
        repoll_source_setup,
        repoll_source_status, //
    }, //
};

use crate::uapi;
use crate::uapi::epoll::{
    EPOLLHUP,
    EPOLLIN,
    EPOLLOUT,
    EPOLLRDNORM,
    EPOLLWRNORM, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Where a message came from.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum Kind {
    Write = uapi::REPOLL_SOURCE_WRITE,
    Timer = uapi::REPOLL_SOURCE_TIMER,
    Frame = uapi::REPOLL_SOURCE_FRAME,
}

/// The memory for one message, and the message if there is one in it.
struct Buffer {
    /// As long as a message may be.
    bytes: KVVec<u8>,
    /// How much of that the message is.
    length: usize,
    /// Which message of its file it is, the first one being 1. For the tracepoints.
    number: u64,
    kind: Kind,
    /// When it entered the queue, on the monotonic clock in nanoseconds.
    time: i64,
}

/// A bounded queue of messages: what an open file is, without what feeds it.
#[pin_data]
pub(super) struct Queue {
    /// For the tracepoints. Does not change.
    pub(super) id: u32,
    /// The account of the user who opened the file, which is charged for its memory. Does not
    /// change.
    account: Account,
    /// Any context.
    #[pin]
    state: SpinLockIrq<State>,
    /// Tasks that sleep in a read, until there is a message.
    #[pin]
    pub(super) readers: WaitQueue,
    /// Tasks that sleep in a write, until there is room.
    #[pin]
    pub(super) writers: WaitQueue,
    /// Those who poll the file: select(2), poll(2), the C epoll, repoll, io_uring.
    #[pin]
    pub(super) pollers: WaitQueue,
    /// Those who want a signal.
    pub(super) fasync: Fasync,
}

/// What the queue's lock protects.
struct State {
    free: Ring<Buffer>,
    queued: Ring<Buffer>,
    /// The charge of the rings, and of all buffers wherever they are.
    _charge: BytesCharge,
    /// How many buffers there are: free, queued, and owned by readers and writers.
    messages: u32,
    message_size: u32,
    /// Whether a header is read before each message.
    headers: bool,
    /// The network interface that fed the queue is gone.
    hung_up: bool,
    arrived: u64,
    read: u64,
    dropped: u64,
    too_long: u64,
}

/// The memory of an open file besides rings and buffers: its own structures, its timer's and its
/// attachment's.
const BYTES_PER_FILE: usize = 2048;

/// The memory of a queue of these sizes, as the allocator rounds it up.
fn memory(messages: usize, message_size: usize) -> usize {
    let buffers = messages * message_size.next_power_of_two();
    let ring = (messages * size_of::<Option<Buffer>>()).next_power_of_two();
    buffers + 2 * ring + BYTES_PER_FILE
}

impl State {
    /// Free buffers, charged to `account`. EINVAL for sizes out of range; ENOSPC if the user would
    /// have too much memory, before any is allocated; ENOMEM.
    fn new(setup: &repoll_source_setup, account: &Account) -> Result<Self> {
        let sizes = uapi::REPOLL_SOURCE_MIN_MESSAGE_SIZE..=uapi::REPOLL_SOURCE_MAX_MESSAGE_SIZE;
        if !(1..=uapi::REPOLL_SOURCE_MAX_MESSAGES).contains(&setup.messages)
            || !sizes.contains(&setup.message_size)
            || setup.messages > uapi::REPOLL_SOURCE_MAX_BYTES / setup.message_size
            || setup.flags & !uapi::REPOLL_SOURCE_FLAGS != 0
            || setup.__pad != 0
        {
            return Err(EINVAL);
        }
        let messages = setup.messages as usize;
        let bytes = memory(messages, setup.message_size as usize) as u64;
        let charge = account.charge_bytes(bytes, crate::MAX_USER_SOURCE_BYTES.load(Relaxed))?;
        let mut free = Ring::new(messages)?;
        for _ in 0..messages {
            let bytes = KVVec::from_elem(0, setup.message_size as usize, GFP_KERNEL_ACCOUNT)?;
            free.push_back(Buffer {
                bytes,
                length: 0,
                number: 0,
                kind: Kind::Write,
                time: 0,
            });
        }
        Ok(Self {
            free,
            queued: Ring::new(messages)?,
            _charge: charge,
            messages: setup.messages,
            message_size: setup.message_size,
            headers: setup.flags & uapi::REPOLL_SOURCE_HEADERS != 0,
            hung_up: false,
            arrived: 0,
            read: 0,
            dropped: 0,
            too_long: 0,
        })
    }
}

impl Queue {
    /// An empty queue of the default size, of the current user. Process context, sleeps.
    pub(super) fn new(id: u32) -> Result<Arc<Self>> {
        let account = Account::of(User::current()?)?;
        let setup = repoll_source_setup {
            messages: uapi::REPOLL_SOURCE_DEFAULT_MESSAGES,
            message_size: uapi::REPOLL_SOURCE_DEFAULT_MESSAGE_SIZE,
            flags: 0,
            __pad: 0,
        };
        let state = State::new(&setup, &account)?;
        Arc::pin_init(
            pin_init!(Self {
                id,
                account,
                state <- new_spinlock_irq!(state, "source::Queue::state"),
                readers <- new_wait_queue!("source::Queue::readers"),
                writers <- new_wait_queue!("source::Queue::writers"),
                pollers <- new_wait_queue!("source::Queue::pollers"),
                fasync: Fasync::new(),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Other sizes, and whether there are headers. EBUSY if there are messages, or reads or writes
    /// that are about one. Process context, sleeps.
    ///
    /// Both the old and the new buffers are charged while both are there.
    pub(super) fn set_up(&self, setup: &repoll_source_setup) -> Result {
        let mut new = State::new(setup, &self.account)?;
        let mut state = self.state.lock();
        // All buffers are free: so nobody waits for room either.
        if state.free.len() != state.messages as usize {
            return Err(EBUSY);
        }
        new.hung_up = state.hung_up;
        new.arrived = state.arrived;
        new.read = state.read;
        new.dropped = state.dropped;
        new.too_long = state.too_long;
        core::mem::swap(&mut *state, &mut new);
        // What was there is freed without the lock, which has interrupts off.
        drop(state);
        Ok(())
    }

    /// What the file is ready for: `EPOLL*` bits. Any context.
    pub(super) fn events(&self) -> u32 {
        let state = self.state.lock();
        let mut events = 0;
        if !state.queued.is_empty() {
            events |= EPOLLIN | EPOLLRDNORM;
        }
        if state.hung_up {
            // Not both: poll(2).
            events |= EPOLLHUP;
        } else if !state.free.is_empty() {
            events |= EPOLLOUT | EPOLLWRNORM;
        }
        events
    }

    /// A buffer for a message of `length` bytes. EMSGSIZE if that is too long, EAGAIN if there is no room,
    /// ENODEV after a hang-up. Any context.
    pub(super) fn reserve(&self, length: usize) -> Result<Reserved<'_>> {
        let mut state = self.state.lock();
        if state.hung_up {
            return Err(ENODEV);
        }
        if length > state.message_size as usize {
            return Err(EMSGSIZE);
        }
        let mut buffer = state.free.pop_front().ok_or(EAGAIN)?;
        buffer.length = length;
        Ok(Reserved {
            queue: self,
            buffer: Some(buffer),
        })
    }

    /// The first message, if it fits into `room` bytes, header included. EMSGSIZE if it does not; EAGAIN
    /// if there is none, ENODEV if that is after a hang-up. Any context.
    pub(super) fn take(&self, room: usize) -> Result<Taken<'_>> {
        let mut state = self.state.lock();
        let Some(first) = state.queued.front() else {
            return Err(if state.hung_up { ENODEV } else { EAGAIN });
        };
        if first.length + state.header_length() > room {
            return Err(EMSGSIZE);
        }
        let number = first.number;
        let buffer = state.queued.pop_front();
        trace!(source_take(self.id, state.queued.len() as u32, number));
        Ok(Taken {
            queue: self,
            headers: state.headers,
            buffer,
        })
    }

    /// A message from an interrupt, which `fill` copies into the queue, and which is dropped if there is no
    /// room: those that are queued are older. `fill` returns false if it can't. Any context.
    pub(super) fn arrive(&self, kind: Kind, length: usize, fill: impl FnOnce(&mut [u8]) -> bool) {
        let result = match self.reserve(length) {
            Ok(mut message) => {
                if fill(message.bytes()) {
                    message.commit(kind)
                } else {
                    Err(EFAULT)
                }
            }
            Err(e) => Err(e),
        };
        let Err(error) = result else {
            return;
        };
        let mut state = self.state.lock();
        let reason = if error == EMSGSIZE {
            state.too_long = state.too_long.wrapping_add(1);
            constants::REPOLL_DROP_TOO_LONG
        } else {
            state.dropped = state.dropped.wrapping_add(1);
            if error == EAGAIN {
                constants::REPOLL_DROP_FULL
            } else {
                constants::REPOLL_DROP_OTHER
            }
        };
        drop(state);
        trace!(source_drop(self.id, kind as u32, length as u32, reason));
    }

    /// The network interface is gone: messages can still be read, then there are none. Any context.
    pub(super) fn hang_up(&self) {
        self.state.lock().hung_up = true;
        let signal = self.fasync.has_entries();
        let sleepers = self.readers.has_entries() | self.writers.has_entries();
        let pollers = self.pollers.has_entries();
        trace!(source_wake(
            self.id,
            EPOLLHUP,
            sleepers.into(),
            pollers.into(),
            signal.into()
        ));
        if signal {
            self.fasync.signal(Band::Hup);
        }
        // It concerns all of them, not one.
        self.readers.wake_up_all(0);
        self.writers.wake_up_all(0);
        self.pollers.wake_up_all(EPOLLHUP | EPOLLIN | EPOLLOUT);
    }

    /// Undoes a hang-up. Returns whether there was one. Process context.
    pub(super) fn revive(&self) -> bool {
        let mut state = self.state.lock();
        let was = core::mem::replace(&mut state.hung_up, false);
        let room = !state.free.is_empty();
        drop(state);
        if was && room {
            self.tell(&self.writers, EPOLLOUT | EPOLLWRNORM, true, Band::Out);
        }
        was
    }

    /// Whether the network interface is gone. Any context.
    pub(super) fn is_hung_up(&self) -> bool {
        self.state.lock().hung_up
    }

    /// How many bytes the next read returns; 0 if there is no message. Any context.
    pub(super) fn next_length(&self) -> usize {
        let state = self.state.lock();
        let first = state.queued.front();
        first.map_or(0, |first| first.length + state.header_length())
    }

    /// What there is to know, but for what feeds it. Any context.
    pub(super) fn status(&self) -> repoll_source_status {
        let state = self.state.lock();
        repoll_source_status {
            messages: state.messages,
            message_size: state.message_size,
            queued: state.queued.len() as u32,
            flags: if state.hung_up {
                uapi::REPOLL_SOURCE_HUNG_UP
            } else {
                0
            },
            arrived: state.arrived,
            read: state.read,
            dropped: state.dropped,
            too_long: state.too_long,
            period: 0,
        }
    }

    /// Tells one of `sleepers`, the pollers if `polled`, and who wants a signal, of `events`.
    ///
    /// No lock is held here: those of the wait queues nest inside of nothing of ours, and whoever is
    /// woken may take the queue's lock at once. Our caller had it, which is all the order that
    /// [`WaitQueue::has_entries`] and [`Fasync::has_entries`] need: an entry whose owner looked before
    /// that is seen. `tools/model/src/order_by_lock.rs` has a twin: change both.
    fn tell(&self, sleepers: &WaitQueue, events: u32, polled: bool, band: Band) {
        let asleep = sleepers.has_entries();
        let pollers = polled && self.pollers.has_entries();
        let signal = polled && self.fasync.has_entries();
        if asleep || pollers || signal {
            trace!(source_wake(
                self.id,
                events,
                asleep.into(),
                pollers.into(),
                signal.into()
            ));
        }
        if signal {
            self.fasync.signal(band);
        }
        if asleep {
            sleepers.wake_up(false);
        }
        if pollers {
            self.pollers.wake_up_poll(events, 0);
        }
    }

    fn tell_readers(&self) {
        self.tell(&self.readers, EPOLLIN | EPOLLRDNORM, true, Band::In);
    }

    fn free(&self, buffer: Buffer, read: bool) {
        let mut state = self.state.lock();
        let was_full = state.free.is_empty();
        state.free.push_front(buffer);
        if read {
            state.read = state.read.wrapping_add(1);
        }
        drop(state);
        self.tell(&self.writers, EPOLLOUT | EPOLLWRNORM, was_full, Band::Out);
    }
}

impl State {
    fn header_length(&self) -> usize {
        if self.headers {
            size_of::<repoll_source_header>()
        } else {
            0
        }
    }
}

/// A buffer for a message that is on its way in. Free again if it is dropped.
pub(super) struct Reserved<'a> {
    queue: &'a Queue,
    buffer: Option<Buffer>,
}

impl Reserved<'_> {
    /// What is to become the message.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        self.buffer.as_mut().map_or(&mut [], |buffer| {
            let length = buffer.length;
            &mut buffer.bytes[..length]
        })
    }

    /// Puts it into the queue. ENODEV if that was hung up meanwhile. Any context.
    pub(super) fn commit(mut self, kind: Kind) -> Result {
        let mut state = self.queue.state.lock();
        if state.hung_up {
            // A reader may have been told that there is nothing more to come.
            drop(state);
            return Err(ENODEV);
        }
        let Some(mut buffer) = self.buffer.take() else {
            return Ok(());
        };
        let length = buffer.length as u32;
        let number = state.arrived.wrapping_add(1);
        state.arrived = number;
        buffer.number = number;
        buffer.kind = kind;
        buffer.time = hrtimeout::now();
        state.queued.push_back(buffer);
        // Under the lock, so that it comes before what a reader of the message records.
        trace!(source_arrive(
            self.queue.id,
            kind as u32,
            number,
            length,
            state.queued.len() as u32
        ));
        drop(state);
        self.queue.tell_readers();
        Ok(())
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.queue.free(buffer, false);
        }
    }
}

/// A message that is on its way out. First in the queue again if it is dropped before it is
/// [`done`](Taken::done).
pub(super) struct Taken<'a> {
    queue: &'a Queue,
    headers: bool,
    buffer: Option<Buffer>,
}

impl Taken<'_> {
    /// The header before the message, if the queue has headers. The time is that of the reader's
    /// time namespace: process context.
    pub(super) fn header(&self) -> Option<repoll_source_header> {
        let buffer = self.buffer.as_ref().filter(|_| self.headers)?;
        Some(repoll_source_header {
            time: hrtimeout::in_namespace(buffer.time) as u64,
            length: buffer.length as u32,
            kind: buffer.kind as u32,
        })
    }

    /// The message.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer
            .as_ref()
            .map_or(&[], |buffer| &buffer.bytes[..buffer.length])
    }

    /// It has been read.
    pub(super) fn done(mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.queue.free(buffer, true);
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.queue.state.lock().queued.push_front(buffer);
            self.queue.tell_readers();
        }
    }
}
