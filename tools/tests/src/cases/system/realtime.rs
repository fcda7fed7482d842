// SPDX-License-Identifier: GPL-2.0
//! Where tasks are preempted, and what may sleep: PREEMPT_RT differs in both. The tests hold on
//! every kernel. What goes wrong in the hook shows in the kernel log.

use crate::module::{load, unload_when_unused, Reload};
use crate::prelude::*;
use repoll_testkit::processes::{fork, Process};
use repoll_testkit::threads::{run_first, run_on, this_thread};
use repoll_trace::record::Record;
use repoll_trace::tracefs::Session;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

pub fn tests() -> Vec<Test> {
    repoll_only!("realtime" within 240:
        watched_files_close_beside_a_function_tracer,
        the_module_goes_while_files_close,
        a_callback_is_not_preempted_before_its_push,
    )
}

/// Another tracer on the functions that our hook may be on.
struct FunctionTracer(PathBuf);

impl FunctionTracer {
    fn start() -> Result<Self> {
        let name = format!("functions-{}", std::process::id());
        let path = PathBuf::from("/sys/kernel/tracing/instances").join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let this = Self(path);
        let known = fs::read_to_string("/sys/kernel/tracing/available_filter_functions")?;
        for function in ["security_file_release", "locks_remove_file"] {
            if known.lines().any(|line| line == function) {
                fs::write(this.0.join("set_ftrace_filter"), function)?;
                break;
            }
        }
        if fs::write(this.0.join("current_tracer"), "function").is_err() {
            return skip("this kernel has no function tracer");
        }
        Ok(this)
    }
}

impl Drop for FunctionTracer {
    fn drop(&mut self) {
        let end = fs::write(self.0.join("current_tracer"), "nop");
        if let Err(error) = end.and_then(|()| fs::remove_dir(&self.0)) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// A pipe that is written to without end, while files of it are watched and closed: both want the
/// lock of its wait queue.
struct Pipe {
    m: Repoll,
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    fn new() -> Result<Self> {
        let (reader, writer) = files::pipe()?;
        let m = Repoll::new()?;
        Ok(Self { m, reader, writer })
    }

    /// Another file of the same pipe is watched, and closed.
    fn close_files(&self) -> Result<()> {
        const FILES: usize = 32;
        let path = format!("/proc/self/fd/{}", self.reader.as_raw_fd());
        let files = (0..FILES).map(|_| {
            let mut options = OpenOptions::new();
            let file = options
                .read(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(&path)?;
            self.m.add(&file, EventFlags::IN, 1)?;
            Ok(file)
        });
        drop(files.collect::<Result<Vec<_>>>()?);
        let _ = files::read(&self.reader, &mut [0; 4096]);
        Ok(())
    }

    /// Does both, and waits for events, until `over`.
    fn run(&self, over: &AtomicBool) -> Result<usize> {
        scope(|threads| {
            threads.spawn(|| {
                while !over.load(SeqCst) {
                    let _ = files::write(&self.writer, b"x");
                }
            });
            threads.spawn(|| {
                while !over.load(SeqCst) {
                    let _ = self.m.wait(16, Some(Duration::from_millis(1)));
                }
            });
            let mut rounds = 0;
            while !over.load(SeqCst) {
                let closed = self.close_files();
                // The threads go on until the flag is set.
                over.fetch_or(closed.is_err(), SeqCst);
                closed?;
                rounds += 1;
            }
            Ok(rounds)
        })
    }
}

/// Sets `over` when the time is.
fn ring(over: &AtomicBool, after: Duration) {
    let end = Instant::now() + after;
    while Instant::now() < end && !over.load(SeqCst) {
        sleep(Duration::from_millis(50));
    }
    over.store(true, SeqCst);
}

/// With another tracer there, ftrace calls an `ftrace_ops` with preemption off.
fn watched_files_close_beside_a_function_tracer() -> Result<()> {
    let _tracer = FunctionTracer::start()?;
    let pipe = Pipe::new()?;
    let over = AtomicBool::new(false);
    let rounds = scope(|threads| {
        threads.spawn(|| ring(&over, settings::get().stress()));
        pipe.run(&over)
    })?;
    ensure!(rounds > 0, "no file was closed");
    // All watches have ended with their files.
    expect_none(&pipe.m)
}

/// A process that ends with this.
struct Child(Option<Process>);

impl Child {
    fn of(body: impl FnOnce() -> i32) -> Result<Self> {
        Ok(Self(Some(fork(body)?)))
    }

    fn kill(&mut self) -> Result<()> {
        if let Some(process) = self.0.take() {
            process.kill(libc::SIGKILL)?;
            let status = process.wait()?;
            ensure!(status == -libc::SIGKILL, "it ended by itself: {status}");
        }
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("cannot end a child: {error:#}");
        }
    }
}

/// Tasks are in the hook, and may be asleep there, when its code is to go. One is killed and closes
/// all that it has; another closes files that nobody watches.
fn the_module_goes_while_files_close() -> Result<()> {
    let _reload = Reload::later()?;
    let _tracer = FunctionTracer::start()?;
    let mut bystander = Child::of(|| loop {
        drop(files::eventfd());
    })?;
    let end = Instant::now() + settings::get().stress();
    let mut round = 0;
    while round < 3 || Instant::now() < end {
        let mut closer = Child::of(|| {
            let pipe = Pipe::new();
            let run = pipe.and_then(|pipe| pipe.run(&AtomicBool::new(false)));
            i32::from(run.is_err())
        })?;
        sleep(Duration::from_millis(20 + round % 7 * 10));
        closer.kill()?;
        unload_when_unused().with_context(|| format!("the {round}th time"))?;
        load().with_context(|| format!("the {round}th time"))?;
        round += 1;
    }
    bystander.kill()?;
    let (m, fd) = watching_eventfd::<Repoll>(EventFlags::IN, 1)?;
    signal(&fd)?;
    expect_one(&m, 1).map(drop)
}

/// The number of a thread's callbacks that queued an item, and of those that were preempted between
/// the records that they make after they have set its bit, and before they push it.
fn gaps(records: &[Record], thread: i32) -> (usize, usize) {
    let (mut gaps, mut preempted, mut in_gap) = (0, 0, false);
    for record in records.iter().filter(|record| record.pid == thread) {
        if record.is("repoll_callback") {
            gaps += 1;
            in_gap = true;
        } else if record.is("repoll_queue") {
            in_gap = false;
        } else if record.is("sched_switch") && in_gap {
            preempted += 1;
        }
    }
    (gaps, preempted)
}

/// A consumer of a higher priority, on the producer's CPU, that wants to remove the item then would
/// wait for a push that can't come before it stops to wait.
fn a_callback_is_not_preempted_before_its_push() -> Result<()> {
    let (m, fd) = watching_eventfd::<Repoll>(EventFlags::IN | EventFlags::ET, 1)?;
    run_on(0)?;
    let producer = this_thread();
    let mut session = Session::new()?;
    for (system, event, filter) in [
        ("repoll", "repoll_callback", "outcome == 0".to_owned()),
        ("repoll", "repoll_queue", "reason == 0".to_owned()),
        ("sched", "sched_switch", format!("prev_pid == {producer}")),
    ] {
        let enabled = session.enable_where(system, event, &filter)?;
        ensure!(enabled, "no {event}");
    }
    session.start()?;
    let over = AtomicBool::new(false);
    scope(|threads| {
        let consumer = threads.spawn(|| {
            run_on(0)?;
            run_first()?;
            let mut round: u64 = 0;
            while !over.load(SeqCst) {
                // Its end comes into a callback now and then.
                sleep(Duration::from_micros(20 + round * 7 % 400));
                m.ready()?;
                if round % 4 == 0 {
                    m.delete(&fd)?;
                    m.add(&fd, EventFlags::IN | EventFlags::ET, 1)?;
                }
                round += 1;
            }
            Ok::<_, anyhow::Error>(())
        });
        let end = Instant::now() + settings::get().stress();
        while Instant::now() < end && !consumer.is_finished() {
            signal(&fd)?;
        }
        over.store(true, SeqCst);
        join(consumer)?
    })?;
    let trace = session.stop()?;
    ensure!(trace.lost == 0, "{} records lost", trace.lost);
    let switches = trace.records.iter().filter(|r| r.is("sched_switch"));
    let switches = switches.count();
    let (gaps, preempted) = gaps(&trace.records, producer);
    ensure!(
        gaps > 10 && switches > 10,
        "{gaps} callbacks, {switches} preemptions: too few to tell"
    );
    ensure!(
        preempted == 0,
        "of {gaps} callbacks {preempted} were preempted before the push"
    );
    Ok(())
}
