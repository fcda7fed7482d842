// SPDX-License-Identifier: MIT OR Apache-2.0
//! The conversions that every type with a descriptor in it has.

/// Implements the traits of `std::os::fd` for a tuple struct around something that owns a
/// descriptor.
macro_rules! descriptor {
    ($type:ident, $taken_over:literal) => {
        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.0.as_raw_fd()
            }
        }

        impl std::os::fd::IntoRawFd for $type {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                self.0.into_raw_fd()
            }
        }

        impl From<$type> for std::os::fd::OwnedFd {
            fn from(from: $type) -> Self {
                from.0.into()
            }
        }

        #[doc = $taken_over]
        impl From<std::os::fd::OwnedFd> for $type {
            fn from(fd: std::os::fd::OwnedFd) -> Self {
                Self(fd.into())
            }
        }
    };
}

pub(crate) use descriptor;
