// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parts that depend on the machine: its system calls, and the code that no compiler makes.

#[cfg(target_arch = "aarch64")]
#[path = "arch/aarch64.rs"]
mod machine;
#[cfg(target_arch = "x86_64")]
#[path = "arch/x86_64.rs"]
mod machine;

#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
compile_error!("the system calls of this machine are unknown: add a file to preload/src/arch");

pub use machine::*;

#[cfg(feature = "interpose")]
pub mod trampolines;
