// SPDX-License-Identifier: GPL-2.0
//! The event source as a file: messages in and out, readiness, and what it refuses.

use crate::cases::tracing::contexts::{recording, records_of};
use crate::module::references;
use crate::prelude::*;
use repoll::sys::{
    repoll_source_setup, REPOLL_IOCTL_SOURCE_SETUP, REPOLL_IOCTL_SOURCE_STATUS,
    REPOLL_SOURCE_MAX_BYTES, REPOLL_SOURCE_MAX_MESSAGES, REPOLL_SOURCE_MAX_MESSAGE_SIZE,
    REPOLL_SOURCE_MIN_MESSAGE_SIZE,
};
use repoll::{Kind, Source};
use repoll_testkit::files::{receive_descriptor, send_descriptor};
use repoll_testkit::memory::{Mapping, Place};
use repoll_testkit::processes::fork;
use repoll_testkit::raw;
use repoll_testkit::signals::{handle_signal, Thread};
use rustix::pipe::SpliceFlags;
use rustix::time::ClockId;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;

pub fn tests() -> Vec<Test> {
    let mut tests = repoll_only!("source":
        messages_come_out_as_they_went_in,
        vectors_are_one_message,
        a_buffer_that_is_too_small_takes_nothing,
        a_message_that_is_too_long_is_refused,
        nothing_is_neither_read_nor_written,
        a_read_that_faults_loses_nothing,
        a_write_that_faults_leaves_nothing,
        headers_tell_when_and_whence,
        readiness_is_what_a_call_finds,
        each_message_wakes_one_reader,
        room_wakes_a_writer,
        a_reader_too_small_hands_its_wake_up_on,
        a_handler_interrupts_a_sleeping_reader,
        a_handler_may_restart_a_sleeping_reader,
        a_killed_reader_is_gone,
        copies_share_the_queue_and_openings_do_not,
        a_source_can_be_sent_to_another_process,
        structures_are_versioned_by_their_size,
        sizes_are_checked,
        sizes_change_only_while_empty,
        the_next_length_is_told,
        a_message_can_be_spliced_out,
        it_has_no_position,
        foreign_calls_are_refused,
        fdinfo_counts,
    );
    tests.extend(both!("source":
        watching_ends_with_the_last_close,
        edges_are_messages,
    ));
    tests
}

/// A source that does not block.
pub fn open() -> Result<Source> {
    Ok(Source::open_nonblocking()?)
}

/// The messages that can be read now.
pub fn read_messages(source: &Source) -> Result<Vec<Vec<u8>>> {
    let mut messages = Vec::new();
    let mut buffer = vec![0; 70_000];
    loop {
        match (&mut &*source).read(&mut buffer) {
            Ok(length) => messages.push(buffer[..length].to_vec()),
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => return Ok(messages),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads one message.
pub fn read_one(source: &Source) -> Result<Vec<u8>> {
    let mut buffer = [0; 100];
    let length = (&mut &*source).read(&mut buffer)?;
    Ok(buffer[..length].to_vec())
}

/// The events that poll(2) reports at once.
pub fn poll_now(source: &Source) -> Result<i16> {
    let all = libc::POLLIN | libc::POLLOUT | libc::POLLRDNORM | libc::POLLWRNORM;
    Ok(files::poll(source, all, Duration::ZERO)?)
}

const IN: i16 = libc::POLLIN | libc::POLLRDNORM;
const OUT: i16 = libc::POLLOUT | libc::POLLWRNORM;

fn messages_come_out_as_they_went_in() -> Result<()> {
    let mut source = open()?;
    let messages: Vec<Vec<u8>> = (1..=20).map(|n| vec![n; n as usize * 7]).collect();
    for message in &messages {
        ensure!(source.write(message)? == message.len());
    }
    ensure!(source.status()?.queued == 20);
    ensure!(read_messages(&source)? == messages);
    let status = source.status()?;
    ensure!(status.arrived == 20 && status.read == 20 && status.queued == 0);
    // Round and round.
    source.set_up(3, 16, false)?;
    for n in 0..100u64 {
        source.write_all(&n.to_ne_bytes())?;
        source.write_all(&(n + 1000).to_ne_bytes())?;
        let expected = [n.to_ne_bytes(), (n + 1000).to_ne_bytes()];
        ensure!(read_messages(&source)? == expected);
    }
    Ok(())
}

fn vectors_are_one_message() -> Result<()> {
    let source = open()?;
    let parts = [IoSlice::new(b"one "), IoSlice::new(b"message")];
    ensure!(rustix::io::writev(&source, &parts)? == 11);
    let (mut a, mut b) = ([0; 5], [0; 100]);
    let mut parts = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
    ensure!(rustix::io::readv(&source, &mut parts)? == 11);
    ensure!(&a == b"one m" && b.starts_with(b"essage\0"));
    Ok(())
}

fn a_buffer_that_is_too_small_takes_nothing() -> Result<()> {
    let mut source = open()?;
    source.write_all(b"ten bytes.")?;
    expect_error(source.read(&mut [0; 9]), libc::EMSGSIZE)?;
    ensure!(source.status()?.queued == 1);
    ensure!(poll_now(&source)? & libc::POLLIN != 0);
    ensure!(source.read(&mut [0; 10])? == 10);
    Ok(())
}

fn a_message_that_is_too_long_is_refused() -> Result<()> {
    let mut source = open()?;
    source.set_up(2, 100, false)?;
    expect_error(source.write(&[0; 101]), libc::EMSGSIZE)?;
    ensure!(source.write(&[0; 100])? == 100);
    ensure!(source.status()?.arrived == 1);
    Ok(())
}

fn nothing_is_neither_read_nor_written() -> Result<()> {
    let mut source = open()?;
    ensure!(source.read(&mut [])? == 0);
    ensure!(source.write(&[])? == 0);
    ensure!(source.status()?.arrived == 0);
    source.write_all(b"x")?;
    ensure!(source.read(&mut [])? == 0);
    ensure!(source.status()?.queued == 1);
    Ok(())
}

fn a_read_that_faults_loses_nothing() -> Result<()> {
    let mut source = open()?;
    source.write_all(b"first message")?;
    source.write_all(b"second")?;
    let (edge, offset) = Mapping::ending_with(&[0u8; 5])?;
    for place in [Place::nowhere(16), edge.place(offset)] {
        expect_error(files::read_to(&source, place, 100), libc::EFAULT)?;
        let status = source.status()?;
        ensure!(status.queued == 2 && status.read == 0, "{status:?}");
    }
    ensure!(read_messages(&source)? == [b"first message".to_vec(), b"second".to_vec()]);
    Ok(())
}

fn a_write_that_faults_leaves_nothing() -> Result<()> {
    let mut source = open()?;
    source.set_up(2, 100, false)?;
    let (edge, offset) = Mapping::ending_with(&[0u8; 5])?;
    for _ in 0..5 {
        for address in [16, edge.address() + offset] {
            expect_error(files::write_from(&source, address, 50), libc::EFAULT)?;
        }
    }
    ensure!(poll_now(&source)? == OUT);
    // All room is still there.
    source.write_all(b"a")?;
    source.write_all(b"b")?;
    expect_error(source.write(b"c"), libc::EAGAIN)
}

/// The monotonic clock.
pub fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn headers_tell_when_and_whence() -> Result<()> {
    let mut source = open()?;
    source.set_up(4, 16, true)?;
    let before = monotonic();
    source.write_all(b"sixteen bytes ok")?;
    source.write_all(b"b")?;
    let after = monotonic();
    expect_error(source.read(&mut [0; 31]), libc::EMSGSIZE)?;
    let mut buffer = [0; 32];
    let first = source.receive(&mut buffer)?;
    ensure!(
        first.bytes == b"sixteen bytes ok" && first.kind == Kind::Write,
        "{first:?}"
    );
    let time = first.time;
    ensure!(
        before <= time && time <= after,
        "{before:?} {time:?} {after:?}"
    );
    let mut buffer = [0; 32];
    let second = source.receive(&mut buffer)?;
    ensure!(second.bytes == b"b" && second.time >= time, "{second:?}");
    Ok(())
}

fn readiness_is_what_a_call_finds() -> Result<()> {
    let mut source = open()?;
    source.set_up(2, 16, false)?;
    ensure!(poll_now(&source)? == OUT);
    source.write_all(b"a")?;
    ensure!(poll_now(&source)? == IN | OUT);
    source.write_all(b"b")?;
    ensure!(poll_now(&source)? == IN);
    expect_error(source.write(b"c"), libc::EAGAIN)?;
    read_one(&source)?;
    ensure!(poll_now(&source)? == IN | OUT);
    read_one(&source)?;
    ensure!(poll_now(&source)? == OUT);
    expect_error(source.read(&mut [0; 16]), libc::EAGAIN)
}

/// `count` threads sleep in a read, and send what they have read.
fn sleeping_readers(
    source: &Source,
    count: u32,
    body: impl FnOnce(std::sync::mpsc::Receiver<Vec<u8>>) -> Result<()>,
) -> Result<()> {
    scope(|threads| {
        let mut session = recording()?;
        let (sender, receiver) = channel();
        for _ in 0..count {
            let sender = sender.clone();
            threads.spawn(move || {
                let mut buffer = [0; 100];
                let length = (&mut &*source).read(&mut buffer).unwrap_or(0);
                sender.send(buffer[..length].to_vec())
            });
        }
        eventually("all sleep", || {
            Ok(records_of(&mut session, "repoll_source_sleep")?.len() as u32 == count)
        })?;
        // The last one to say so may not be in the queue yet.
        sleep(MOMENT);
        let done = body(receiver);
        // Releases the threads that still sleep.
        for _ in 0..count {
            let _ = (&mut &*source).write(b"end");
        }
        done
    })
}

fn each_message_wakes_one_reader() -> Result<()> {
    let source = Source::open()?;
    sleeping_readers(&source, 4, |read| {
        let mut session = recording()?;
        for n in 1..=3u8 {
            (&mut &source).write_all(&[n])?;
            ensure!(read.recv_timeout(LONG)? == [n]);
        }
        sleep(MOMENT);
        ensure!(read.try_recv().is_err(), "one too many was woken");
        // One that was woken for nothing would have gone to sleep again.
        let trace = session.stop()?;
        let slept = trace
            .records
            .iter()
            .any(|r| r.event() == "repoll_source_sleep");
        ensure!(!slept, "a reader was woken for nothing");
        Ok(())
    })
}

fn room_wakes_a_writer() -> Result<()> {
    let source = Source::open()?;
    source.set_up(1, 16, false)?;
    (&mut &source).write_all(b"0")?;
    scope(|threads| {
        let writers: Vec<_> = (0..3)
            .map(|_| threads.spawn(|| (&mut &source).write_all(b"more")))
            .collect();
        sleep(MOMENT);
        for _ in 0..4 {
            ensure!((&mut &source).read(&mut [0; 16])? > 0);
        }
        for writer in writers {
            join(writer)??;
        }
        Ok(())
    })
}

fn a_reader_too_small_hands_its_wake_up_on() -> Result<()> {
    let source = Source::open()?;
    let mut session = recording()?;
    let mut asleep = |count| {
        eventually("they sleep", || {
            Ok(records_of(&mut session, "repoll_source_sleep")?.len() == count)
        })?;
        sleep(MOMENT);
        anyhow::Ok(())
    };
    scope(|threads| {
        let small = threads.spawn(|| (&mut &source).read(&mut [0; 2]));
        asleep(1)?;
        let large = threads.spawn(|| (&mut &source).read(&mut [0; 20]));
        asleep(2)?;
        (&mut &source).write_all(b"ten bytes.")?;
        let small = join(small)?;
        expect_error(small, libc::EMSGSIZE)?;
        let large = join(large)??;
        ensure!(large == 10);
        Ok(())
    })
}

fn a_handler_interrupts_a_sleeping_reader() -> Result<()> {
    handle_signal(libc::SIGUSR1, 0)?;
    let source = Source::open()?;
    let main = Thread::current();
    let result = after(
        3 * MOMENT,
        move || main.kill(libc::SIGUSR1),
        || (&mut &source).read(&mut [0; 16]),
    );
    expect_error(result, libc::EINTR)?;
    source.set_nonblocking(true)?;
    ensure!(poll_now(&source)? == OUT);
    Ok(())
}

fn a_handler_may_restart_a_sleeping_reader() -> Result<()> {
    handle_signal(libc::SIGUSR1, libc::SA_RESTART)?;
    let source = Source::open()?;
    let main = Thread::current();
    let length = scope(|threads| {
        threads.spawn(|| {
            sleep(3 * MOMENT);
            main.kill(libc::SIGUSR1);
            sleep(3 * MOMENT);
            (&mut &source).write_all(b"at last")
        });
        (&mut &source).read(&mut [0; 16])
    })?;
    ensure!(length == 7);
    Ok(())
}

fn a_killed_reader_is_gone() -> Result<()> {
    let source = Source::open()?;
    let mut buffer = [0; 16];
    for _ in 0..20 {
        let child = fork(|| i32::from((&mut &source).read(&mut [0; 16]).is_ok()))?;
        sleep(MOMENT / 4);
        ensure!(child.kill_and_wait()? == -libc::SIGKILL);
        // It has no claim on what comes.
        (&mut &source).write_all(b"for the living")?;
        ensure!((&mut &source).read(&mut buffer)? == 14);
    }
    Ok(())
}

fn copies_share_the_queue_and_openings_do_not() -> Result<()> {
    let mut source = open()?;
    let mut other = open()?;
    let mut copy = source.try_clone()?;
    source.write_all(b"one")?;
    ensure!(read_messages(&other)?.is_empty());
    ensure!(read_messages(&copy)? == [b"one"]);
    copy.write_all(b"two")?;
    let child = fork(|| -> Result<()> {
        ensure!(read_messages(&source)? == [b"two"]);
        Ok((&mut &source).write_all(b"three")?)
    })?;
    ensure!(child.wait()? == 0);
    ensure!(read_messages(&source)? == [b"three"]);
    // A new opening of the same descriptor is a new queue.
    let again = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/proc/self/fd/{}", source.as_raw_fd()))?;
    other.write_all(b"other")?;
    let again = Source::from(std::os::fd::OwnedFd::from(again));
    ensure!(again.status()?.arrived == 0);
    Ok(())
}

/// The other process has the file by the message alone; here it was closed meanwhile. What feeds it
/// goes on until the last descriptor is closed, wherever that is.
fn a_source_can_be_sent_to_another_process() -> Result<()> {
    let (near, far) = UnixStream::pair()?;
    let (ready, tell) = UnixStream::pair()?;
    let child = fork(|| -> Result<()> {
        let source = Source::from(receive_descriptor(&far)?.context("no descriptor came")?);
        source.set_nonblocking(false)?;
        let mut buffer = [0; 100];
        ensure!((&mut &source).read(&mut buffer)? == 6 && &buffer[..6] == b"before");
        // A message of the timer, which nobody here has started.
        ensure!((&mut &source).read(&mut buffer)? == 8);
        (&tell).write_all(b"x")?;
        // Killed here: that closes the last one.
        sleep(2 * LONG);
        Ok(())
    })?;
    drop(tell);
    let before = references();
    let mut source = open()?;
    ensure!(references() == before + 1);
    source.write_all(b"before")?;
    source.start_timer(Duration::from_millis(5), None)?;
    send_descriptor(&near, &source)?;
    drop(source);
    (&ready).read_exact(&mut [0])?;
    ensure!(references() == before + 1, "{}", references());
    ensure!(child.kill_and_wait()? == -libc::SIGKILL);
    eventually("it is freed", || Ok(references() == before))?;
    // In flight to nobody, and its socket closed.
    let source = open()?;
    source.start_timer(Duration::from_millis(1), None)?;
    send_descriptor(&near, &source)?;
    drop(source);
    ensure!(references() == before + 1, "{}", references());
    drop((near, far));
    eventually("it is freed", || Ok(references() == before))
}

fn structures_are_versioned_by_their_size() -> Result<()> {
    let source = open()?;
    let fd = source.as_raw_fd();
    let sized = |request: u32, size: u32| (request & !(0x3fff << 16)) | (size << 16);
    let mut words = [u64::MAX; 16];
    let ask = |request: u32, words: &mut [u64; 16]| {
        let address = words.as_mut_ptr() as usize;
        // SAFETY: all that a request may read or write is in the array.
        unsafe { raw::ioctl(&fd, request, address) }
    };
    // The module knows 7 words; the caller's version has 9, and the rest is not touched.
    ask(sized(REPOLL_IOCTL_SOURCE_STATUS, 72), &mut words)?;
    ensure!(words[1] == 0 && words[6] == 0, "{words:x?}");
    ensure!(
        words[7..9] == [0, 0] && words[9..] == [u64::MAX; 7],
        "{words:x?}"
    );
    expect_error(
        ask(sized(REPOLL_IOCTL_SOURCE_STATUS, 48), &mut words),
        libc::EINVAL,
    )?;
    // 4 messages of 32 bytes; then words that no version has yet.
    let mut words = [0; 16];
    words[0] = 4 | (32 << 32);
    ask(sized(REPOLL_IOCTL_SOURCE_SETUP, 128), &mut words)?;
    ensure!(source.status()?.messages == 4);
    words[15] = 1;
    expect_error(
        ask(sized(REPOLL_IOCTL_SOURCE_SETUP, 128), &mut words),
        libc::E2BIG,
    )?;
    expect_error(
        ask(sized(REPOLL_IOCTL_SOURCE_SETUP, 8), &mut words),
        libc::EINVAL,
    )
}

fn sizes_are_checked() -> Result<()> {
    let source = open()?;
    let before = source.status()?;
    for (messages, size) in [
        (0, 100),
        (1, 0),
        (1, REPOLL_SOURCE_MIN_MESSAGE_SIZE - 1),
        (1, REPOLL_SOURCE_MAX_MESSAGE_SIZE + 1),
        (REPOLL_SOURCE_MAX_MESSAGES + 1, 16),
        (REPOLL_SOURCE_MAX_BYTES / 65_536 + 1, 65_536),
        (u32::MAX, u32::MAX),
        (1 << 16, 1 << 16),
    ] {
        expect_error(source.set_up(messages, size, false), libc::EINVAL)?;
    }
    let mut setup = repoll_source_setup {
        messages: 1,
        message_size: 16,
        flags: 2,
        __pad: 0,
    };
    let raw = |request, setup: &repoll_source_setup| {
        let address = std::ptr::from_ref(setup) as usize;
        // SAFETY: the request reads a `repoll_source_setup`.
        unsafe { raw::ioctl(&source, request, address) }
    };
    expect_error(raw(REPOLL_IOCTL_SOURCE_SETUP, &setup), libc::EINVAL)?;
    setup.flags = 0;
    setup.__pad = 1;
    expect_error(raw(REPOLL_IOCTL_SOURCE_SETUP, &setup), libc::EINVAL)?;
    setup.__pad = 0;
    let nowhere = raw::ioctl_nowhere(&source, REPOLL_IOCTL_SOURCE_SETUP, 16);
    expect_error(nowhere, libc::EFAULT)?;
    let nowhere = raw::ioctl_nowhere(&source, REPOLL_IOCTL_SOURCE_STATUS, 16);
    expect_error(nowhere, libc::EFAULT)?;
    ensure!(source.status()? == before);
    source.set_up(REPOLL_SOURCE_MAX_MESSAGES, 256, false)?;
    source.set_up(REPOLL_SOURCE_MAX_BYTES / 65_536, 65_536, false)?;
    source.set_up(1, 16, false)?;
    Ok(())
}

fn sizes_change_only_while_empty() -> Result<()> {
    let mut source = open()?;
    source.write_all(b"in the way")?;
    expect_error(source.set_up(4, 100, false), libc::EBUSY)?;
    ensure!(read_messages(&source)? == [b"in the way"]);
    source.set_up(4, 100, false)?;
    let status = source.status()?;
    ensure!(status.messages == 4 && status.message_size == 100);
    // The counts go on.
    ensure!(status.arrived == 1 && status.read == 1);
    Ok(())
}

fn the_next_length_is_told() -> Result<()> {
    let mut source = open()?;
    let next = |source: &Source| files::bytes_left(source);
    ensure!(next(&source)? == 0);
    source.write_all(b"12345")?;
    source.write_all(b"1")?;
    ensure!(next(&source)? == 5);
    read_one(&source)?;
    ensure!(next(&source)? == 1);
    Ok(())
}

fn a_message_can_be_spliced_out() -> Result<()> {
    let mut source = open()?;
    let (reader, writer) = files::pipe()?;
    source.write_all(b"by way of a pipe")?;
    source.write_all(b"stays")?;
    let length = rustix::pipe::splice(&source, None, &writer, None, 4096, SpliceFlags::empty())?;
    ensure!(length == 16, "{length}");
    let mut buffer = [0; 100];
    let length = files::read(&reader, &mut buffer)?;
    ensure!(&buffer[..length] == b"by way of a pipe");
    ensure!(source.status()?.queued == 1);
    Ok(())
}

fn it_has_no_position() -> Result<()> {
    let source = open()?;
    let read = rustix::io::pread(&source, &mut [0u8; 1], 0);
    expect_error(read.map_err(Into::into), libc::ESPIPE)?;
    let written = rustix::io::pwrite(&source, &[0], 0);
    expect_error(written.map_err(Into::into), libc::ESPIPE)
}

fn foreign_calls_are_refused() -> Result<()> {
    let source = open()?;
    let instance = Repoll::new()?;
    // An instance's calls on a source, and the other way round.
    for request in [repoll::sys::REPOLL_IOCTL_CTL, repoll::sys::REPOLL_IOCTL_NOP] {
        expect_error(raw::ioctl_nowhere(&source, request, 0), libc::ENOTTY)?;
    }
    for request in [REPOLL_IOCTL_SOURCE_SETUP, REPOLL_IOCTL_SOURCE_STATUS] {
        expect_error(raw::ioctl_nowhere(&instance, request, 0), libc::EINVAL)?;
    }
    // The right number with the wrong direction.
    let wrong = REPOLL_IOCTL_SOURCE_STATUS ^ (3 << 30);
    for request in [wrong, libc::TCGETS as u32] {
        expect_error(raw::ioctl_nowhere(&source, request, 0), libc::ENOTTY)?;
    }
    // An instance cannot be read.
    expect_error(files::read(&instance, &mut [0; 8]), libc::EINVAL)?;
    expect_error(files::write(&instance, &[0; 8]), libc::EINVAL)
}

fn fdinfo_counts() -> Result<()> {
    let mut source = open()?;
    source.set_up(8, 32, false)?;
    source.write_all(b"a")?;
    source.write_all(b"b")?;
    read_one(&source)?;
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", source.as_raw_fd()))?;
    let line = "messages: 1/8 size: 32 arrived: 2 read: 1 dropped: 0 too-long: 0";
    ensure!(text.lines().any(|l| l == line), "{text}");
    Ok(())
}

fn watching_ends_with_the_last_close<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let mut source = open()?;
    m.add(&source, EventFlags::IN, 1)?;
    let mut copy = source.try_clone()?;
    source.write_all(b"x")?;
    drop(source);
    ensure!(expect_one(&m, 1)? == EventFlags::IN);
    read_one(&copy)?;
    expect_none(&m)?;
    copy.write_all(b"y")?;
    drop(copy);
    expect_none(&m)
}

fn edges_are_messages<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    let mut source = open()?;
    source.set_up(2, 16, false)?;
    m.add(
        &source,
        EventFlags::IN | EventFlags::OUT | EventFlags::ET,
        1,
    )?;
    ensure!(expect_one(&m, 1)? == EventFlags::OUT);
    expect_none(&m)?;
    source.write_all(b"a")?;
    ensure!(expect_one(&m, 1)? == EventFlags::IN | EventFlags::OUT);
    source.write_all(b"b")?;
    ensure!(expect_one(&m, 1)? == EventFlags::IN);
    expect_none(&m)?;
    // Room where there was none is an edge; more room is not.
    read_one(&source)?;
    ensure!(expect_one(&m, 1)? == EventFlags::IN | EventFlags::OUT);
    read_one(&source)?;
    expect_none(&m)
}
