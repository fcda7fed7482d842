// SPDX-License-Identifier: GPL-2.0
//! Files of all kinds can be watched, and wake a WAIT when they become ready.

use crate::prelude::*;
use repoll_testkit::file_kinds::{Kind, KINDS};

pub fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for kind in KINDS {
        let name = kind.name;
        tests.push(Test::new(
            format!("file_kinds.{name}_wakes_a_wait/epoll"),
            move || wakes_a_wait::<Epoll>(kind),
        ));
        tests.push(Test::new(
            format!("file_kinds.{name}_wakes_a_wait/repoll"),
            move || wakes_a_wait::<Repoll>(kind),
        ));
        tests.push(Test::new(
            format!("file_kinds.{name}_ready_already_is_reported/epoll"),
            move || ready_already::<Epoll>(kind),
        ));
        tests.push(Test::new(
            format!("file_kinds.{name}_ready_already_is_reported/repoll"),
            move || ready_already::<Repoll>(kind),
        ));
    }
    tests
}

/// ADD, WAIT without limit, the file becomes ready, WAIT returns, the file is drained.
fn wakes_a_wait<M: Multiplexer>(kind: Kind) -> Result<()> {
    let source = kind.make()?;
    let m = M::new().context("making an instance")?;
    m.add(&source.fd, EventFlags::IN, 7).context("ADD")?;
    expect_none(&m)?;
    let events = scope(|threads| {
        let trigger = threads.spawn(|| {
            sleep(MOMENT);
            source.trigger()
        });
        let events = m.wait(16, None);
        join(trigger)??;
        Ok::<_, anyhow::Error>(events?)
    })?;
    ensure!(events.len() == 1, "{events:?}");
    ensure!(events[0].data() == 7, "{events:?}");
    ensure!(events[0].flags() == EventFlags::IN, "{events:?}");
    source.drain()?;
    expect_none(&m)
}

/// ADD of a file that is ready is enough: no callback will come.
fn ready_already<M: Multiplexer>(kind: Kind) -> Result<()> {
    let source = kind.make()?;
    source.trigger()?;
    let m = M::new()?;
    m.add(&source.fd, EventFlags::IN, 8)?;
    ensure!(expect_one(&m, 8)? == EventFlags::IN);
    source.drain()?;
    expect_none(&m)?;
    m.delete(&source.fd)?;
    source.trigger()?;
    expect_none(&m)
}
