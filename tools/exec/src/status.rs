// SPDX-License-Identifier: GPL-2.0
//! Exit statuses of repoll-exec itself, the same as those of env(1), nohup(1) and timeout(1).

use crate::program::Program;

/// repoll-exec itself has failed.
pub const FAILED: u8 = 125;
/// The program can't be run or carried.
pub const NOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Prints why the program could not be executed, and returns the exit status.
pub fn report(program: &Program, error: &std::io::Error) -> u8 {
    eprintln!("repoll-exec: cannot run {}: {error}", program.name());
    match error.raw_os_error() {
        Some(libc::ENOENT) => NOT_FOUND,
        _ => NOT_RUN,
    }
}
