// SPDX-License-Identifier: GPL-2.0
//! Others that use ftrace on the functions: livepatch, kprobes, the function tracer.

use super::setup::{eventually_hooked, instance_of, on};
use crate::kmsg::Kmsg;
use crate::module::Livepatch;
use crate::prelude::*;
use repoll::{Hooks, Policy, Takeover, TakeoverCalls};
use std::path::{Path, PathBuf};

pub fn tests() -> Vec<Test> {
    repoll_only!("takeover" within 300:
        a_livepatch_is_not_taken_over,
        a_function_that_is_replaced_gets_no_livepatch,
        tracers_come_and_go_while_takeover_does,
    )
}

/// `do_epoll_create()` of the livepatch returns ENOSYS.
fn a_livepatch_is_not_taken_over() -> Result<()> {
    let takeover = Takeover::open()?;
    let livepatch = Livepatch::load()?;
    expect_error(Epoll::of_any_side(), libc::ENOSYS)?;
    let mut log = Kmsg::open();
    expect_error(takeover.set(Policy::All(TakeoverCalls::all())), libc::EBUSY)?;
    log.expect("takeover: do_epoll_create: ")?;
    eventually_hooked(&takeover, Hooks::empty())?;
    expect_error(Epoll::of_any_side(), libc::ENOSYS)?;
    livepatch.end()?;
    instance_of(Side::Kernel)?;
    let _on = on(TakeoverCalls::EPOLL)?;
    instance_of(Side::Repoll).map(drop)
}

fn a_function_that_is_replaced_gets_no_livepatch() -> Result<()> {
    let on = on(TakeoverCalls::EPOLL)?;
    let m = instance_of(Side::Repoll)?;
    ensure!(Livepatch::load().is_err(), "the livepatch is in force");
    instance_of(Side::Repoll)?;
    let fd = files::eventfd()?;
    m.add(&fd, EventFlags::IN, 1)?;
    signal(&fd)?;
    expect_one(&m, 1)?;
    drop((m, on));
    // The refusal has left nothing that is in the way.
    let livepatch = Livepatch::load()?;
    expect_error(Epoll::of_any_side(), libc::ENOSYS)?;
    livepatch.end()
}

/// kprobes and the function tracer, by the files of tracefs.
struct Tracers(PathBuf);

impl Tracers {
    const FUNCTIONS: [&str; 3] = ["do_epoll_create", "do_epoll_ctl_file", "do_epoll_wait"];

    fn new() -> Result<Self> {
        let this = Self(Path::new("/sys/kernel/tracing/instances").join("others"));
        fs::create_dir(&this.0)?;
        for function in Self::FUNCTIONS {
            this.append(
                "../../kprobe_events",
                &format!("p:others/{function} {function}"),
            )?;
            this.append("set_ftrace_filter", function)?;
        }
        Ok(this)
    }

    fn append(&self, file: &str, line: &str) -> Result<()> {
        let mut file = fs::File::options().append(true).open(self.0.join(file))?;
        Ok(io::Write::write_all(
            &mut file,
            format!("{line}\n").as_bytes(),
        )?)
    }

    fn probe(&self, on: bool) -> Result<()> {
        Ok(fs::write(
            self.0.join("events/others/enable"),
            if on { "1" } else { "0" },
        )?)
    }

    fn trace(&self, on: bool) -> Result<()> {
        let tracer = if on { "function" } else { "nop" };
        Ok(fs::write(self.0.join("current_tracer"), tracer)?)
    }

    /// The number of records of kprobes.
    fn hits(&self) -> Result<usize> {
        let trace = fs::read_to_string(self.0.join("trace"))?;
        Ok(trace
            .lines()
            .filter(|line| line.contains(": do_epoll_wait: ("))
            .count())
    }
}

impl Drop for Tracers {
    fn drop(&mut self) {
        let _ = self.probe(false);
        let _ = self.trace(false);
        for function in Self::FUNCTIONS {
            let _ = self.append("../../kprobe_events", &format!("-:others/{function}"));
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// An event that is watched and fetched, on the side that takeover makes.
fn lives(side: Side) -> Result<()> {
    let (m, fd) = (instance_of(side)?, files::eventfd()?);
    m.add(&fd, EventFlags::IN, 4)?;
    signal(&fd)?;
    expect_one(&m, 4).map(drop)
}

/// Each order in which the two can begin and end.
fn tracers_come_and_go_while_takeover_does() -> Result<()> {
    let tracers = Tracers::new()?;
    for _ in 0..settings::get().loops(3) {
        for switch in [Tracers::probe, Tracers::trace] {
            // Inside of takeover's time.
            let taken = on(TakeoverCalls::EPOLL)?;
            switch(&tracers, true)?;
            lives(Side::Repoll)?;
            switch(&tracers, false)?;
            lives(Side::Repoll)?;
            // From within takeover's time until after it.
            switch(&tracers, true)?;
            drop(taken);
            lives(Side::Kernel)?;
            // Around a whole time of takeover.
            let taken = on(TakeoverCalls::EPOLL)?;
            lives(Side::Repoll)?;
            drop(taken);
            // Into the next one.
            let taken = on(TakeoverCalls::EPOLL)?;
            switch(&tracers, false)?;
            lives(Side::Repoll)?;
            drop(taken);
        }
    }
    tracers.probe(true)?;
    let before = tracers.hits()?;
    for side in [Side::Kernel, Side::Repoll] {
        let _on = (side == Side::Repoll)
            .then(|| on(TakeoverCalls::EPOLL))
            .transpose()?;
        lives(side)?;
    }
    let hits = tracers.hits()? - before;
    ensure!(hits >= 2, "{hits} records of the kprobe on do_epoll_wait");
    Ok(())
}
