// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens a device, and explains why that failed.

use std::error::Error;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The failure to open a device. Its message names the device and says what to do.
///
/// ```
/// let error = repoll::Instance::open_at("/nonexistent/repoll").expect_err("nothing is there");
/// assert_eq!(
///     error.to_string(),
///     "/nonexistent/repoll: not found: is the module loaded?"
/// );
/// ```
#[derive(Debug)]
pub struct OpenError {
    device: PathBuf,
    error: io::Error,
}

impl OpenError {
    /// The path that was opened.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// The error that `open(2)` gave, with its number.
    pub fn into_inner(self) -> io::Error {
        self.error
    }

    /// The kind of the error that `open(2)` gave.
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// The error number that `open(2)` gave.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.error.raw_os_error()
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = self.device.display();
        match self.raw_os_error() {
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
                write!(f, "{device}: not found: is the module loaded?")
            }
            Some(libc::EACCES | libc::EPERM) => write!(
                f,
                "{device}: permission denied: run as root, or change the mode of the device"
            ),
            _ => write!(f, "{device}: {}", self.error),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// Keeps the kind and the message, but not the error number: that needs [`OpenError::into_inner`].
impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        io::Error::new(error.kind(), error)
    }
}

/// Opens a device for reading and writing, close-on-exec, with more `flags` of `open(2)`.
pub(crate) fn open(device: &Path, flags: i32) -> Result<File, OpenError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(device)
        .map_err(|error| OpenError {
            device: device.to_owned(),
            error,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(device: &str, number: i32) -> OpenError {
        OpenError {
            device: device.into(),
            error: io::Error::from_raw_os_error(number),
        }
    }

    #[test]
    fn messages_name_the_device_and_what_to_do() {
        let missing = opened("/dev/repoll", libc::ENOENT).to_string();
        assert_eq!(missing, "/dev/repoll: not found: is the module loaded?");
        let denied = opened("/dev/repoll", libc::EACCES).to_string();
        assert!(denied.starts_with("/dev/repoll: permission denied: run as root"));
        let other = opened("/dev/repoll", libc::EMFILE).to_string();
        assert!(other.starts_with("/dev/repoll: ") && other.contains("os error 24"));
    }

    #[test]
    fn io_errors_keep_kind_and_message() {
        let error = io::Error::from(opened("/dev/repoll-source", libc::ENOENT));
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error
            .to_string()
            .starts_with("/dev/repoll-source: not found"));
    }

    #[test]
    fn a_missing_device_is_an_error_that_keeps_its_number() {
        let error = open(Path::new("/nonexistent/repoll"), 0).expect_err("nothing is there");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(error.device(), Path::new("/nonexistent/repoll"));
    }
}
