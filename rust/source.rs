// SPDX-License-Identifier: GPL-2.0

//! The event source: the other side of a wait queue.
//!
//! [`eventpoll`](crate::eventpoll) watches; this is watched. An open `/dev/repoll-source` is a [`Source`]: a
//! bounded queue of messages ([`queue`]) that programs write to and read from, that a timer
//! ([`timer`]) and a network interface ([`nic`]) feed from interrupts, and that can be waited for in
//! all five ways: see `Documentation/reference/source.rst`, which is also the way to read these files.

#![forbid(unsafe_code)]

mod ioctl;
mod nic;
mod queue;
mod ring;
mod timer;

use crate::kernel_ext::{
    atomic::{
        ordering::Relaxed, //
        Atomic,
    },
    fasync::Fasync,
    miscdevice::{
        register, //
        MiscDevice,
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
use crate::uapi;
use crate::uapi::epoll::{
    EPOLLERR,
    EPOLLHUP,
    EPOLLIN,
    EPOLLOUT, //
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

/// The private data of an open `/dev/repoll-source`.
#[pin_data]
pub(crate) struct Source {
    /// The messages, and who waits for them. What feeds it has references of its own.
    queue: Arc<Queue>,
    /// Set once one poller too many has come; `poll` then returns `EPOLLERR` for good. Any context.
    /// Relaxed: the poller that is refused sees what it stored, and others may see it late.
    crowded: Atomic<bool>,
    /// Held from the count of the pollers until one more is registered.
    #[pin]
    arrival: Mutex<()>,
    /// The opener's network namespace. Does not change.
    net: Arc<Net>,
    /// What feeds the queue besides writers.
    #[pin]
    feeds: Mutex<Feeds>,
}

/// What feeds a queue from interrupts. Each ends when it is dropped, and no interrupt of it is under
/// way any more then: so the end of the file ends all of it.
#[derive(Default)]
struct Feeds {
    timer: Option<timer::Running>,
    nic: Option<Pin<KBox<Attachment<nic::Frames>>>>,
}

/// The most entries of pollers of a source: watches of instances and of the C epoll, elements of a
/// poll(2) array, requests of io_uring. Each message calls each entry, perhaps in a hard interrupt.
/// An entry takes 125 to 320 instructions; this number of the dearest ones takes 1.6 million.
///
/// It is the last resort: a user's watches by instances have a lower limit of their own. A poller
/// that finds no room can't be woken, and can't know that, so `poll` reports an error to all, for
/// good.
const MAX_POLLERS: u32 = uapi::REPOLL_SOURCE_MAX_POLLERS;

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
                crowded: Atomic::new(false),
                net,
                arrival <- new_mutex!((), "Source::arrival"),
                feeds <- new_mutex!(Feeds::default(), "Source::feeds"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    fn poll(this: ArcBorrow<'_, Self>, table: &PollTable<'_>) -> u32 {
        // First into the wait queue, then a look at the state: a message that comes in between wakes
        // the poller, one that came before is seen.
        let crowded = || this.crowded.load(Relaxed);
        if table.waits() {
            // One poller at a time: to register may sleep, after the count.
            let _arrival = this.arrival.lock();
            // After one refusal the entries are not counted again.
            if !crowded() && this.queue.pollers.has_room(MAX_POLLERS) {
                register(table, &*this, |source| &source.queue.pollers);
            } else {
                this.crowded.store(true, Relaxed);
            }
        }
        let events = if crowded() {
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
            outcome(&result)
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
            outcome(&result)
        ));
        result
    }

    fn fasync(&self) -> &Fasync {
        &self.queue.fasync
    }

    fn ioctl(this: ArcBorrow<'_, Self>, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        ioctl::ioctl(&this, cmd, arg)
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

/// Takes one message out of the queue: all of it, or nothing.
fn read(queue: &Queue, nonblock: bool, to: &mut IovIterDest<'_>) -> Result<usize> {
    let room = to.len();
    if room == 0 {
        return Ok(0);
    }
    let message = wait_for(queue, &queue.readers, nonblock, Direction::Read, || {
        queue.take(room)
    })?;
    // Copied with no lock held, since the copy may sleep. Nobody else has the message meanwhile.
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

/// Puts one message into the queue.
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

/// Attempts until it is not EAGAIN; sleeps in between among `sleepers`, unless `nonblock`.
///
/// A sleeper that a wake-up took out of the line attempts before it looks for a signal, so no wake-up
/// is lost to one that is being interrupted. If it can't use what it was woken for (EMSGSIZE), the
/// next in line is woken for it.
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

/// A result as the tracepoints have it.
fn outcome(result: &Result<usize>) -> i64 {
    match result {
        Ok(length) => *length as i64,
        Err(e) => e.to_errno().into(),
    }
}
