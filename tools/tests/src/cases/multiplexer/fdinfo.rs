// SPDX-License-Identifier: GPL-2.0
//! The interest list of an instance in `/proc/PID/fdinfo`.

use crate::prelude::*;
use rustix::thread::CapabilitySet;
use std::collections::BTreeMap;

pub fn tests() -> Vec<Test> {
    let mut tests = both!("fdinfo":
        the_interest_list_is_shown,
        closed_files_are_not_shown,
        it_can_be_read_while_things_change,
        wakeup_is_taken_away_from_who_may_not_block_suspend,
    );
    tests.extend(repoll_only!("fdinfo":
        wakeup_is_ignored_of_anybody,
    ));
    tests
}

/// The lines about watches, split into names and values.
fn watches(m: &impl Multiplexer) -> Result<Vec<BTreeMap<String, String>>> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", m.as_raw_fd()))?;
    ensure!(text.contains("flags:"), "{text}");
    let lines = text.lines().filter(|line| line.starts_with("tfd:"));
    let split = lines.map(|line| {
        let spaced = line.replace(':', ": ");
        let words: Vec<_> = spaced.split_ascii_whitespace().collect();
        let pairs = words.chunks_exact(2);
        pairs
            .map(|pair| (pair[0].trim_end_matches(':').to_owned(), pair[1].to_owned()))
            .collect()
    });
    Ok(split.collect())
}

fn the_interest_list_is_shown<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    ensure!(watches(&m)?.is_empty());
    let (a, b) = (files::eventfd()?, files::eventfd()?);
    m.add(&a, EventFlags::IN | EventFlags::ET, 0x1234_5678_9abc_def0)?;
    m.add(&b, EventFlags::OUT, 2)?;
    let shown = watches(&m)?;
    ensure!(shown.len() == 2, "{shown:?}");
    let of = |fd: i32| {
        let mut found = shown
            .iter()
            .filter(|watch| watch.get("tfd") == Some(&fd.to_string()));
        found
            .next()
            .with_context(|| format!("{fd} is not in {shown:?}"))
    };
    let always = EventFlags::ERR | EventFlags::HUP;
    let watch = of(a.as_raw_fd())?;
    let events = (EventFlags::IN | EventFlags::ET | always).bits();
    ensure!(
        watch.get("events") == Some(&format!("{events:x}")),
        "{watch:?}"
    );
    ensure!(
        watch.get("data").map(String::as_str) == Some("123456789abcdef0"),
        "{watch:?}"
    );
    for name in ["pos", "ino", "sdev"] {
        ensure!(watch.contains_key(name), "{watch:?}");
    }
    let events = (EventFlags::OUT | always).bits();
    let watch = of(b.as_raw_fd())?;
    ensure!(
        watch.get("events") == Some(&format!("{events:x}")),
        "{watch:?}"
    );
    ensure!(
        watch.get("data").map(String::as_str) == Some("2"),
        "{watch:?}"
    );
    m.delete(&a)?;
    ensure!(watches(&m)?.len() == 1);
    Ok(())
}

fn closed_files_are_not_shown<M: Multiplexer>() -> Result<()> {
    let (m, fd) = watching_eventfd::<M>(EventFlags::IN, 1)?;
    drop(fd);
    let shown = watches(&m)?;
    ensure!(shown.is_empty(), "{shown:?}");
    Ok(())
}

fn it_can_be_read_while_things_change<M: Multiplexer>() -> Result<()> {
    let m = M::new()?;
    std::thread::scope(|threads| {
        let changes = threads.spawn(|| -> Result<()> {
            for data in 0..500 {
                let fd = files::eventfd()?;
                m.add(&fd, EventFlags::IN, data)?;
            }
            Ok(())
        });
        while !changes.is_finished() {
            watches(&m)?;
        }
        join(changes)?
    })
}

/// A watch with EPOLLWAKEUP, and what is shown of its events after ADD and after MOD. It works as
/// any other.
fn shown_of_wakeup<M: Multiplexer>() -> Result<[u32; 2]> {
    let m = M::new()?;
    let fd = files::eventfd()?;
    let shown = || -> Result<u32> {
        let watches = watches(&m)?;
        let events = watches[0].get("events").context("events are shown")?;
        Ok(u32::from_str_radix(events, 16)?)
    };
    m.add(&fd, EventFlags::IN | EventFlags::WAKEUP, 1)?;
    let after_add = shown()?;
    m.modify(&fd, EventFlags::IN | EventFlags::ET | EventFlags::WAKEUP, 2)?;
    repoll_testkit::files::signal(&fd)?;
    ensure!(expect_one(&m, 2)? == EventFlags::IN);
    Ok([after_add, shown()?])
}

/// The events without EPOLLWAKEUP, as [`shown_of_wakeup`] has them.
fn without_wakeup() -> [u32; 2] {
    let always = EventFlags::IN | EventFlags::ERR | EventFlags::HUP;
    [always.bits(), (always | EventFlags::ET).bits()]
}

fn wakeup_is_taken_away_from_who_may_not_block_suspend<M: Multiplexer>() -> Result<()> {
    processes::give_up(CapabilitySet::BLOCK_SUSPEND)?;
    let shown = shown_of_wakeup::<M>()?;
    ensure!(shown == without_wakeup(), "{shown:x?}");
    Ok(())
}

/// The C epoll would obey root.
fn wakeup_is_ignored_of_anybody() -> Result<()> {
    let shown = shown_of_wakeup::<Repoll>()?;
    ensure!(shown == without_wakeup(), "{shown:x?}");
    Ok(())
}
