// SPDX-License-Identifier: GPL-2.0
//! The tasks of the tester, and a run of a program from a fresh world.

use crate::answer::{Answer, Outcome};
use crate::execute::{self, OURS};
use crate::memory::Memory;
use crate::operation::{Operation, Place, Step, Task};
use crate::signals;
use anyhow::{Context, Result};
use repoll_testkit::processes::{self, Process};
use repoll_testkit::side::Side;
use repoll_testkit::{files, threads};
use rustix::pipe::{pipe_with, PipeFlags};
use rustix::process::Signal;
use rustix::thread::sched_yield;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use std::thread;

/// The first place where the sides differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The number of the step.
    pub step: usize,
    /// The answer of the C epoll.
    pub epoll: Answer,
    /// The answer of repoll.
    pub repoll: Answer,
}

/// All tasks.
pub struct Tasks {
    memory: Memory,
    threads: Vec<Worker>,
    /// Alternately of the C epoll and of repoll.
    sleepers: Vec<Sleeper>,
    child: Option<Child>,
}

/// A thread that runs operations.
struct Worker {
    orders: Sender<Operation>,
    answers: Receiver<Outcome>,
}

impl Worker {
    fn new(memory: Memory) -> Self {
        let (orders, inbox) = channel::<Operation>();
        let (outbox, answers) = channel();
        thread::spawn(move || {
            for order in inbox {
                if outbox.send(execute::execute(&order, &memory)).is_err() {
                    break;
                }
            }
        });
        Self { orders, answers }
    }

    fn execute(&self, operation: &Operation) -> Result<Outcome> {
        self.orders.send(operation.clone())?;
        Ok(self.answers.recv()?)
    }
}

const IDLE: u32 = 0;
const WAITS: u32 = 1;
const DONE: u32 = 2;

/// A thread that waits on one side while the first thread runs an operation.
struct Sleeper {
    orders: Sender<(u8, i32)>,
    answers: Receiver<Answer>,
    phase: Arc<AtomicU32>,
    thread: i32,
    stat: File,
}

impl Sleeper {
    fn new(side: Side, memory: Memory) -> Result<Self> {
        let (orders, inbox) = channel::<(u8, i32)>();
        let (outbox, answers) = channel();
        let (introduce, introduction) = channel();
        let phase = Arc::new(AtomicU32::new(IDLE));
        let own_phase = phase.clone();
        thread::spawn(move || {
            let _ = threads::run_on(0);
            let _ = introduce.send(threads::this_thread());
            for (n, max) in inbox {
                own_phase.store(WAITS, Ordering::SeqCst);
                let answer = execute::wait(side, n, max, -1, Place::Good, &memory);
                own_phase.store(DONE, Ordering::SeqCst);
                if outbox.send(answer).is_err() {
                    break;
                }
            }
        });
        let thread = introduction.recv()?;
        Ok(Self {
            orders,
            answers,
            phase,
            thread,
            stat: File::open(format!("/proc/self/task/{thread}/stat"))?,
        })
    }

    /// Lets it run until it sleeps in WAIT (true) or has an answer (false).
    fn settle(&self) -> Result<bool> {
        loop {
            match self.phase.load(Ordering::SeqCst) {
                DONE => return Ok(false),
                WAITS if self.sleeps()? => return Ok(true),
                _ => sched_yield(),
            }
        }
    }

    fn sleeps(&self) -> Result<bool> {
        let mut text = [0; 64];
        let length = self.stat.read_at(&mut text, 0)?;
        let text = String::from_utf8_lossy(&text[..length]);
        Ok(threads::state(&text) == Some('S'))
    }
}

/// The process that `fork` makes. It reads operations, one per line, and answers each with a line.
struct Child {
    process: Process,
    orders: OwnedFd,
    answers: OwnedFd,
}

impl Child {
    fn new(memory: &Memory) -> Result<Self> {
        let pipe = || -> Result<(OwnedFd, OwnedFd)> {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
            Ok((
                files::dup_from(reader, OURS)?,
                files::dup_from(writer, OURS)?,
            ))
        };
        let (inbox, orders) = pipe()?;
        let (answers, outbox) = pipe()?;
        // The threads are idle, and the C library keeps its memory usable after fork.
        let process = processes::fork(|| {
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            let _ = files::close(orders.as_raw_fd());
            let _ = files::close(answers.as_raw_fd());
            serve(&inbox, &outbox, memory);
            0
        })?;
        Ok(Self {
            process,
            orders,
            answers,
        })
    }

    fn execute(&self, operation: &Operation) -> Result<Outcome> {
        files::write(&self.orders, format!("{operation}\n").as_bytes())?;
        let line = read_line(&self.answers).context("the child has died")?;
        let mut parts = line.split('\t').map(|part| Answer::Text(part.to_owned()));
        let first = parts.next().context("an answer without text")?;
        Ok(match parts.next() {
            Some(second) => Outcome::Differ(first, second),
            None => Outcome::Same(first),
        })
    }

    fn end(self) {
        // It exits when nobody can send it more.
        drop(self.orders);
        let _ = self.process.wait();
    }
}

fn serve(inbox: &OwnedFd, outbox: &OwnedFd, memory: &Memory) {
    while let Some(line) = read_line(inbox) {
        let Ok(step) = line.parse::<Step>() else {
            return;
        };
        let reply = match execute::execute(&step.operation, memory) {
            Outcome::Same(answer) => format!("{answer}\n"),
            Outcome::Differ(epoll, repoll) => format!("{epoll}\t{repoll}\n"),
        };
        if files::write(outbox, reply.as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads one line; none at the end of the file. Only one line is under way at a time.
fn read_line(fd: &OwnedFd) -> Option<String> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut buffer = [0; 4096];
        match files::read(fd, &mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => line.extend_from_slice(&buffer[..count]),
        }
    }
    line.pop();
    String::from_utf8(line).ok()
}

impl Tasks {
    /// Starts the threads.
    pub fn new() -> Result<Self> {
        let worker = |number| Ok::<_, anyhow::Error>(Worker::new(Memory::map(number)?));
        let threads = vec![worker(1)?, worker(2)?];
        threads::run_on(0)?;
        Ok(Self {
            memory: Memory::map(0)?,
            threads,
            sleepers: Side::ALL
                .into_iter()
                .cycle()
                .zip(3..7)
                .map(|(side, number)| Sleeper::new(side, Memory::map(number)?))
                .collect::<Result<_>>()?,
            child: None,
        })
    }

    /// Runs a program from a fresh world to the first difference. `seen` gets each outcome.
    pub fn run(
        &mut self,
        program: &[Step],
        mut seen: impl FnMut(&Step, &Outcome),
    ) -> Result<Option<Difference>> {
        let mut found = None;
        for (number, step) in program.iter().enumerate() {
            let outcome = self
                .step(step)
                .with_context(|| format!("step {number}: {step}"))?;
            seen(step, &outcome);
            if let Outcome::Differ(epoll, repoll) = outcome {
                found = Some(Difference {
                    step: number,
                    epoll,
                    repoll,
                });
                break;
            }
        }
        self.end_child();
        execute::clear();
        Ok(found)
    }

    fn end_child(&mut self) {
        if let Some(child) = self.child.take() {
            child.end();
        }
    }

    fn step(&mut self, step: &Step) -> Result<Outcome> {
        match (&step.operation, step.task) {
            (Operation::Fork, _) => {
                self.end_child();
                self.child = Some(Child::new(&self.memory)?);
                Ok(Outcome::Same(Answer::Number(0)))
            }
            (Operation::Exit, _) => {
                self.end_child();
                Ok(Outcome::Same(Answer::Number(0)))
            }
            (Operation::During(n, max, operation, waiters), _) => {
                self.during(*n, *max, operation, usize::from(*waiters))
            }
            (operation, Task::Main) => Ok(execute::execute(operation, &self.memory)),
            (operation, Task::Thread(number)) => {
                let threads = self.threads.len();
                self.threads[usize::from(number) % threads].execute(operation)
            }
            (operation, Task::Child) => match &self.child {
                Some(child) => child.execute(operation),
                None => Ok(Outcome::Same(Answer::Text("there is no child".to_owned()))),
            },
        }
    }

    /// All are on one CPU, and this thread yields to none while it runs the operation. So the
    /// waiters see the whole operation, and their results are determined.
    fn during(
        &mut self,
        n: u8,
        max: i32,
        operation: &Operation,
        waiters: usize,
    ) -> Result<Outcome> {
        let sleepers = &self.sleepers[..self.sleepers.len().min(2 * waiters)];
        for sleeper in sleepers {
            sleeper.phase.store(IDLE, Ordering::SeqCst);
            sleeper.orders.send((n, max))?;
            sleeper.settle()?;
        }
        real_time(true)?;
        let outcome = execute::execute(operation, &self.memory);
        real_time(false)?;
        // All signals come before a waiter runs: on both sides a signal also wakes those that watch
        // a signalfd.
        let asleep: Vec<bool> = sleepers
            .iter()
            .map(Sleeper::settle)
            .collect::<Result<_>>()?;
        real_time(true)?;
        for (sleeper, _) in sleepers.iter().zip(asleep).filter(|(_, is)| *is) {
            signals::interrupt(sleeper.thread);
        }
        real_time(false)?;
        let mut answers = [Vec::new(), Vec::new()];
        for (number, sleeper) in sleepers.iter().enumerate() {
            // Repeats only if the signal came too early: just before the system call.
            while sleeper.settle()? {
                signals::interrupt(sleeper.thread);
                sched_yield();
            }
            answers[number % 2].push(sleeper.answers.recv()?);
        }
        if let Outcome::Differ(..) = outcome {
            return Ok(outcome);
        }
        let [epoll, repoll] = answers.map(of_all);
        Ok(Outcome::of(epoll, repoll))
    }
}

/// Gives the calling thread a real-time policy, so that it yields only when it sleeps, or the
/// ordinary policy again.
fn real_time(on: bool) -> Result<()> {
    let (policy, priority) = if on {
        (libc::SCHED_FIFO, 10)
    } else {
        (libc::SCHED_OTHER, 0)
    };
    Ok(threads::schedule(policy, priority)?)
}

/// The answers of all waiters of a side, in no order: if several were woken, the scheduler decides
/// which of them gets which event.
fn of_all(mut answers: Vec<Answer>) -> Answer {
    if answers.len() == 1 {
        return answers.remove(0);
    }
    let mut texts: Vec<String> = answers.iter().map(ToString::to_string).collect();
    texts.sort();
    Answer::Text(texts.join(" and "))
}
