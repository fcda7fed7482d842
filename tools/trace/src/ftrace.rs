// SPDX-License-Identifier: GPL-2.0
//! Records of the kernel's tracing: taken live from tracefs, or read from a `trace.dat` file.

pub mod dat;
pub mod filter;
pub mod format;
mod instance;
mod pages;
pub mod record;
pub mod recorder;
#[cfg(test)]
pub(crate) mod script;
pub mod tracefs;
