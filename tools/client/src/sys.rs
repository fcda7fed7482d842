// SPDX-License-Identifier: MIT OR Apache-2.0
//! The raw interface, as bindgen makes it from `rust/uapi/repoll.h`.
//!
//! For tests and for tools that need what [`Instance`](crate::Instance) does not offer.
#![allow(
    missing_docs,
    non_camel_case_types,
    clippy::undocumented_unsafe_blocks,
    clippy::pub_underscore_fields
)]

include!(concat!(env!("OUT_DIR"), "/uapi.rs"));

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

    /// The machine, and that of its 32-bit programs.
    const MACHINES: [&str; 2] = if cfg!(target_arch = "aarch64") {
        ["aarch64-linux-gnu", "arm-linux-gnueabihf"]
    } else {
        ["x86_64-linux-gnu", "i686-linux-gnu"]
    };

    /// What bindgen says of the structures, for one kind of machine.
    fn layouts(target: &str) -> Vec<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let bindgen = std::env::var("BINDGEN").unwrap_or_else(|_| "bindgen".to_owned());
        let output = std::process::Command::new(bindgen)
            .arg(folder.join("wrapper.h"))
            .args(["--allowlist-type", "repoll_.*", "--"])
            .arg(format!("-I{}", folder.join("../../rust/uapi").display()))
            // Where Debian has the one <asm/types.h> that is for both.
            .arg(format!("-idirafter/usr/include/{}", MACHINES[0]))
            .arg(format!("--target={target}"))
            .output()
            .expect("build.rs has run it");
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
