// SPDX-License-Identifier: GPL-2.0
//! Recognises programs of the architecture that this is built for.

#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

/// The number of bytes after a loaded system call number that are searched for the system call.
const CLOSE: usize = 32;

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::CLOSE;

    /// The architecture in the header of an ELF file.
    pub const ELF: u64 = 62;
    /// The message for programs of other architectures.
    pub const OTHER: &str = "its calls can't be carried: it is not a 64-bit x86 program";

    /// Whether the code loads the number of `epoll_create` or `epoll_create1` into the register of
    /// system call numbers, and makes a system call shortly after.
    pub fn makes_an_epoll(code: &[u8]) -> bool {
        const MOV_EAX: u8 = 0xb8;
        const SYSCALL: [u8; 2] = [0x0f, 0x05];
        let numbers = [libc::SYS_epoll_create, libc::SYS_epoll_create1];
        let numbers = numbers.map(|number| (number as u32).to_le_bytes());
        code.windows(5).enumerate().any(|(at, bytes)| {
            bytes[0] == MOV_EAX
                && numbers.iter().any(|number| number == &bytes[1..])
                && code[at + 5..]
                    .windows(2)
                    .take(CLOSE)
                    .any(|bytes| bytes == SYSCALL)
        })
    }

    /// Code for which [`makes_an_epoll`] holds, in two parts.
    #[cfg(test)]
    pub const MAKES_AN_EPOLL: [&[u8]; 2] = [b"\x90\xb8\x23\x01\0\0", b"\xbf\0\0\x08\0\x0f\x05"];
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use super::CLOSE;

    /// The architecture in the header of an ELF file.
    pub const ELF: u64 = 183;
    /// The message for programs of other architectures.
    pub const OTHER: &str = "its calls can't be carried: it is not a 64-bit arm program";

    /// Whether the code loads the number of `epoll_create1` into the register of system call
    /// numbers, and makes a system call shortly after.
    pub fn makes_an_epoll(code: &[u8]) -> bool {
        const SVC: u32 = 0xd400_0001;
        // `mov w8, #number`, `mov x8, #number`
        let mov = [0x5280_0008, 0xd280_0008].map(|mov| mov | (libc::SYS_epoll_create1 as u32) << 5);
        let words = code.chunks_exact(4);
        let mut words = words.map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        let mut distance = CLOSE / 4;
        words.any(|word| {
            distance = if mov.contains(&word) { 0 } else { distance + 1 };
            word == SVC && distance <= CLOSE / 4
        })
    }

    /// Code for which [`makes_an_epoll`] holds, in two parts.
    #[cfg(test)]
    pub const MAKES_AN_EPOLL: [&[u8]; 2] = [
        b"\x1f\x20\x03\xd5\x88\x02\x80\x52",
        b"\x00\x01\xa0\x52\x01\0\0\xd4",
    ];
}
