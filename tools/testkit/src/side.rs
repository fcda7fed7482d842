// SPDX-License-Identifier: GPL-2.0
//! The two implementations that are compared.

use crate::multiplexer::{Epoll, Multiplexer, Repoll};
use std::fmt;
use std::io;

/// An implementation of the calls. A way to reach one that comes later is a variant here and a type
/// with the trait [`Multiplexer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The C code of the kernel.
    Kernel,
    /// The module, through ioctls.
    Repoll,
}

impl Side {
    /// Both, the kernel first.
    pub const ALL: [Self; 2] = [Self::Kernel, Self::Repoll];

    /// Makes an instance of epoll.
    pub fn instance(self) -> io::Result<Box<dyn Multiplexer>> {
        Ok(match self {
            Self::Kernel => Box::new(Epoll::new()?),
            Self::Repoll => Box::new(Repoll::new()?),
        })
    }

    /// Its name in a heading.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Kernel => "the kernel's own",
            Self::Repoll => "repoll",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kernel => "kernel",
            Self::Repoll => "repoll",
        })
    }
}
