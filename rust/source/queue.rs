// SPDX-License-Identifier: GPL-2.0

//! The queue of messages, and those that wait for it.
//!
//! # Why a message is read whole, and once
//!
//! All memory for messages is allocated at the start, as *buffers*. A buffer is in one place at a
//! time:
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
//! A move changes a few words under a spinlock, so it works in any context. A copy from or to user
//! memory may sleep, so it comes between two moves, with no lock held: the caller *owns* the buffer
//! then, as [`Reserved`] or [`Taken`]. Both return it when they are dropped. So a read that fails
//! with EFAULT leaves the message where it was, first in the queue; two readers never have the same
//! message; and neither a slow page fault nor a killed task blocks another caller or loses a
//! buffer.
//!
//! Meanwhile the queue is as if that message did not exist, for `poll` too. A message that is put
//! back wakes waiters as a new one does. (If two reads fail at the same time, their messages may
//! change places.)
//!
//! # Why no wake-up is lost
//!
//! A waiter enters a wait queue *before* it looks at the state, under the lock. A change of the
//! state is made under the lock, and the look for waiters comes after it. The side that has the
//! lock second sees what the first one did.
//!
//! Each message, and each buffer that becomes free, wakes one sleeper. Pollers are woken for each
//! message, and for room only when there was none before: as with a pipe.

use super::{
    ring::Ring,
    usage::{
        Account,
        BytesCharge, //
    }, //
};
use crate::kernel_ext::{
    drift::{
        new_spinlock_irq,
        SpinLockIrq, //
    },
    fasync::{
        Band,
        Fasync, //
    },
    hrtimeout,
    wait_queue::{
        new_wait_queue,
        WaitQueue, //
    }, //
};
use crate::trace::{
    constants::{
        REPOLL_DROP_FULL,
        REPOLL_DROP_OTHER,
        REPOLL_DROP_TOO_LONG, //
    },
    trace, //
};
use crate::uapi::{
    args::{
        repoll_source_header,
        repoll_source_setup,
        repoll_source_status, //
    },
    epoll::{
        EPOLLHUP,
        EPOLLIN,
        EPOLLOUT,
        EPOLLRDNORM,
        EPOLLWRNORM, //
    },
    REPOLL_SOURCE_DEFAULT_MESSAGES,
    REPOLL_SOURCE_DEFAULT_MESSAGE_SIZE,
    REPOLL_SOURCE_FLAGS,
    REPOLL_SOURCE_FRAME,
    REPOLL_SOURCE_HEADERS,
    REPOLL_SOURCE_HUNG_UP,
    REPOLL_SOURCE_MAX_BYTES,
    REPOLL_SOURCE_MAX_MESSAGES,
    REPOLL_SOURCE_MAX_MESSAGE_SIZE,
    REPOLL_SOURCE_MIN_MESSAGE_SIZE,
    REPOLL_SOURCE_TIMER,
    REPOLL_SOURCE_WRITE, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The origin of a message.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum Kind {
    Write = REPOLL_SOURCE_WRITE,
    Timer = REPOLL_SOURCE_TIMER,
    Frame = REPOLL_SOURCE_FRAME,
}

/// The memory for one message, and perhaps a message.
struct Buffer {
    /// Room for the longest message.
    bytes: KVVec<u8>,
    /// The length of the message.
    length: usize,
    /// The number of the message, from 1, for the tracepoints.
    number: u64,
    kind: Kind,
    /// The time at which the message entered the queue: monotonic clock, nanoseconds.
    time: i64,
}

/// A bounded queue of messages: an open file without its feeds.
#[pin_data]
pub(super) struct Queue {
    /// Identifies the queue in the tracepoints. Does not change.
    pub(super) id: u32,
    /// The account of the user who opened the file: its memory is charged there. Does not change.
    account: Account,
    /// The buffers, the counts and the flags. Locked in any context.
    #[pin]
    state: SpinLockIrq<State>,
    /// Tasks that sleep in a read, until there is a message.
    #[pin]
    pub(super) readers: WaitQueue,
    /// Tasks that sleep in a write, until there is room.
    #[pin]
    pub(super) writers: WaitQueue,
    /// Pollers of the file: select(2), poll(2), the C epoll, repoll, io_uring.
    #[pin]
    pub(super) pollers: WaitQueue,
    /// Processes that get a signal (`O_ASYNC`).
    pub(super) fasync: Fasync,
}

/// The state that the queue's lock protects.
struct State {
    free: Ring<Buffer>,
    queued: Ring<Buffer>,
    /// The charge of the rings, and of all buffers wherever they are.
    _charge: BytesCharge,
    /// The number of buffers: free, queued, and owned by readers and writers.
    messages: u32,
    message_size: u32,
    /// read(2) returns a header before each message.
    headers: bool,
    /// The network interface that fed the queue was unregistered.
    hung_up: bool,
    arrived: u64,
    read: u64,
    dropped: u64,
    too_long: u64,
}

/// The memory of an open file besides rings and buffers: its own structures, and those of its timer
/// and its attachment.
const BYTES_PER_FILE: usize = 2048;

/// The memory of a queue of these sizes, rounded up as the allocator does.
fn memory(messages: usize, message_size: usize) -> usize {
    let buffers = messages * message_size.next_power_of_two();
    let ring = (messages * size_of::<Option<Buffer>>()).next_power_of_two();
    buffers + 2 * ring + BYTES_PER_FILE
}

impl State {
    /// Allocates free buffers, charged to `account`. EINVAL for sizes out of range; ENOSPC, before
    /// any allocation, if the user would have too much memory; ENOMEM.
    fn new(setup: &repoll_source_setup, account: &Account) -> Result<Self> {
        let sizes = REPOLL_SOURCE_MIN_MESSAGE_SIZE..=REPOLL_SOURCE_MAX_MESSAGE_SIZE;
        if !(1..=REPOLL_SOURCE_MAX_MESSAGES).contains(&setup.messages)
            || !sizes.contains(&setup.message_size)
            || setup.messages > REPOLL_SOURCE_MAX_BYTES / setup.message_size
            || setup.flags & !REPOLL_SOURCE_FLAGS != 0
            || setup.__pad != 0
        {
            return Err(EINVAL);
        }
        let messages = setup.messages as usize;
        let bytes = memory(messages, setup.message_size as usize) as u64;
        let charge = account.charge_bytes(bytes)?;
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
            headers: setup.flags & REPOLL_SOURCE_HEADERS != 0,
            hung_up: false,
            arrived: 0,
            read: 0,
            dropped: 0,
            too_long: 0,
        })
    }
}

impl Queue {
    /// Makes an empty queue of the default size, charged to the current user. Process context,
    /// sleeps.
    pub(super) fn new(id: u32) -> Result<Arc<Self>> {
        let account = Account::of_current_user()?;
        let setup = repoll_source_setup {
            messages: REPOLL_SOURCE_DEFAULT_MESSAGES,
            message_size: REPOLL_SOURCE_DEFAULT_MESSAGE_SIZE,
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

    /// Changes the sizes and the headers. EBUSY if a message is queued, or is being read or
    /// written. Process context, sleeps.
    ///
    /// Both the old and the new buffers are charged while both exist.
    pub(super) fn set_up(&self, setup: &repoll_source_setup) -> Result {
        let mut new = State::new(setup, &self.account)?;
        let mut state = self.state.lock();
        // If all buffers are free, no writer waits for room either.
        if state.free.len() != state.messages as usize {
            return Err(EBUSY);
        }
        new.hung_up = state.hung_up;
        new.arrived = state.arrived;
        new.read = state.read;
        new.dropped = state.dropped;
        new.too_long = state.too_long;
        core::mem::swap(&mut *state, &mut new);
        // The old buffers are freed without the lock, which has interrupts off.
        drop(state);
        Ok(())
    }

    /// The file's events: `EPOLL*` bits. Any context.
    pub(super) fn events(&self) -> u32 {
        let state = self.state.lock();
        let mut events = 0;
        if !state.queued.is_empty() {
            events |= EPOLLIN | EPOLLRDNORM;
        }
        if state.hung_up {
            // EPOLLHUP excludes EPOLLOUT: poll(2).
            events |= EPOLLHUP;
        } else if !state.free.is_empty() {
            events |= EPOLLOUT | EPOLLWRNORM;
        }
        events
    }

    /// Takes a buffer for a message of `length` bytes. EMSGSIZE if that is too long, EAGAIN without
    /// room, ENODEV after a hang-up. Any context.
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

    /// Takes the first message, if it fits into `room` bytes, header included. EMSGSIZE if it does
    /// not; EAGAIN without a message, ENODEV if that is after a hang-up. Any context.
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

    /// Queues a message from an interrupt, which `fill` copies into the queue; `fill` returns false
    /// if it can't. Without room the new message is dropped, not an older one. Any context.
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
            REPOLL_DROP_TOO_LONG
        } else {
            state.dropped = state.dropped.wrapping_add(1);
            if error == EAGAIN {
                REPOLL_DROP_FULL
            } else {
                REPOLL_DROP_OTHER
            }
        };
        drop(state);
        trace!(source_drop(self.id, kind as u32, length as u32, reason));
    }

    /// Ends the queue: its network interface was unregistered. The queued messages can still be
    /// read. Any context.
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
        // A hang-up concerns all sleepers.
        self.readers.wake_up_all(0);
        self.writers.wake_up_all(0);
        self.pollers.wake_up_all(EPOLLHUP | EPOLLIN | EPOLLOUT);
    }

    /// Undoes a hang-up. Returns whether there was one. Process context.
    pub(super) fn clear_hangup(&self) -> bool {
        let mut state = self.state.lock();
        let was = core::mem::replace(&mut state.hung_up, false);
        let room = !state.free.is_empty();
        drop(state);
        if was && room {
            self.notify(&self.writers, EPOLLOUT | EPOLLWRNORM, true, Band::Out);
        }
        was
    }

    /// Whether the network interface was unregistered. Any context.
    pub(super) fn is_hung_up(&self) -> bool {
        self.state.lock().hung_up
    }

    /// The number of bytes that the next read returns; 0 without a message. Any context.
    pub(super) fn next_length(&self) -> usize {
        let state = self.state.lock();
        let first = state.queued.front();
        first.map_or(0, |first| first.length + state.header_length())
    }

    /// Reads sizes, state and counters, without those of the feeds. Any context.
    pub(super) fn status(&self) -> repoll_source_status {
        let state = self.state.lock();
        repoll_source_status {
            messages: state.messages,
            message_size: state.message_size,
            queued: state.queued.len() as u32,
            flags: if state.hung_up {
                REPOLL_SOURCE_HUNG_UP
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

    /// Wakes one of `sleepers` for `events`. If `polled`, also wakes the pollers, and signals the
    /// processes that want a signal.
    ///
    /// No lock is held here: the wait queues' locks nest inside none of ours, and a woken task may
    /// take the queue's lock at once. The caller has held that lock before, which is all the order
    /// that [`WaitQueue::has_entries`] and [`Fasync::has_entries`] need: they see an entry whose
    /// owner looked at the state before that. `tools/model/src/order_by_lock.rs` has a twin: change
    /// both.
    fn notify(&self, sleepers: &WaitQueue, events: u32, polled: bool, band: Band) {
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

    fn notify_readers(&self) {
        self.notify(&self.readers, EPOLLIN | EPOLLRDNORM, true, Band::In);
    }

    /// Returns a buffer to the free ones; `read` if its message was read.
    fn free(&self, buffer: Buffer, read: bool) {
        let mut state = self.state.lock();
        let was_full = state.free.is_empty();
        state.free.push_front(buffer);
        if read {
            state.read = state.read.wrapping_add(1);
        }
        drop(state);
        self.notify(&self.writers, EPOLLOUT | EPOLLWRNORM, was_full, Band::Out);
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

/// A buffer for a message that is being written. Its drop frees the buffer.
pub(super) struct Reserved<'a> {
    queue: &'a Queue,
    buffer: Option<Buffer>,
}

impl Reserved<'_> {
    /// The bytes of the message, to be filled.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        self.buffer.as_mut().map_or(&mut [], |buffer| {
            let length = buffer.length;
            &mut buffer.bytes[..length]
        })
    }

    /// Puts the message into the queue. ENODEV after a hang-up meanwhile. Any context.
    pub(super) fn commit(mut self, kind: Kind) -> Result {
        let mut state = self.queue.state.lock();
        if state.hung_up {
            // A reader may have seen the end of the queue already.
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
        // Under the lock, so that this record comes before a reader's record of the message.
        trace!(source_arrive(
            self.queue.id,
            kind as u32,
            number,
            length,
            state.queued.len() as u32
        ));
        drop(state);
        self.queue.notify_readers();
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

/// A message that is being read. Its drop puts it back, first in the queue, unless it is
/// [`done`](Taken::done).
pub(super) struct Taken<'a> {
    queue: &'a Queue,
    headers: bool,
    buffer: Option<Buffer>,
}

impl Taken<'_> {
    /// The header of the message, if the queue has headers. Its time is that of the reader's time
    /// namespace. Process context.
    pub(super) fn header(&self) -> Option<repoll_source_header> {
        let buffer = self.buffer.as_ref().filter(|_| self.headers)?;
        Some(repoll_source_header {
            time: hrtimeout::in_namespace(buffer.time) as u64,
            length: buffer.length as u32,
            kind: buffer.kind as u32,
        })
    }

    /// The bytes of the message.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer
            .as_ref()
            .map_or(&[], |buffer| &buffer.bytes[..buffer.length])
    }

    /// Ends the read: the message was copied.
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
            self.queue.notify_readers();
        }
    }
}
