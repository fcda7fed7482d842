// SPDX-License-Identifier: GPL-2.0
//! `repoll-exec PROGRAM ARGUMENTS…` runs a program with its epoll calls on repoll.
//!
//! The program is not changed: the loader loads a library into it first ([`repoll_preload`]),
//! which takes the place of the C library's epoll functions.

mod inherited;
mod machine;
mod program;
mod shared;
mod template;
mod watch;

use anyhow::{bail, Context, Result};
use clap::Parser;
use program::Program;
use repoll_preload::{notice, rings, sandbox, scan, statistics, LIBRARY, LIBRARY_VARIABLE};
use std::env;
use std::ffi::{CStr, OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs a program with its epoll calls on repoll
#[derive(Debug, Parser)]
#[command(
    override_usage = "repoll-exec [OPTION]... [--] PROGRAM [ARGUMENT]...",
    after_help = "\
The program, and the programs that it runs in turn, must be dynamically linked 64-bit ones without
setuid. Their calls of epoll_create, epoll_ctl, epoll_wait and their variants, also by way of
syscall(), go to /dev/repoll, and if asked those of select and poll too. Calls on a C epoll that
came from elsewhere stay with it.
These can't be carried: system calls that do not go through the C library (programs in Go, or in
Rust with rustix), and those of libraries that are loaded with RTLD_DEEPBIND or by dlmopen. After a
program has installed a seccomp filter, its new epolls are the kernel's, and its select and poll
calls go to the kernel. The first gap of each kind is reported in one line, if it can be detected.

Exit status: the program's; 127 if it is not found, 126 if it can't be run or carried, 125 if
repoll-exec itself fails."
)]
struct Options {
    /// Tell at the program's exit how many calls were carried, how many were not, and why
    #[arg(long)]
    stats: bool,

    /// Carry its calls of select and pselect too
    #[arg(long)]
    select: bool,

    /// Carry its calls of poll and ppoll too
    #[arg(long)]
    poll: bool,

    /// Let it make io_uring rings through syscall(), which else fails with ENOSYS. Epoll calls
    /// through a ring are not carried, and fail on a descriptor from epoll_create (libuv aborts)
    #[arg(long)]
    io_uring: bool,

    /// Do not report the calls that are not carried
    #[arg(short, long)]
    quiet: bool,

    /// The program, and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
}

/// Exit statuses of our own, as of env(1), nohup(1) and timeout(1).
const FAILED: u8 = 125;
const NOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { FAILED } else { 0 });
        }
    };
    let program = Program::new(options.program);
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
    match run(&program, options.stats) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("repoll-exec: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// Tells the library what to carry besides epoll: these and nothing else.
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
    // Whoever reads it may be gone.
    let _ = std::io::stderr().write_all(counters.summary().as_bytes());
    Ok(end.pass_on())
}

/// Says why the program could not be executed, and returns the exit status for it.
fn report(program: &Program, error: &std::io::Error) -> u8 {
    eprintln!("repoll-exec: cannot run {}: {error}", program.name());
    match error.raw_os_error() {
        Some(libc::ENOENT) => NOT_FOUND,
        _ => NOT_RUN,
    }
}

/// Has the loader load the library: before the program's own libraries, but after those that are
/// preloaded already, whose wrappers of the calls then find ours with `RTLD_NEXT`.
fn preload() -> Result<()> {
    let library = library()?;
    // The loader has no way to quote these.
    if library
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| b" :".contains(byte))
    {
        bail!(
            "{}: a preloaded library must not have a space or a colon in its path",
            library.display()
        );
    }
    append("LD_PRELOAD", library.as_os_str());
    // AddressSanitizer insists on coming first, for its malloc; our library has none.
    let order = "verify_asan_link_order";
    let options = env::var_os("ASAN_OPTIONS").unwrap_or_default();
    if !options.to_string_lossy().contains(order) {
        append("ASAN_OPTIONS", OsStr::new(&format!("{order}=0")));
    }
    Ok(())
}

/// Adds to a list in the environment.
fn append(variable: &str, value: &OsStr) {
    let mut all = env::var_os(variable).unwrap_or_default();
    if !all.is_empty() {
        all.push(":");
    }
    all.push(value);
    env::set_var(variable, all);
}

fn library() -> Result<PathBuf> {
    let (path, way_out) = match env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => (PathBuf::from(path), String::new()),
        None => {
            let own = env::current_exe().context("cannot tell where repoll-exec is")?;
            (
                own.with_file_name(LIBRARY),
                format!(" (it belongs beside repoll-exec; {LIBRARY_VARIABLE} may name it)"),
            )
        }
    };
    path.canonicalize()
        .with_context(|| format!("cannot find the library {}{way_out}", path.display()))
}
