// SPDX-License-Identifier: MIT OR Apache-2.0
//! The raw interface: what bindgen makes from `rust/uapi/repoll.h`, and one function that calls it.
//!
//! For tests of the interface, which pass arguments that [`Instance`](crate::Instance) cannot make.
#![allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    clippy::undocumented_unsafe_blocks,
    clippy::pub_underscore_fields
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

include!(concat!(env!("OUT_DIR"), "/uapi.rs"));

/// The argument of an ioctl. No two ioctls have the same.
pub trait Argument {
    /// The number of the ioctl.
    const NUMBER: u32;
}

/// An argument without addresses in it: the ioctl accesses nothing but the argument.
pub(crate) trait Plain: Argument {}

macro_rules! arguments {
    ($($argument:ident: $number:ident),+ $(,)?) => {
        $(impl Argument for $argument {
            const NUMBER: u32 = $number;
        })+
    };
}

macro_rules! plain {
    ($($argument:ident: $number:ident),+ $(,)?) => {
        arguments!($($argument: $number),+);
        $(impl Plain for $argument {})+
    };
}

/// NOP has no argument.
pub struct Nop;

/// SOURCE_DETACH has no argument.
pub struct Detach;

arguments! {
    repoll_wait: REPOLL_IOCTL_WAIT,
    repoll_poll: REPOLL_IOCTL_POLL,
    repoll_select: REPOLL_IOCTL_SELECT,
}

plain! {
    Nop: REPOLL_IOCTL_NOP,
    repoll_create: REPOLL_IOCTL_CREATE,
    repoll_ctl: REPOLL_IOCTL_CTL,
    repoll_source_setup: REPOLL_IOCTL_SOURCE_SETUP,
    repoll_source_status: REPOLL_IOCTL_SOURCE_STATUS,
    repoll_source_timer: REPOLL_IOCTL_SOURCE_TIMER_SET,
    repoll_source_attach: REPOLL_IOCTL_SOURCE_ATTACH,
    Detach: REPOLL_IOCTL_SOURCE_DETACH,
    repoll_takeover: REPOLL_IOCTL_TAKEOVER_SET,
    repoll_takeover_status: REPOLL_IOCTL_TAKEOVER_STATUS,
}

/// Makes the ioctl that `argument` is for, and returns what it returns.
///
/// # Safety
///
/// The addresses in the argument are zero, or name memory that the ioctl may read and write as
/// `repoll.h` describes, or memory of which nothing is mapped.
pub unsafe fn ioctl<A: Argument>(fd: impl AsFd, argument: &mut A) -> io::Result<usize> {
    let address = std::ptr::from_mut(argument);
    // SAFETY: the ioctl reads and writes an `A`, as its number says, and other memory by the
    // contract of this function.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), A::NUMBER as _, address) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// [`ioctl`] with an argument that has no addresses in it.
pub(crate) fn call<A: Plain>(fd: impl AsFd, mut argument: A) -> io::Result<(usize, A)> {
    // SAFETY: there are no addresses in the argument.
    let result = unsafe { ioctl(fd, &mut argument) }?;
    Ok((result, argument))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `_IOC` of `<asm-generic/ioctl.h>`.
    fn ioc(direction: u32, number: u32, size: usize) -> u32 {
        (direction << 30) | ((size as u32) << 16) | (0xB4 << 8) | number
    }

    #[test]
    fn ioctl_numbers_hold_the_sizes_of_their_structures() {
        assert_eq!(REPOLL_IOCTL_NOP, ioc(0, 0, 0));
        assert_eq!(REPOLL_IOCTL_CREATE, ioc(1, 1, size_of::<repoll_create>()));
        assert_eq!(REPOLL_IOCTL_CTL, ioc(1, 2, size_of::<repoll_ctl>()));
        assert_eq!(REPOLL_IOCTL_WAIT, ioc(1, 3, size_of::<repoll_wait>()));
        assert_eq!(REPOLL_IOCTL_POLL, ioc(3, 4, size_of::<repoll_poll>()));
        assert_eq!(REPOLL_IOCTL_SELECT, ioc(3, 5, size_of::<repoll_select>()));
        assert_eq!(REPOLL_IOCTL_SOURCE_SETUP, ioc(1, 0x20, 16));
        assert_eq!(REPOLL_IOCTL_SOURCE_STATUS, ioc(2, 0x21, 56));
        assert_eq!(REPOLL_IOCTL_SOURCE_TIMER_SET, ioc(1, 0x22, 16));
        assert_eq!(REPOLL_IOCTL_SOURCE_ATTACH, ioc(1, 0x23, 24));
        assert_eq!(REPOLL_IOCTL_SOURCE_DETACH, ioc(0, 0x24, 0));
        assert_eq!(REPOLL_IOCTL_TAKEOVER_SET, ioc(1, 0x40, 16));
        assert_eq!(REPOLL_IOCTL_TAKEOVER_STATUS, ioc(2, 0x41, 56));
    }

    #[test]
    fn earlier_versions_end_before_later_fields() {
        let offsets = [
            std::mem::offset_of!(repoll_wait, sigmask),
            std::mem::offset_of!(repoll_wait, counts),
            size_of::<repoll_counts>(),
        ];
        let sizes = [
            REPOLL_WAIT_SIZE_VER0,
            REPOLL_WAIT_SIZE_VER1,
            REPOLL_COUNTS_SIZE_VER0,
        ];
        assert_eq!(offsets, sizes.map(|size| size as usize));
    }

    /// The triplet of the machine, and the one of its 32-bit programs.
    const MACHINES: [&str; 2] = if cfg!(target_arch = "aarch64") {
        ["aarch64-linux-gnu", "arm-linux-gnueabihf"]
    } else {
        ["x86_64-linux-gnu", "i686-linux-gnu"]
    };

    /// The sizes and offsets in bindgen's output for one kind of machine.
    fn layouts(target: &str) -> Vec<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let bindgen = std::env::var("BINDGEN").unwrap_or_else(|_| "bindgen".to_owned());
        let output = std::process::Command::new(bindgen)
            .arg(folder.join("wrapper.h"))
            .args(["--allowlist-type", "repoll_.*", "--"])
            .arg(format!("-I{}", folder.join("../../rust/uapi").display()))
            // Debian has one <asm/types.h> for both, in this folder.
            .arg(format!("-idirafter/usr/include/{}", MACHINES[0]))
            .arg(format!("--target={target}"))
            .output()
            .expect("build.rs has run bindgen");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        let sizes = text.lines().filter(|line| line.contains("usize]"));
        sizes.map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn layouts_are_the_same_for_32_bit_programs() {
        let wide = layouts(MACHINES[0]);
        assert!(wide.iter().any(|line| line.contains("Size of repoll_wait")));
        assert_eq!(wide, layouts(MACHINES[1]));
    }
}
