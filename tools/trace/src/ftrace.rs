// SPDX-License-Identifier: GPL-2.0
//! Recording: what the kernel traces, as records, live from tracefs or from a `trace.dat` file.

pub mod dat;
pub mod filter;
pub mod format;
mod pages;
pub mod record;
pub mod recorder;
#[cfg(test)]
pub(crate) mod script;
pub mod tracefs;
