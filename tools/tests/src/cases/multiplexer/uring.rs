// SPDX-License-Identifier: GPL-2.0
//! io_uring and an instance: a ring polls the instance, an instance watches a ring.

use crate::prelude::*;
use io_uring::{cqueue, opcode, squeue, types, IoUring};
use std::os::fd::RawFd;

pub fn tests() -> Vec<Test> {
    both!("uring":
        a_poll_of_a_ready_instance_completes_at_once,
        a_poll_of_an_instance_completes_when_something_gets_ready,
        a_multishot_poll_of_an_instance_completes_again_and_again,
        a_cancelled_poll_of_an_instance_leaves_no_trace,
        the_end_of_the_ring_ends_its_poll,
        a_poll_outlives_the_last_descriptor_of_the_instance,
        a_completion_reaches_an_instance_through_the_eventfd_of_the_ring,
        a_completion_reaches_an_instance_that_watches_the_ring,
        a_ring_and_an_instance_do_not_feed_each_other_through_an_eventfd,
        a_ring_and_an_instance_do_not_feed_each_other,
    )
}

/// A ring, with what the tests do with it.
struct Ring(IoUring);

/// The mark of the tests' poll requests.
const POLL: u64 = 1;
const CANCEL: u64 = 2;
const NOTHING: u64 = 3;

impl Ring {
    fn new() -> Result<Self> {
        match IoUring::new(32) {
            Ok(ring) => Ok(Self(ring)),
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                skip("the kernel has no io_uring (CONFIG_IO_URING)")
            }
            Err(error) => Err(error.into()),
        }
    }

    fn submit(&mut self, entry: squeue::Entry) -> Result<()> {
        // SAFETY: the requests of these tests point to no memory.
        unsafe { self.0.submission().push(&entry)? };
        self.0.submit()?;
        Ok(())
    }

    /// Begins to poll for input.
    fn poll(&mut self, fd: RawFd, multi: bool) -> Result<()> {
        let poll = opcode::PollAdd::new(types::Fd(fd), libc::POLLIN as u32).multi(multi);
        self.submit(poll.build().user_data(POLL))
    }

    /// Lets a request complete that does nothing.
    fn complete_nothing(&mut self) -> Result<()> {
        self.submit(opcode::Nop::new().build().user_data(NOTHING))
    }

    /// The requests that have completed by now.
    fn completed(&mut self) -> Result<Vec<cqueue::Entry>> {
        // Runs what wake-ups have left for this task to do.
        self.0.submit()?;
        Ok(self.0.completion().collect())
    }

    /// The next completion, whose mark must be this.
    fn next(&mut self, mark: u64) -> Result<cqueue::Entry> {
        eventually("a completion", || {
            self.0.submit()?;
            Ok(!self.0.completion().is_empty())
        })?;
        let entry = self.0.completion().next().context("a completion")?;
        ensure!(entry.user_data() == mark, "{entry:?}");
        Ok(entry)
    }

    /// The next completion is of a poll that found input; whether more will come.
    fn next_poll(&mut self) -> Result<bool> {
        let entry = self.next(POLL)?;
        ensure!(
            entry.result() & i32::from(libc::POLLIN) != 0,
            "the poll found no input: {entry:?}"
        );
        Ok(cqueue::more(entry.flags()))
    }

    fn expect_none(&mut self) -> Result<()> {
        sleep(MOMENT);
        let completed = self.completed()?;
        ensure!(completed.is_empty(), "{completed:?}");
        Ok(())
    }
}

fn with_eventfd<M: Multiplexer>(events: EventFlags) -> Result<(Ring, M, OwnedFd)> {
    let (ring, m, fd) = (Ring::new()?, M::new()?, files::eventfd()?);
    m.add(&fd, events, 1)?;
    Ok((ring, m, fd))
}

fn a_poll_of_a_ready_instance_completes_at_once<M: Multiplexer>() -> Result<()> {
    let (mut ring, m, fd) = with_eventfd::<M>(EventFlags::IN)?;
    signal(&fd)?;
    for _ in 0..3 {
        ring.poll(m.as_raw_fd(), false)?;
        ensure!(!ring.next_poll()?, "it was to be one");
    }
    expect_one(&m, 1)?;
    // An item that is in the ready queue but not ready does not count.
    read_all(&fd)?;
    ring.poll(m.as_raw_fd(), false)?;
    ring.expect_none()?;
    signal(&fd)?;
    ring.next_poll().map(drop)
}

fn a_poll_of_an_instance_completes_when_something_gets_ready<M: Multiplexer>() -> Result<()> {
    let (mut ring, m, fd) = with_eventfd::<M>(EventFlags::IN)?;
    for _ in 0..3 {
        ring.poll(m.as_raw_fd(), false)?;
        ring.expect_none()?;
        // From another thread: the task that owns the poll must be woken.
        after(MOMENT, || signal(&fd), || ring.0.submit_and_wait(1))?;
        ensure!(!ring.next_poll()?, "it was to be one");
        expect_one(&m, 1)?;
        read_all(&fd)?;
        expect_none(&m)?;
        signal(&fd)?;
        ring.expect_none()?;
        read_all(&fd)?;
    }
    Ok(())
}

fn a_multishot_poll_of_an_instance_completes_again_and_again<M: Multiplexer>() -> Result<()> {
    let (mut ring, m, fd) = with_eventfd::<M>(EventFlags::IN | EventFlags::ET)?;
    ring.poll(m.as_raw_fd(), true)?;
    ring.expect_none()?;
    for _ in 0..10 {
        signal(&fd)?;
        ensure!(ring.next_poll()?, "no more is to come");
        expect_one(&m, 1)?;
        expect_none(&m)?;
        ring.expect_none()?;
    }
    Ok(())
}

fn a_cancelled_poll_of_an_instance_leaves_no_trace<M: Multiplexer>() -> Result<()> {
    let (mut ring, m, fd) = with_eventfd::<M>(EventFlags::IN)?;
    for multi in [false, true] {
        ring.poll(m.as_raw_fd(), multi)?;
        ring.submit(opcode::PollRemove::new(POLL).build().user_data(CANCEL))?;
        let mut ends = [ring.completed()?, ring.completed()?].concat();
        ends.sort_by_key(cqueue::Entry::user_data);
        let ends: Vec<_> = ends
            .iter()
            .map(|end| (end.user_data(), end.result()))
            .collect();
        ensure!(ends == [(POLL, -libc::ECANCELED), (CANCEL, 0)], "{ends:?}");
    }
    signal(&fd)?;
    ring.expect_none()?;
    expect_one(&m, 1).map(drop)
}

fn the_end_of_the_ring_ends_its_poll<M: Multiplexer>() -> Result<()> {
    for multi in [false, true] {
        let (mut ring, m, fd) = with_eventfd::<M>(EventFlags::IN)?;
        ring.poll(m.as_raw_fd(), multi)?;
        drop(ring);
        signal(&fd)?;
        expect_one(&m, 1)?;
        drop(m);
        signal(&fd)?;
    }
    Ok(())
}

/// The request holds the file.
fn a_poll_outlives_the_last_descriptor_of_the_instance<M: Multiplexer>() -> Result<()> {
    let (mut ring, m, fd) = with_eventfd::<M>(EventFlags::IN)?;
    ring.poll(m.as_raw_fd(), false)?;
    drop(m);
    ring.expect_none()?;
    signal(&fd)?;
    ring.next_poll().map(drop)
}

fn a_completion_reaches_an_instance_through_the_eventfd_of_the_ring<M: Multiplexer>() -> Result<()>
{
    let (mut ring, m, fd) = with_eventfd::<M>(EventFlags::IN | EventFlags::ET)?;
    ring.0.submitter().register_eventfd(fd.as_raw_fd())?;
    for _ in 0..3 {
        expect_none(&m)?;
        ring.complete_nothing()?;
        expect_one(&m, 1)?;
        ring.next(NOTHING)?;
    }
    // Somebody who sleeps is woken.
    let events = scope(|threads| {
        let waiter = threads.spawn(|| m.wait(4, Some(LONG)));
        sleep(MOMENT);
        ring.complete_nothing()?;
        join(waiter)?.context("WAIT")
    })?;
    ensure!(events.len() == 1, "{events:?}");
    Ok(())
}

fn a_completion_reaches_an_instance_that_watches_the_ring<M: Multiplexer>() -> Result<()> {
    let (mut ring, m) = (Ring::new()?, M::new()?);
    m.add(&ring.0, EventFlags::IN, 1)?;
    for _ in 0..3 {
        expect_none(&m)?;
        ring.complete_nothing()?;
        ensure!(expect_one(&m, 1)?.contains(EventFlags::IN));
        ring.next(NOTHING)?;
    }
    expect_none(&m)
}

/// Each completion of the poll makes the instance ready, which completes the poll. The ring ends
/// that, if it knows that its own wake-up comes back.
fn no_feedback<M: Multiplexer>(mut ring: Ring, m: &M) -> Result<()> {
    ring.poll(m.as_raw_fd(), true)?;
    ring.complete_nothing()?;
    ring.next(NOTHING)?;
    let mut polls = Vec::new();
    let mut quiet = 0;
    eventually("it comes to rest", || {
        sleep(MOMENT);
        let completed = ring.completed()?;
        quiet = if completed.is_empty() { quiet + 1 } else { 0 };
        polls.extend(completed);
        ensure!(polls.len() < 20, "they feed each other: {polls:?}");
        Ok(quiet == 5)
    })?;
    ensure!(!polls.is_empty(), "the poll has seen nothing");
    let goes_on = polls.iter().any(|end| cqueue::more(end.flags()));
    ensure!(!goes_on, "the poll goes on: {polls:?}");
    Ok(())
}

fn a_ring_and_an_instance_do_not_feed_each_other_through_an_eventfd<M: Multiplexer>() -> Result<()>
{
    let (ring, m, fd) = with_eventfd::<M>(EventFlags::IN | EventFlags::ET)?;
    ring.0.submitter().register_eventfd(fd.as_raw_fd())?;
    no_feedback(ring, &m)
}

fn a_ring_and_an_instance_do_not_feed_each_other<M: Multiplexer>() -> Result<()> {
    let (ring, m) = (Ring::new()?, M::new()?);
    m.add(&ring.0, EventFlags::IN | EventFlags::ET, 1)?;
    no_feedback(ring, &m)
}
