// SPDX-License-Identifier: GPL-2.0
//! The experiments that select and poll share: both poll all files on each call.

use crate::multiplexer::{Call, Scanner};
use crate::prelude::*;
use crate::recording::{count, times};
use crate::shortest::shortest;
use repoll::{Counts, Source};
use repoll_testkit::files::dup_from;
use repoll_testkit::limits::allow_files;
use repoll_testkit::memory::{Mapping, Place};
use repoll_testkit::scanner::{self, Kernel, Ours};
use repoll_testkit::signals::Mask;
use std::io::{self, Read, Write};
use std::os::fd::RawFd;

const FEW: usize = 10;
const MANY: usize = 200;

/// Sources, of which the last one has a message. A tracepoint shows when one is polled.
fn sources(count: usize) -> Result<Vec<Source>> {
    let sources = idle_sources(count)?;
    if let Some(mut last) = sources.last() {
        last.write_all(b"x")?;
    }
    Ok(sources)
}

/// The polls of files in one call, and its least time in microseconds.
pub struct Polls {
    pub few: usize,
    pub many: usize,
    pub micros: [f64; 2],
}

/// Waits for one of few files and for one of many. `wait` makes a wait for files, without limit.
pub fn asked<W: FnMut() -> io::Result<usize> + Send>(
    mut wait: impl FnMut(&[Source]) -> Result<W>,
) -> Result<Polls> {
    let mut polls = [0; 2];
    let mut micros = [0.0; 2];
    for (at, files) in [FEW, MANY].into_iter().enumerate() {
        let files = sources(files)?;
        let mut wait = wait(&files)?;
        let (ready, trace) = record_events(&["source_poll"], || Ok(wait()?))?;
        ensure!(ready == 1, "{ready} are ready");
        polls[at] = times(&trace, "source_poll");
        micros[at] = shortest(|| wait().map(drop))?.as_secs_f64() * 1e6;
    }
    Ok(Polls {
        few: polls[0],
        many: polls[1],
        micros,
    })
}

impl Polls {
    pub fn in_words(&self) -> String {
        let [few, many] = self.micros;
        format!(
            "one of {FEW} is ready: {} polled, {few:.1} µs; one of {MANY}: {} polled, {many:.1} µs",
            self.few, self.many
        )
    }
}

fn numbers(files: &[Source]) -> Vec<RawFd> {
    files.iter().map(AsRawFd::as_raw_fd).collect()
}

/// The call polls all files each time.
pub fn is_linear(call: Call) -> Result<Finding> {
    Finding::of_calls(|side| {
        let asked = asked(|files| {
            let files = numbers(files);
            let scanner = Scanner::new(call, side)?;
            Ok(move || scanner.wait(&files, FOR_EVER).map(|(ready, _)| ready))
        })?;
        let verdict = Verdict::holds(asked.few >= FEW && asked.many >= MANY);
        Ok((verdict, asked.in_words()))
    })
}

/// Makes a call for idle files, which sleeps until one of them receives a message.
fn woken_call(scanner: &Scanner, files: &[Source], by: usize) -> Result<Counts> {
    scope(|threads| {
        let caller = start(threads, "caller", || {
            Ok(scanner.wait(&numbers(files), FOR_EVER)?)
        })?;
        caller.until_asleep()?;
        (&files[by]).write_all(b"x")?;
        let (ready, counts) = caller.end()?;
        ensure!(ready == 1, "{ready} are ready");
        (&files[by]).read_exact(&mut [0])?;
        Ok(counts)
    })
}

fn idle_sources(count: usize) -> Result<Vec<Source>> {
    Ok((0..count)
        .map(|_| Source::open())
        .collect::<Result<_, _>>()?)
}

/// The call polls all files again after a wake-up.
pub fn scans_again(call: Call) -> Result<Finding> {
    Finding::of_calls(|side| {
        let scanner = Scanner::new(call, side)?;
        let files = idle_sources(FEW)?;
        let (_, trace) = record_events(&["source_poll"], || woken_call(&scanner, &files, 0))?;
        let polls = times(&trace, "source_poll");
        let seen =
            format!("one call that sleeps and is woken by one of {FEW} files polled {polls} times");
        let (_, trace) = record_story(|| woken_call(&scanner, &idle_sources(3)?, 1))?;
        Ok((Verdict::holds(polls >= 2 * FEW), seen, trace))
    })
}

/// The caller has an entry in the wait queue of every file while it sleeps, and none afterwards.
pub fn enters_queues(call: Call) -> Result<Finding> {
    Finding::of_calls(|side| {
        let scanner = Scanner::new(call, side)?;
        let files = idle_sources(FEW)?;
        // Each file wakes a call of its own, so it had an entry in its wait queue.
        let (counts, trace) = record_events(&["source_wake"], || {
            let mut last = Counts::default();
            for by in 0..FEW {
                last = woken_call(&scanner, &files, by)?;
            }
            Ok(last)
        })?;
        let during = count(&trace, "source_wake", "pollers", 1);
        let ((), trace) = record_events(&["source_wake"], || {
            for mut file in &files {
                file.write_all(b"x")?;
            }
            Ok(())
        })?;
        let after = count(&trace, "source_wake", "pollers", 1);
        let mut seen = format!(
            "during a call {during} of {FEW} files have an entry in their wait queue, after it \
             {after}"
        );
        if side == Side::Repoll {
            seen += &format!("; it counted {} entries in one call", counts.added);
        }
        Ok((Verdict::holds(during == FEW && after == 0), seen))
    })
}

/// Whether a call failed with EFAULT, because memory is not accessible.
pub fn faults(result: io::Result<usize>) -> bool {
    matches!(result, Err(error) if error.raw_os_error() == Some(libc::EFAULT))
}

/// The call, with a timeout of zero, for a set or an array of zeros in this place.
fn call_at(
    side: &impl scanner::Side,
    call: Call,
    count: i32,
    place: Place<'_>,
) -> io::Result<usize> {
    let (timeout, mask) = (&mut { NOW }, Mask::default());
    match call {
        Call::Select => side.select_at(count, [place, Place::NULL, Place::NULL], timeout, mask),
        Call::Poll => side.poll_at(place, count as u32, timeout, mask),
    }
}

/// The call copies the whole set or array in and out, though nothing in it is requested.
pub fn copies(call: Call) -> Result<Finding> {
    const BITS: i32 = 1024;
    const ENTRIES: i32 = 100;
    // The kernel takes no more bits than the table of descriptors has room for, so the table must
    // grow.
    allow_files(8192)?;
    let far = dup_from(&eventfd()?, 2 * BITS)?;
    Finding::of_calls(|side| {
        let (count, bytes, what) = match call {
            Call::Select => (BITS, BITS as usize / 8, "a set of 1024 bits, all 0"),
            Call::Poll => (
                ENTRIES,
                ENTRIES as usize * size_of::<libc::pollfd>(),
                "an array of 100 without requested events",
            ),
        };
        let memory = Mapping::new(bytes)?;
        let run = |bytes| {
            let place = memory.before_end(bytes);
            match side {
                Side::Kernel | Side::TakenOver => call_at(&Kernel, call, count, place),
                Side::Repoll => call_at(&<Ours as scanner::Side>::new()?, call, count, place),
            }
        };
        let good = !faults(run(bytes));
        let copied_in = faults(run(bytes / 2));
        memory.read_only()?;
        let copied_out = faults(run(bytes));
        ensure!(good, "it fails with accessible memory too");
        let mut seen = format!(
            "{what}: EFAULT if the second half cannot be read: {copied_in}; if it cannot be \
             written: {copied_out}"
        );
        if side == Side::Repoll {
            let (_, counts) = Scanner::new(call, side)?.wait(&[far.as_raw_fd()], NOW)?;
            seen += &format!(
                "; for descriptor {} it counted {} bytes in, {} out",
                far.as_raw_fd(),
                counts.bytes_in,
                counts.bytes_out
            );
        }
        Ok((Verdict::holds(copied_in && copied_out), seen))
    })
}

/// An instance polls and returns only ready files.
pub fn instance_is_flat() -> Result<Finding> {
    Finding::of_calls(|side| {
        let asked = asked(|files| {
            let m = Multiplexer::new(side)?;
            for file in files {
                m.add(file, EventFlags::IN)?;
            }
            Ok(move || m.wait(FOR_EVER))
        })?;
        let flat = asked.few == 1 && asked.many == 1;
        Ok((Verdict::holds(flat), asked.in_words()))
    })
}
