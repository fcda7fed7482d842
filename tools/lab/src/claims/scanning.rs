// SPDX-License-Identifier: GPL-2.0
//! What select and poll have in common: they look at all files, on each call.

use crate::claim::{Finding, Verdict};
use crate::measure::shortest;
use crate::multiplexer::{Call, Multiplexer, Scanner, FOR_EVER, NOW};
use crate::recording::{count, record_events, record_story, times};
use crate::threads::start;
use anyhow::{ensure, Result};
use repoll::{Counts, EventFlags, Source};
use repoll_testkit::files::{dup_from, eventfd};
use repoll_testkit::limits::allow_files;
use repoll_testkit::memory::{Mapping, Place};
use repoll_testkit::scanner::{self, Kernel, Mask, Ours};
use repoll_testkit::side::Side;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::thread::scope;

const FEW: usize = 10;
const MANY: usize = 200;

/// Sources, of which the last one has a message. Each tells when it is asked.
fn sources(count: usize) -> Result<Vec<Source>> {
    let sources = idle_sources(count)?;
    if let Some(mut last) = sources.last() {
        last.write_all(b"x")?;
    }
    Ok(sources)
}

/// How often the files are asked in one call, and how long it takes at the least, in microseconds.
pub struct Asked {
    pub few: usize,
    pub many: usize,
    pub micros: [f64; 2],
}

/// Asks among few and among many what is ready: `wait` makes a way to wait, without limit, for one of the files.
pub fn asked<W: FnMut() -> io::Result<usize> + Send>(
    mut wait: impl FnMut(&[Source]) -> Result<W>,
) -> Result<Asked> {
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
    Ok(Asked {
        few: polls[0],
        many: polls[1],
        micros,
    })
}

impl Asked {
    pub fn in_words(&self) -> String {
        let [few, many] = self.micros;
        format!(
            "one of {FEW} is ready: {} asked, {few:.1} µs; one of {MANY}: {} asked, {many:.1} µs",
            self.few, self.many
        )
    }
}

fn numbers(files: &[Source]) -> Vec<RawFd> {
    files.iter().map(AsRawFd::as_raw_fd).collect()
}

/// All files are asked on each call.
pub fn is_linear(call: Call) -> Result<Finding> {
    Finding::both(|side| {
        let asked = asked(|files| {
            let files = numbers(files);
            let scanner = Scanner::new(call, side)?;
            Ok(move || scanner.wait(&files, FOR_EVER).map(|(ready, _)| ready))
        })?;
        let verdict = Verdict::holds(asked.few >= FEW && asked.many >= MANY);
        Ok((verdict, asked.in_words()))
    })
}

/// A call among idle files, which sleeps until one of them gets a message.
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

/// After a wake-up all files are asked again.
pub fn scans_again(call: Call) -> Result<Finding> {
    let finding = Finding::both(|side| {
        let scanner = Scanner::new(call, side)?;
        let files = idle_sources(FEW)?;
        let (_, trace) = record_events(&["source_poll"], || woken_call(&scanner, &files, 0))?;
        let polls = times(&trace, "source_poll");
        let seen = format!("one call that sleeps, and is woken by one of {FEW} files: {polls} times a file was asked");
        Ok((Verdict::holds(polls >= 2 * FEW), seen))
    })?;
    let scanner = Scanner::new(call, Side::Repoll)?;
    let files = idle_sources(3)?;
    let (_, trace) = record_story(|| woken_call(&scanner, &files, 1))?;
    Ok(finding.with(trace))
}

/// The caller is in the wait queue of every file while it sleeps, and in none afterwards.
pub fn enters_queues(call: Call) -> Result<Finding> {
    Finding::both(|side| {
        let scanner = Scanner::new(call, side)?;
        let files = idle_sources(FEW)?;
        // A call for each file, which this file wakes: so there was an entry in its wait queue.
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
            "during a call {during} of {FEW} files find somebody in their wait queue, after it {after}"
        );
        if side == Side::Repoll {
            seen += &format!("; it counted {} entries in one call", counts.added);
        }
        Ok((Verdict::holds(during == FEW && after == 0), seen))
    })
}

/// Whether the kernel refuses to do it: EFAULT, for memory that can't be touched.
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

/// The whole set or array is copied in, and out again, though nothing in it is of interest.
pub fn copies(call: Call) -> Result<Finding> {
    const BITS: i32 = 1024;
    const ENTRIES: i32 = 100;
    // The kernel looks at no more bits than there may be descriptors in the table: so let there be more.
    allow_files(8192)?;
    let far = dup_from(&eventfd()?, 2 * BITS)?;
    Finding::both(|side| {
        let (count, bytes, what) = match call {
            Call::Select => (BITS, BITS as usize / 8, "a set of 1024 bits, all of them 0"),
            Call::Poll => (
                ENTRIES,
                ENTRIES as usize * size_of::<libc::pollfd>(),
                "an array of 100, without interest in anything",
            ),
        };
        let memory = Mapping::new(bytes)?;
        let run = |bytes| {
            let place = memory.before_end(bytes);
            match side {
                Side::Kernel => call_at(&Kernel, call, count, place),
                Side::Repoll => call_at(&<Ours as scanner::Side>::new()?, call, count, place),
            }
        };
        let good = !faults(run(bytes));
        let copied_in = faults(run(bytes / 2));
        memory.read_only()?;
        let copied_out = faults(run(bytes));
        ensure!(good, "it fails anyhow");
        let mut seen = format!(
            "{what}: EFAULT if the second half can't be read: {copied_in}; if it can't be written: {copied_out}"
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

/// Of an instance only what is ready is asked, and returned.
pub fn instance_is_flat() -> Result<Finding> {
    Finding::both(|side| {
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
