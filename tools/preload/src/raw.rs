// SPDX-License-Identifier: MIT OR Apache-2.0
//! Direct system calls, as the C library's functions may be the ones that this library replaces.

pub use crate::arch::call;
use core::ffi::CStr;
use libc::{c_int, c_long};

/// As [`call`], and a cancellation point of `pthread_cancel(3)`: a thread that has been cancelled
/// before, or is cancelled during the call, ends here.
///
/// The thread can be cancelled at any instruction between the two calls of `pthread_setcanceltype`.
/// A cancellation that arrives just after the system call has ended discards its result, as in the
/// C library before version 2.41.
///
/// A cancellation unwinds through the callers in this library, up to the program. They own nothing
/// that has to be dropped, so they have no landing pads, and the unwind tables cover each
/// instruction, although nothing panics. (The ABI "C-unwind" would be wrong: where panics abort, it
/// makes foreign unwinding abort, too.)
///
/// # Safety
///
/// As for [`call`].
#[inline]
pub unsafe fn cancellable(number: c_long, arguments: &[c_long; 6]) -> c_long {
    let mut before = DEFERRED;
    // SAFETY: the function writes only to the given variable and changes only the calling thread.
    // It may be called in signal handlers, and respects a thread's disabled cancellation.
    unsafe { pthread_setcanceltype(ASYNCHRONOUS, &mut before) };
    // SAFETY: by the contract of this function. No lock is held and no change is incomplete.
    let result = unsafe { call(number, *arguments) };
    // SAFETY: as above; nothing is written to null.
    unsafe { pthread_setcanceltype(before, core::ptr::null_mut()) };
    result
}

/// [`cancellable`] if `is_cancellable`, else [`call`].
///
/// # Safety
///
/// As for [`call`].
#[inline]
pub unsafe fn waiting(number: c_long, arguments: &[c_long; 6], is_cancellable: bool) -> c_long {
    // SAFETY: by the contract of this function.
    unsafe {
        if is_cancellable {
            cancellable(number, arguments)
        } else {
            call(number, *arguments)
        }
    }
}

const DEFERRED: c_int = 0;
const ASYNCHRONOUS: c_int = 1;

extern "C" {
    fn pthread_setcanceltype(kind: c_int, before: *mut c_int) -> c_int;
}

/// The arguments of `ioctl(2)`.
pub fn ioctl_arguments<T>(fd: c_int, request: u32, argument: *const T) -> [c_long; 6] {
    [fd.into(), request.into(), argument as c_long, 0, 0, 0]
}

/// `ioctl(2)`.
///
/// # Safety
///
/// `argument` is valid for `request`.
#[inline]
pub unsafe fn ioctl<T>(fd: c_int, request: u32, argument: *const T) -> c_long {
    let arguments = ioctl_arguments(fd, request, argument);
    // SAFETY: by the contract of this function.
    unsafe { call(libc::SYS_ioctl, arguments) }
}

/// `open(2)` of an existing file, for reading and writing, with close-on-exec.
pub fn open(path: &CStr) -> c_long {
    open_for(path, libc::O_RDWR)
}

fn open_for(path: &CStr, access: c_int) -> c_long {
    let flags = access | libc::O_CLOEXEC;
    let arguments = [
        libc::AT_FDCWD.into(),
        path.as_ptr() as c_long,
        flags.into(),
        0,
        0,
        0,
    ];
    // SAFETY: the path ends in a zero byte.
    unsafe { call(libc::SYS_openat, arguments) }
}

/// `close(2)`. The descriptor must belong to the caller.
pub fn close(fd: c_int) {
    // SAFETY: no memory depends on the descriptor.
    unsafe { call(libc::SYS_close, [fd.into(), 0, 0, 0, 0, 0]) };
}

/// `fcntl(2)` with a number as its argument.
pub fn fcntl(fd: c_int, command: c_int, argument: c_int) -> c_long {
    let arguments = [fd.into(), command.into(), argument.into(), 0, 0, 0];
    // SAFETY: only commands that take a number are used.
    unsafe { call(libc::SYS_fcntl, arguments) }
}

/// `fstat(2)`.
pub fn stat(fd: c_int) -> Option<libc::stat> {
    // SAFETY: all zeros are a valid `stat`.
    let mut file: libc::stat = unsafe { core::mem::zeroed() };
    let arguments = [fd.into(), &raw mut file as c_long, 0, 0, 0, 0];
    // SAFETY: the structure can be written.
    let result = unsafe { call(libc::SYS_fstat, arguments) };
    (result == 0).then_some(file)
}

/// Reads the beginning of a file into `buffer`; `None` if that fails.
pub fn read_file<'a>(path: &CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let fd = open_for(path, libc::O_RDONLY);
    if fd < 0 {
        return None;
    }
    let arguments = [
        fd,
        buffer.as_mut_ptr() as c_long,
        buffer.len() as c_long,
        0,
        0,
        0,
    ];
    // SAFETY: the buffer has the given length.
    let length = unsafe { call(libc::SYS_read, arguments) };
    close(fd as c_int);
    buffer.get(..usize::try_from(length).ok()?)
}

/// The number that follows `name` in a file such as `/proc/self/status`.
pub fn field(file: &[u8], name: &[u8]) -> Option<u32> {
    let start = file.windows(name.len()).position(|there| there == name)? + name.len();
    let digits = file[start..].iter();
    let digits = digits.skip_while(|byte| byte.is_ascii_whitespace());
    let mut digits = digits.take_while(|byte| byte.is_ascii_digit()).peekable();
    digits.peek()?;
    digits.try_fold(0u32, |number, &digit| {
        number.checked_mul(10)?.checked_add((digit - b'0').into())
    })
}

/// Reads a variable of the environment. Must be called before the program runs, and the value must
/// be used immediately.
pub fn environment(name: &CStr) -> Option<&'static str> {
    environment_c(name)?.to_str().ok()
}

/// As [`environment`].
pub fn environment_c(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: the name ends in a zero byte; no code that changes the environment has run yet.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: the environment contains strings that end in a zero byte.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

/// Converts a result of the kernel to the C library's form: on failure, -1 with `errno` set.
#[inline]
pub extern "C" fn with_errno(result: c_long) -> c_long {
    if !(-4095..0).contains(&result) {
        return result;
    }
    // SAFETY: `errno` belongs to the calling thread.
    unsafe { *libc::__errno_location() = -result as c_int };
    -1
}

/// Ends the process.
#[cfg(all(feature = "interpose", not(test)))]
pub fn abort() -> ! {
    // SAFETY: `abort` takes no arguments and does not return.
    unsafe { libc::abort() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let file = b"Name:\tx\nFDSize:\t64\nLast:\t";
        assert_eq!(field(file, b"\nFDSize:"), Some(64));
        assert_eq!(field(file, b"\nLast:"), None);
        assert_eq!(field(file, b"\nOther:"), None);
        assert_eq!(field(b"\nA: 99999999999", b"\nA:"), None);
    }
}
