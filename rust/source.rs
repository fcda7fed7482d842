// SPDX-License-Identifier: GPL-2.0

//! The event source, the counterpart of [`eventpoll`](crate::eventpoll): a file that wakes its
//! pollers.
//!
//! An open `/dev/repoll-source` is a [`Source`]: a bounded queue of messages ([`queue`]). Programs
//! write and read messages; a timer ([`timer`]) and a network interface ([`nic`]) feed the queue
//! from interrupts. All five I/O models can wait for it: see `Documentation/reference/source.rst`,
//! which also has the order in which to read these files.
//!
//! # Locking
//!
//! From the outer to the inner lock:
//!
//! ```text
//!   Source::feeds          mutex, one per open file: the feeds of its queue
//!   > RTNL                 the kernel's mutex of network interfaces: to attach and detach
//!     > Queue::state       spinlock with interrupts off, any context: the places of the buffers
//!
//!   Source::arrival        mutex, one per open file: held from the count of the pollers until one
//!                          more is registered
//!   > pollers              as below
//!
//!   Queue::readers, writers, pollers
//!                          wait queues' locks, any context; taken with no other lock of a source
//!                          held but `arrival`, or RTNL and the mutex around it
//! ```
//!
//! - A feed (the timer's interrupt, the packet handler, the notifier of unregistered interfaces,
//!   which runs under RTNL) takes `Queue::state` and the wait queues' locks, one after the other.
//!   It never takes `feeds`, so the drop of a feed can wait for it under `feeds`.
//! - User memory is copied with none of these held: [`queue`] has the reasons.
//! - `Queue::state` protects the buffers and the counts. The owner of a buffer has its bytes.
//!   `Source::feeds` protects the timer and the attachment.

#![forbid(unsafe_code)]

mod ioctl;
mod nic;
mod queue;
mod ring;
mod throttle;
mod timer;
mod usage;

use crate::kernel_ext::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    fasync::Fasync,
    miscdevice::{
        register,
        MiscDevice, //
    },
    net::{
        Attachment,
        Net, //
    },
    poll_table::PollTable,
    signal,
    wait_queue::WaitQueue, //
};
use crate::trace::trace;
use crate::uapi::{
    epoll::{
        EPOLLERR,
        EPOLLHUP,
        EPOLLIN,
        EPOLLOUT, //
    },
    REPOLL_SOURCE_MAX_POLLERS, //
};
use kernel::{
    fs::File,
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    new_mutex,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        Arc,
        ArcBorrow,
        Mutex, //
    }, //
};
use queue::{
    Kind,
    Queue, //
};

pub(crate) use usage::init;

/// The private data of an open `/dev/repoll-source`.
#[pin_data]
pub(crate) struct Source {
    /// The messages and those that wait for them. The feeds have references of their own.
    queue: Arc<Queue>,
    /// Set when a poller finds no room; `poll` then returns `EPOLLERR` for good, to all pollers:
    /// the refused poller can't be woken, and can't know that. Any context. Relaxed: the refused
    /// poller sees its own store, and others may see it late.
    poller_limit_hit: Atomic<bool>,
    /// Held from the count of the pollers until one more is registered, which may sleep.
    #[pin]
    arrival: Mutex<()>,
    /// The opener's network namespace. Does not change.
    net: Arc<Net>,
    /// The feeds of the queue besides writers.
    #[pin]
    feeds: Mutex<Feeds>,
}

/// The feeds of a queue that run in interrupts. Each ends when it is dropped, and its interrupt is
/// not running any more then: so the release of the file ends all of them.
#[derive(Default)]
struct Feeds {
    timer: Option<timer::Running>,
    nic: Option<Pin<KBox<Attachment<nic::Frames>>>>,
}

/// The most pollers of a source: watches of instances and of the C epoll, elements of a poll(2)
/// array, requests of io_uring. Each message calls each poller's entry, perhaps in a hard
/// interrupt. A call takes 125 to 320 instructions; at the limit, the dearest entries take 1.6
/// million.
///
/// It is the last resort: a lower limit of its own applies to a user's watches by instances.
const MAX_POLLERS: u32 = REPOLL_SOURCE_MAX_POLLERS;

/// Numbers the open files, for the tracepoints.
static SOURCES: Atomic<u32> = Atomic::new(0);

#[vtable]
impl MiscDevice for Source {
    const NAME: &'static CStr = c"repoll-source";

    fn open() -> Result<Arc<Self>> {
        let id = SOURCES.fetch_add(1, Relaxed).wrapping_add(1);
        let queue = Queue::new(id)?;
        let net = Arc::new(Net::current()?, GFP_KERNEL_ACCOUNT)?;
        Arc::pin_init(
            pin_init!(Self {
                queue,
                poller_limit_hit: Atomic::new(false),
                net,
                arrival <- new_mutex!((), "Source::arrival"),
                feeds <- new_mutex!(Feeds::default(), "Source::feeds"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    fn poll(this: ArcBorrow<'_, Self>, table: &PollTable<'_>) -> u32 {
        // Register first, then look at the state: a message that comes in between wakes the poller,
        // and an earlier one is seen.
        let limit_hit = || this.poller_limit_hit.load(Relaxed);
        if table.waits() {
            // One poller at a time: the registration may sleep, after the count.
            let _arrival = this.arrival.lock();
            // After one refusal the entries are not counted again.
            if !limit_hit() && this.queue.pollers.has_room(MAX_POLLERS) {
                register(table, &*this, |source| &source.queue.pollers);
            } else {
                this.poller_limit_hit.store(true, Relaxed);
            }
        }
        let events = if limit_hit() {
            EPOLLERR
        } else {
            this.queue.events()
        };
        trace!(source_poll(this.queue.id, events));
        events
    }

    fn read_iter(
        this: ArcBorrow<'_, Self>,
        nonblock: bool,
        to: &mut IovIterDest<'_>,
    ) -> Result<usize> {
        let result = read(&this.queue, nonblock, to);
        trace!(source_read(
            this.queue.id,
            nonblock.into(),
            length_or_errno(&result)
        ));
        result
    }

    fn write_iter(
        this: ArcBorrow<'_, Self>,
        nonblock: bool,
        from: &mut IovIterSource<'_>,
    ) -> Result<usize> {
        let result = write(&this.queue, nonblock, from);
        trace!(source_write(
            this.queue.id,
            nonblock.into(),
            length_or_errno(&result)
        ));
        result
    }

    fn fasync(&self) -> &Fasync {
        &self.queue.fasync
    }

    fn ioctl(this: ArcBorrow<'_, Self>, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        this.run_ioctl(cmd, arg)
    }

    fn show_fdinfo(this: ArcBorrow<'_, Self>, out: &SeqFile) {
        let status = this.status();
        seq_print!(
            out,
            "messages: {}/{} size: {} arrived: {} read: {} dropped: {} too-long: {}\n",
            status.queued,
            status.messages,
            status.message_size,
            status.arrived,
            status.read,
            status.dropped,
            status.too_long,
        );
    }
}

/// Reads one message: all of it, or nothing.
fn read(queue: &Queue, nonblock: bool, to: &mut IovIterDest<'_>) -> Result<usize> {
    let room = to.len();
    if room == 0 {
        return Ok(0);
    }
    let message = wait_for(queue, &queue.readers, nonblock, Direction::Read, || {
        queue.take(room)
    })?;
    // No lock is held, since the copy may sleep. The message belongs to this reader meanwhile.
    let mut length = 0;
    if let Some(header) = message.header() {
        let header = header.as_bytes();
        if to.copy_to_iter(header) != header.len() {
            return Err(EFAULT);
        }
        length += header.len();
    }
    let bytes = message.bytes();
    if to.copy_to_iter(bytes) != bytes.len() {
        return Err(EFAULT);
    }
    length += bytes.len();
    message.done();
    Ok(length)
}

/// Writes one message.
fn write(queue: &Queue, nonblock: bool, from: &mut IovIterSource<'_>) -> Result<usize> {
    let length = from.len();
    if length == 0 {
        return Ok(0);
    }
    let mut message = wait_for(queue, &queue.writers, nonblock, Direction::Write, || {
        queue.reserve(length)
    })?;
    if from.copy_from_iter(message.bytes()) != length {
        return Err(EFAULT);
    }
    message.commit(Kind::Write)?;
    Ok(length)
}

#[derive(Clone, Copy)]
enum Direction {
    Read,
    Write,
}

/// Repeats `attempt` while it returns EAGAIN; sleeps in between among `sleepers`, unless
/// `nonblock`.
///
/// A sleeper that a wake-up took out of the queue attempts before it looks for a signal, so no
/// wake-up is lost to a sleeper that is interrupted. A sleeper that can't use its wake-up
/// (EMSGSIZE) wakes the next one.
fn wait_for<T>(
    queue: &Queue,
    sleepers: &WaitQueue,
    nonblock: bool,
    direction: Direction,
    mut attempt: impl FnMut() -> Result<T>,
) -> Result<T> {
    let (writer, events) = match direction {
        Direction::Read => (0, EPOLLIN | EPOLLHUP),
        Direction::Write => (1, EPOLLOUT | EPOLLHUP),
    };
    loop {
        match attempt() {
            Err(EAGAIN) if nonblock => return Err(EAGAIN),
            Err(EAGAIN) => {}
            Err(EMSGSIZE) => {
                if sleepers.has_entries() {
                    sleepers.wake_up(false);
                }
                return Err(EMSGSIZE);
            }
            result => return result,
        }
        if signal::signal_pending() {
            return Err(ERESTARTSYS);
        }
        trace!(source_sleep(queue.id, writer));
        sleepers.sleep_in_line(|| queue.events() & events != 0);
    }
}

/// A result as the tracepoints record it: a length, or a negative errno.
fn length_or_errno(result: &Result<usize>) -> i64 {
    match result {
        Ok(length) => *length as i64,
        Err(e) => e.to_errno().into(),
    }
}
