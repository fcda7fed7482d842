// SPDX-License-Identifier: GPL-2.0
//! Tests that cannot run here.

use anyhow::{Error, Result};
use std::fmt;

/// The exit status of a test program that was skipped, as in Automake and kselftest.
pub const SKIPPED: u8 = 77;

/// The reason not to run a test, as an error.
#[derive(Debug)]
struct Skip(String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// Ends a test that cannot run here.
pub fn skip<T>(reason: impl Into<String>) -> Result<T> {
    Err(Skip(reason.into()).into())
}

/// The reason, if the error stands for a skipped test.
pub fn reason(error: &Error) -> Option<String> {
    error.downcast_ref::<Skip>().map(ToString::to_string)
}
