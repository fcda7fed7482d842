// SPDX-License-Identifier: MIT OR Apache-2.0
//! The parts that depend on the architecture: system calls, and functions in assembly.

#[cfg(target_arch = "aarch64")]
#[path = "arch/aarch64.rs"]
mod machine;
#[cfg(target_arch = "x86_64")]
#[path = "arch/x86_64.rs"]
mod machine;

#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
compile_error!(
    "this architecture is not supported: add its system calls in a file of preload/src/arch"
);

pub use machine::*;

#[cfg(feature = "interpose")]
pub mod trampolines;
