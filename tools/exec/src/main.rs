// SPDX-License-Identifier: GPL-2.0
//! `repoll-exec PROGRAM ARGUMENTS…` runs a program and carries its epoll calls on repoll.
//!
//! The program itself is not changed. The loader loads a library into it first
//! ([`repoll_preload`]), which replaces the C library's epoll functions. With `--takeover` the
//! module itself serves the program's system calls, without the library.

mod inherited;
mod machine;
mod program;
mod shared;
mod status;
mod takeover;
mod template;
mod watch;

use anyhow::{bail, Context, Result};
use clap::Parser;
use program::Program;
use repoll::TakeoverCalls;
use repoll_preload::{notice, rings, sandbox, scan, statistics, LIBRARY, LIBRARY_VARIABLE};
use status::{report, FAILED, NOT_RUN};
use std::env;
use std::ffi::{CStr, OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs a program and carries its epoll calls on repoll
#[derive(Debug, Parser)]
#[command(
    override_usage = "repoll-exec [OPTION]... [--] PROGRAM [ARGUMENT]...",
    after_help = "\
PROGRAM, and each program that it executes, must be a dynamically linked 64-bit program without
setuid. Calls of epoll_create, epoll_ctl, epoll_wait and their variants, also through syscall(), go
to /dev/repoll; --select and --poll do the same for select and poll. Calls on a C epoll that the
program inherited or received are left to the kernel.
Calls are not carried if they bypass the C library (Go, or Rust with rustix), or if they come from
a library that was loaded with RTLD_DEEPBIND or by dlmopen. After a program has installed a seccomp
filter, its new epoll instances and its calls of select and poll are the kernel's. repoll-exec
reports the first gap of each kind in one line, if it can detect it.

With --takeover there is no such gap: the module serves the system calls of PROGRAM, whatever it is,
and of all programs that it executes. They run in a cgroup of their own below /sys/fs/cgroup/repoll,
which repoll-exec removes at PROGRAM's exit. This needs root. If takeover is on for all processes
(repoll-takeover on), PROGRAM runs as it is.

Exit status: the program's; 127 if the program is not found, 126 if it can't be run or carried, 125
if repoll-exec itself fails."
)]
struct Options {
    /// Let the module take the program's system calls over: no library, any program, as root
    #[arg(long, conflicts_with = "io_uring")]
    takeover: bool,

    /// At the program's exit, print how many calls were carried, how many were not, and why; with
    /// --takeover, how many epoll instances were taken over
    #[arg(long)]
    stats: bool,

    /// Carry calls of select and pselect, too
    #[arg(long)]
    select: bool,

    /// Carry calls of poll and ppoll, too
    #[arg(long)]
    poll: bool,

    /// Allow io_uring_setup through syscall(), which otherwise fails with ENOSYS. Epoll calls
    /// through a ring are not carried; they fail on a descriptor from epoll_create (libuv aborts)
    #[arg(long)]
    io_uring: bool,

    /// Do not report the calls that are not carried
    #[arg(short, long)]
    quiet: bool,

    /// Program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
}

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { FAILED } else { 0 });
        }
    };
    let program = Program::new(options.program);
    if options.takeover {
        let mut calls = TakeoverCalls::EPOLL;
        calls.set(TakeoverCalls::SELECT, options.select);
        calls.set(TakeoverCalls::POLL, options.poll);
        return or_failed(takeover::run(&program, calls, options.stats, options.quiet));
    }
    if let Some(obstacle) = program.obstacle() {
        eprintln!("repoll-exec: {}: {obstacle}", program.name());
        return ExitCode::from(NOT_RUN);
    }
    if let Some(gap) = program.gap().filter(|_| !options.quiet) {
        eprintln!("repoll-exec: {}: {gap}", program.name());
    }
    carry(options.select, options.poll);
    set(
        rings::VARIABLE,
        options.io_uring.then(|| rings::ALLOWED.to_owned()),
    );
    let place = notice::standard_error().filter(|_| !options.quiet);
    let place = place.map(|(device, inode)| format!("{device}:{inode}"));
    set(notice::VARIABLE, place);
    set(
        sandbox::VARIABLE,
        sandbox::filters().map(|number| number.to_string()),
    );
    or_failed(run(&program, options.stats))
}

/// The exit status; prints the error if there is one.
fn or_failed(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("repoll-exec: {error:#}");
        ExitCode::from(FAILED)
    })
}

/// Tells the library which calls to carry besides epoll's.
fn carry(select: bool, poll: bool) {
    let calls = [(select, "select"), (poll, "poll")];
    let calls: Vec<_> = calls
        .iter()
        .filter(|call| call.0)
        .map(|call| call.1)
        .collect();
    set(scan::VARIABLE, (!calls.is_empty()).then(|| calls.join(",")));
}

/// Sets a variable that the library reads, or removes it.
fn set(variable: &CStr, value: Option<String>) {
    let variable = OsStr::from_bytes(variable.to_bytes());
    match value {
        Some(value) => env::set_var(variable, value),
        None => env::remove_var(variable),
    }
}

fn run(program: &Program, stats: bool) -> Result<ExitCode> {
    preload()?;
    template::leave()?;
    if !stats {
        set(statistics::VARIABLE, None);
        return Ok(ExitCode::from(report(program, &program.execute())));
    }
    let counters = shared::Shared::new()?;
    set(statistics::VARIABLE, Some(counters.path()));
    let end = watch::run(|| report(program, &program.execute()))?;
    // The reader of standard error may have exited.
    let _ = std::io::stderr().write_all(counters.summary().as_bytes());
    Ok(end.pass_on())
}

/// Sets `LD_PRELOAD` so that the loader loads the library before the program's own libraries, but
/// after others in `LD_PRELOAD`: their wrappers then find our functions with `RTLD_NEXT`.
fn preload() -> Result<()> {
    let library = library()?;
    // LD_PRELOAD has no way to quote these characters.
    if library
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| b" :".contains(byte))
    {
        bail!(
            "{}: the path of a preloaded library must not contain a space or a colon",
            library.display()
        );
    }
    append("LD_PRELOAD", library.as_os_str());
    // AddressSanitizer requires to be the first library, for its malloc. Our library has no malloc.
    let order = "verify_asan_link_order";
    let options = env::var_os("ASAN_OPTIONS").unwrap_or_default();
    if !options.to_string_lossy().contains(order) {
        append("ASAN_OPTIONS", OsStr::new(&format!("{order}=0")));
    }
    Ok(())
}

/// Appends a value to a colon-separated list in the environment.
fn append(variable: &str, value: &OsStr) {
    let mut all = env::var_os(variable).unwrap_or_default();
    if !all.is_empty() {
        all.push(":");
    }
    all.push(value);
    env::set_var(variable, all);
}

fn library() -> Result<PathBuf> {
    let (path, remedy) = match env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => (PathBuf::from(path), String::new()),
        None => {
            let own = env::current_exe().context("cannot find the path of repoll-exec")?;
            (
                own.with_file_name(LIBRARY),
                format!(" (it must be beside repoll-exec, or set {LIBRARY_VARIABLE} to its path)"),
            )
        }
    };
    path.canonicalize()
        .with_context(|| format!("cannot find the library {}{remedy}", path.display()))
}
